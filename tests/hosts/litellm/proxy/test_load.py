"""Fifty clients of a real proxy at once: every verdict is right, and every decision is recorded once."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from checkrein.testing import Upstream

BENCHMARKS = Path(__file__).resolve().parents[4] / "benchmarks"
CLIENTS = 50
CALLS = 350


@pytest.fixture
def programs(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("litellm_load"), import_module("litellm_proxy")


async def test_under_load_no_verdict_is_wrong_and_each_decision_is_recorded_once(programs, tmp_path):
    load, single = programs
    with Upstream(load.reply) as upstream:
        folder = tmp_path / "proxy"
        config = single.written(folder, upstream, load.SETTINGS, ("gpt-4o", "gpt-4o-mini"), load.AUTH)
        with single.proxy(config) as address:
            result, kinds = await load.load(address, 120, CLIENTS, CALLS)
        load.compare(result, kinds, folder / "decisions.jsonl", upstream)
    assert result.asked == CALLS
    assert result.wrong == []
    assert result.records.total() == result.expected == CALLS // len(load.CALLS) * 17
    assert (result.duplicates, result.unrecorded) == (0, 0)


def test_what_is_wrong_is_seen(programs):
    load, _ = programs
    permitted, denied = load.CALLS[0], load.CALLS[2]

    def answer(status, text):
        message = {"choices": [{"message": {"content": text}}]}
        return load.httpx.Response(status, json=message)

    assert load.problem_with(answer(200, "That is fine. #7"), permitted, 7) is None
    assert "the answer of another call" in load.problem_with(answer(200, "That is fine. #8"), permitted, 7)
    assert "is not the answer" in load.problem_with(answer(200, f"{load.CARD} #7"), permitted, 7)
    assert "not denied" in load.problem_with(answer(200, "That is fine. #7"), denied, 7)
    assert "instead of an answer" in load.problem_with(answer(403, ""), permitted, 7)
