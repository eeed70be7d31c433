"""What a policy limits stays limited, whatever limit the caller asked for: -1 and 0 are none."""

from __future__ import annotations

import pytest
from governed_calls import CALLING, WAYS
from sdk_calls import by_stage, chat, governed

from checkrein.testing import capture_decisions, obligation, permit

pytestmark = CALLING


@WAYS
@pytest.mark.parametrize(
    ("asked", "sent"), [(None, 100), (5_000, 100), (7, 7), (0, 100), (-1, 100), (-1_000_000, 100)]
)
async def test_a_limit_of_a_policy_holds_for_a_call_that_asks_for_no_limit(way, asked, sent, upstream):
    client = governed(by_stage(model_selection=permit(obligation("limit_tokens", max_tokens=100))))
    with capture_decisions(client.pep) as decisions:
        await chat(client, way, upstream, **({} if asked is None else {"max_tokens": asked}))
    assert [one.body["max_tokens"] for one in upstream.requests] == [sent]
    told = decisions[0].document["context"]["estimated"].get("max_tokens")
    assert told == (asked if asked and asked > 0 else None)


@WAYS
@pytest.mark.parametrize("none", [0, -1])
async def test_a_limit_beside_none_is_no_estimate(way, none, upstream):
    client = governed(by_stage())
    with capture_decisions(client.pep) as decisions:
        await chat(client, way, upstream, max_tokens=10, max_completion_tokens=none)
    assert "max_tokens" not in decisions[0].document["context"]["estimated"]
