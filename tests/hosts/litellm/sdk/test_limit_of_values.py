"""`limits.nodes` says how much of a request and of an answer is read, in the SDK and in the proxy."""

from __future__ import annotations

import pytest
from governed_calls import CALLING, WAYS
from litellm.proxy._types import UserAPIKeyAuth
from sdk_calls import chat, governed

from checkrein import EnforcementPoint, Settings
from checkrein.settings import Limits
from checkrein.testing import StaticEngine, permit
from checkrein_litellm import CallDenied, PolicyGuard
from checkrein_litellm.text.leaves import MOST_NODES, leaves

pytestmark = CALLING

KEY = UserAPIKeyAuth(user_id="alice", request_route="/chat/completions")
TURN = {"role": "user", "content": "hi"}
TURNS = [TURN] * 40  # each an object with two strings in it


def allowing(nodes):
    return {} if nodes is None else {"limits": {"nodes": nodes}}


def test_the_default_is_what_is_read_where_nobody_says_otherwise():
    assert Limits().nodes == MOST_NODES == 100_000
    assert len([*leaves({"a": ["b c"] * 99_999}, "a", ("a",), 8)]) == 99_999


@WAYS
@pytest.mark.parametrize("nodes", [100, 119])
async def test_a_function_sends_nothing_of_what_is_over_the_limit(way, nodes, upstream):
    client = governed(permit(), allowing(nodes))
    with pytest.raises(CallDenied) as denied:
        await chat(client, way, upstream, messages=TURNS)
    assert denied.value.code == "limit.nodes"
    assert upstream.requests == []


@WAYS
@pytest.mark.parametrize("nodes", [200, None])
async def test_a_function_sends_what_is_within_the_limit(way, nodes, upstream):
    await chat(governed(permit(), allowing(nodes)), way, upstream, messages=TURNS)
    assert len(upstream.requests) == 1


@WAYS
async def test_what_was_too_much_is_read_where_the_limit_is_raised(way, upstream):
    settings = {"limits": {"nodes": 200_000, "segments": 60_000}}
    many = [{"role": "user", "content": "x"}] * 35_000
    with pytest.raises(CallDenied) as denied:
        await chat(governed(permit()), way, upstream, messages=many)
    assert denied.value.code == "limit.nodes"
    await chat(governed(permit(), settings), way, upstream, messages=many)
    assert len(upstream.requests) == 1


@WAYS
async def test_an_answer_over_the_limit_is_not_given_out(way, upstream):
    upstream.reply = {"choices": ["a choice"] * 60}
    client = governed(permit(), allowing(100))
    with pytest.raises(CallDenied) as denied:
        await chat(client, way, upstream, n=60)
    assert denied.value.code == "limit.nodes"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("nodes", "code"), [(100, "limit.nodes"), (200, None)])
async def test_the_proxy_reads_no_more_than_the_limit(nodes, code, monkeypatch):
    settings = Settings.model_validate(allowing(nodes))
    pep = EnforcementPoint(StaticEngine(permit()), settings, record=lambda _: None)
    monkeypatch.setattr("checkrein_litellm.proxy.guard.enforcement_point", lambda *_, **__: pep)
    guard = PolicyGuard(guardrail_name="checkrein")
    data = {"model": "m", "messages": TURNS, "metadata": {}}
    if code is None:
        await guard.async_pre_call_hook(KEY, None, data, "acompletion")
        return
    with pytest.raises(CallDenied) as denied:
        await guard.async_pre_call_hook(KEY, None, data, "acompletion")
    assert denied.value.code == code
