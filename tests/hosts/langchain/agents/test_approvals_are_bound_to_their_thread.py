"""An approval holds in the conversation in which it was asked for, though ids and arguments are the same."""

from __future__ import annotations

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from checkrein.testing import obligation, permit
from checkrein.vocabulary import Stage

ASK = permit(obligation("require_approval", approvers=["ann"]))
FIRST, SECOND = ({"configurable": {"thread_id": name}} for name in ("a", "b"))


@pytest.fixture
def ask(lab, office, desk, mode):
    """`ask(thread)`: the provider calls the tool, under the same id each time, and the graph waits."""
    saver, point = InMemorySaver(), lab.govern({Stage.TOOL_CALL: ASK})

    def run(thread, given=None):
        if given is None:
            office.calls()
        return office.run(mode, point, tools=[desk.tool], config=thread, given=given, checkpointer=saver)

    def asking(thread):
        (one,) = run(thread).got[-1]["__interrupt__"]
        return one.value

    asking.resume = lambda thread, digest: run(
        thread, Command(resume={"approved": True, "approver": "ann", "digest": digest})
    )
    return asking


def test_the_same_call_has_another_digest_in_another_thread(ask):
    first, second = ask(FIRST), ask(SECOND)
    differing = {"digest", "decision_id"}
    assert first["tool_call_id"] == second["tool_call_id"]
    assert {key for key in first if first[key] != second[key]} == differing


def test_an_approval_is_not_taken_in_another_thread(ask, desk):
    first, second = ask(FIRST), ask(SECOND)

    refused = ask.resume(SECOND, first["digest"])

    assert desk.calls == []
    told = [one.content for one in refused.got[-1]["messages"] if one.type == "tool"]
    assert "`digest` is not that of this call" in told[0]
    ask.resume(FIRST, first["digest"])
    assert desk.calls == [("bob", "here")]
    assert first["digest"] != second["digest"]


def test_an_approval_is_not_taken_at_a_later_step_of_its_thread(ask, desk):
    first = ask(FIRST)
    ask.resume(FIRST, first["digest"])
    assert desk.calls == [("bob", "here")]

    again = ask(FIRST)
    assert again["tool_call_id"] == first["tool_call_id"]
    ask.resume(FIRST, first["digest"])

    assert desk.calls == [("bob", "here")]
