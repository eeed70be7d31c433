"""Approvals: asked for by an interrupt, bound to the exact call, given by whom the policy names, recorded."""

import copy
import json

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.tools import tool
from langgraph.types import Command, interrupt

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyMiddleware, as_subject

ASK = permit(obligation("require_approval", approvers=["ann", "cy"]))
REDACT = obligation("redact", types=["secret"])


def asked(done):
    """What the approvers are shown, in the order of the calls."""
    return [one.value for one in done.got[-1]["__interrupt__"]]


def yes(question, approver="ann"):
    return {"approved": True, "approver": approver, "digest": question["digest"]}


@pytest.fixture(autouse=True)
def called(office):
    """The provider calls the tool, then says that it is done."""
    office.calls()


def resume(office, mode, point, desk, answer, **options):
    return office.run(mode, point, tools=[desk.tool], given=Command(resume=answer), **options)


def test_a_tool_waits_for_an_approval_and_then_runs_once(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: ASK})

    waiting = office.run(mode, point, tools=[desk.tool], config=as_subject("alice"))

    (question,) = asked(waiting)
    assert desk.calls == []
    assert json.loads(json.dumps(question)) == question
    assert question == {
        "type": "policy_approval",
        "tool": "look",
        "tool_call_id": waiting.messages[-1].tool_calls[0]["id"],
        "arguments": {"who": "bob"},
        "subject": {"type": "user", "id": "alice"},
        "approvers": [["ann", "cy"]],
        "decision_id": point.records[-1].decision_id,
        "digest": question["digest"],
    }

    done = resume(office, mode, point, desk, yes(question))

    assert desk.calls == [("bob", "here")]
    assert done.results[0].content == "found it"
    assert done.messages[-1].content == "done"


def test_the_approval_is_in_the_record_and_policy_sees_it(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    (question,) = asked(office.run(mode, point, tools=[desk.tool]))

    resume(office, mode, point, desk, yes(question))

    records = [one for one in point.records if one.request.stage is Stage.TOOL_CALL]
    approvals = [one.document["context"].get("approval") for one in records]
    assert approvals == [None, None, {"approvers": ["ann"]}]
    # One call, though the node ran twice.
    assert len({one.call_id for one in records}) == 1


def test_policy_can_refuse_an_approver(lab, office, desk, mode):
    def answer(q):
        given = q.document["context"].get("approval", {}).get("approvers", [])
        return deny("own_approval") if q.document["subject"]["id"] in given else ASK

    point = lab.govern({Stage.TOOL_CALL: answer})
    (question,) = asked(office.run(mode, point, tools=[desk.tool], config=as_subject("ann")))

    done = resume(office, mode, point, desk, yes(question), config=as_subject("ann"))

    assert desk.calls == []
    assert "own_approval" in done.results[0].content


def test_the_subject_is_the_one_for_whom_the_graph_is_resumed(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    (question,) = asked(office.run(mode, point, tools=[desk.tool], config=as_subject("alice")))

    resume(office, mode, point, desk, yes(question), config=as_subject("bob"))

    subjects = [one.request.subject.id for one in point.records]
    assert subjects == ["alice"] * 4 + ["bob"] * 6


WRONG = {
    "nothing": lambda question: "yes",
    "true": lambda question: True,
    "no approver": lambda question: {"approved": True, "digest": question["digest"]},
    "no digest": lambda question: {"approved": True, "approver": "ann"},
    "somebody else": lambda question: yes(question, "eve"),
    "a list of approvers": lambda question: yes(question, ["ann"]),
    "another call": lambda question: {**yes(question), "digest": "0" * 64},
    "truthy": lambda question: {**yes(question), "approved": 1},
    "a word": lambda question: {**yes(question), "approved": "true"},
    "more than asked": lambda question: {**yes(question), "arguments": {"who": "eve"}},
    "no": lambda question: {"approved": False},
    "no with a name": lambda question: {**yes(question), "approved": False},
    "an empty answer": lambda question: {"approved": None},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_any_other_answer_is_a_recorded_denial(lab, office, desk, mode, wrong):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    (question,) = asked(office.run(mode, point, tools=[desk.tool]))

    done = resume(office, mode, point, desk, WRONG[wrong](question))

    assert done.error is None
    assert desk.calls == []
    (told,) = done.results
    assert told.status == "error"
    denied = [one for one in point.records if not one.permitted]
    assert [one.reasons[0].code for one in denied] == ["obligation_failed"]
    assert denied[0].decision_id in told.content
    refused = wrong in ("no", "no with a name")
    assert denied[0].reasons[0].message.startswith("`ApprovalRefusedError`") is refused
    assert ("the approval was refused" in told.content) is refused
    assert done.messages[-1].content == "done"


def test_an_approval_does_not_hold_for_arguments_that_were_changed_since(lab, office, desk):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    waiting = office.run("invoke", point, tools=[desk.tool])
    (question,) = asked(waiting)
    agent = create_agent(
        lab.chat(), [desk.tool], middleware=[PolicyMiddleware(point.pep)], checkpointer=office.saver
    )
    changed = copy.deepcopy(waiting.messages[-1])
    changed.tool_calls[0]["args"]["who"] = "eve"

    config = {"configurable": {"thread_id": "1"}}
    agent.update_state(config, {"messages": [changed]}, as_node="model")
    (other,) = [one.value for one in agent.invoke(None, config)["__interrupt__"]]
    done = agent.invoke(Command(resume=yes(question)), config)

    assert (question["arguments"], other["arguments"]) == ({"who": "bob"}, {"who": "eve"})
    assert other["tool_call_id"] == question["tool_call_id"]
    assert desk.calls == []
    assert [one.status for one in done["messages"] if one.type == "tool"] == ["error"]


def test_the_approver_sees_and_approves_what_is_left_after_redaction(lab, office, desk, mode):
    office.calls(who=f"bob {lab.secret}")
    approval = obligation("require_approval", approvers=["ann"])
    point = lab.govern({Stage.TOOL_CALL: permit(REDACT, approval)})

    waiting = office.run(mode, point, tools=[desk.tool])
    (question,) = asked(waiting)
    assert question["arguments"] == {"who": "bob [REDACTED:secret]"}

    resume(office, mode, point, desk, yes(question))

    assert desk.calls == [("bob [REDACTED:secret]", "here")]


def test_every_obligation_has_to_be_approved(lab, office, desk, mode):
    both = [obligation("require_approval", approvers=names) for names in (["ann"], ["cy", "di"])]
    point = lab.govern({Stage.TOOL_CALL: permit(*both)})

    (first,) = asked(office.run(mode, point, tools=[desk.tool]))
    assert first["approvers"] == [["ann"], ["cy", "di"]]
    (second,) = asked(resume(office, mode, point, desk, yes(first, "di")))
    assert desk.calls == []
    assert second["approvers"] == [["ann"]]
    assert second["digest"] == first["digest"]

    done = resume(office, mode, point, desk, yes(second, "ann"))

    assert desk.calls == [("bob", "here")]
    assert done.results[0].content == "found it"
    assert point.records[-5].document["context"]["approval"]["approvers"] == ["di", "ann"]


def test_the_same_approver_does_not_approve_for_others(lab, office, desk, mode):
    both = [obligation("require_approval", approvers=names) for names in (["ann"], ["cy"])]
    point = lab.govern({Stage.TOOL_CALL: permit(*both)})

    (first,) = asked(office.run(mode, point, tools=[desk.tool]))
    (second,) = asked(resume(office, mode, point, desk, yes(first, "ann")))
    done = resume(office, mode, point, desk, yes(second, "ann"))

    assert desk.calls == []
    assert done.results[0].status == "error"


def test_one_who_is_named_by_both_obligations_meets_both(lab, office, desk, mode):
    both = [obligation("require_approval", approvers=names) for names in (["ann", "cy"], ["di", "ann"])]
    point = lab.govern({Stage.TOOL_CALL: permit(*both)})

    (first,) = asked(office.run(mode, point, tools=[desk.tool]))
    resume(office, mode, point, desk, yes(first, "ann"))

    assert desk.calls == [("bob", "here")]


def test_an_approval_of_what_is_redacted_later_does_not_count(lab, office, desk):
    office.calls(who=f"bob {lab.secret}")

    def answer(q):
        approval = obligation("require_approval", approvers=["ann", "cy"])
        return permit(approval, REDACT) if "approval" in q.document["context"] else permit(approval)

    point = lab.govern({Stage.TOOL_CALL: answer})
    (first,) = asked(office.run("invoke", point, tools=[desk.tool]))
    (second,) = asked(resume(office, "invoke", point, desk, yes(first, "ann")))
    assert (desk.calls, second["arguments"]) == ([], {"who": "bob [REDACTED:secret]"})

    resume(office, "invoke", point, desk, yes(second, "cy"))

    assert desk.calls == [("bob [REDACTED:secret]", "here")]
    approvals = [one.document["context"].get("approval") for one in point.records]
    assert [one["approvers"] for one in approvals if one] == [["ann"], ["ann"], ["cy"]]


def test_a_policy_that_wants_ever_more_approvals_gets_none(lab, office, desk):
    def answer(q):
        given = len(q.document["context"].get("approval", {}).get("approvers", []))
        return permit(obligation("require_approval", approvers=[f"boss {given}"]))

    point = lab.govern({Stage.TOOL_CALL: answer})
    waiting = office.run("invoke", point, tools=[desk.tool])
    for _ in range(20):
        if not waiting.got or "__interrupt__" not in waiting.got[-1]:
            break
        (question,) = asked(waiting)
        waiting = resume(office, "invoke", point, desk, yes(question, question["approvers"][0][0]))

    assert desk.calls == []
    assert waiting.results[0].status == "error"


def test_parallel_calls_are_approved_one_by_one_and_none_runs_twice(lab, office, desk, mode):
    several = [{"name": "look", "arguments": {"who": who}} for who in ("bob", "eve", "zoe")]
    office.upstream.reply = [{"tool_calls": several}, "done"]

    def answer(q):
        return permit() if q.document["context"]["tool"]["arguments"]["who"] == "eve" else ASK

    point = lab.govern({Stage.TOOL_CALL: answer})
    waiting = office.run(mode, point, tools=[desk.tool])
    questions = {one.value["arguments"]["who"]: one for one in waiting.got[-1]["__interrupt__"]}
    assert set(questions) == {"bob", "zoe"}
    assert desk.calls == [("eve", "here")]

    # Bob's approval answers Zoe's question, and Zoe's nobody's.
    bob, zoe = questions["bob"], questions["zoe"]
    done = resume(office, mode, point, desk, {bob.id: yes(bob.value), zoe.id: yes(bob.value)})

    assert sorted(desk.calls) == [("bob", "here"), ("eve", "here")]
    assert sorted(one.status for one in done.results) == ["error", "success", "success"]


def test_parallel_calls_can_be_approved_one_after_the_other(lab, office, desk, mode):
    several = [{"name": "look", "arguments": {"who": who}} for who in ("bob", "zoe")]
    office.upstream.reply = [{"tool_calls": several}, "done"]
    point = lab.govern({Stage.TOOL_CALL: ASK})
    waiting = office.run(mode, point, tools=[desk.tool])
    asked_for = {one.value["arguments"]["who"]: one for one in waiting.got[-1]["__interrupt__"]}
    bob, zoe = asked_for["bob"], asked_for["zoe"]

    waiting = resume(office, mode, point, desk, {zoe.id: yes(zoe.value)})
    assert desk.calls == [("zoe", "here")]
    (left,) = waiting.got[-1]["__interrupt__"]
    assert left.id == bob.id

    done = resume(office, mode, point, desk, {bob.id: yes(bob.value)})

    assert desk.calls == [("zoe", "here"), ("bob", "here")]
    assert [one.status for one in done.results] == ["success", "success"]


def test_a_tool_that_interrupts_itself_is_resumed_after_its_approval(lab, office, desk, mode):
    @tool
    def look(who: str) -> str:
        """Look somebody up."""
        desk.calls.append(interrupt("which one?"))
        return "found it"

    desk.tool = look
    point = lab.govern({Stage.TOOL_CALL: ASK})
    (question,) = asked(office.run(mode, point, tools=[look]))
    (own,) = asked(resume(office, mode, point, desk, yes(question)))
    assert own == "which one?"

    done = resume(office, mode, point, desk, "the tall one")

    assert desk.calls == ["the tall one"]
    assert done.results[0].content == "found it"


def test_a_policy_that_has_changed_its_mind_is_asked_again(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    (question,) = asked(office.run(mode, point, tools=[desk.tool]))

    stricter = lab.govern({Stage.TOOL_CALL: deny("no")})
    done = resume(office, mode, stricter, desk, yes(question))

    assert desk.calls == []
    assert "no" in done.results[0].content


def test_where_nobody_can_be_asked_the_tool_is_denied(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: ASK})

    done = office.run(mode, point, tools=[desk.tool], checkpointer=None)

    assert done.error is None
    assert desk.calls == []
    (told,) = [one for one in done.got[0]["messages"] if one.type == "tool"]
    assert "unsupported_obligation" in told.content
    (asked_of,) = [one for one in point.records if one.request.stage is Stage.TOOL_CALL]
    assert "require_approval" not in asked_of.document["context"]["supported_obligations"]


def test_under_monitor_nobody_is_asked(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: ASK}, enforcement={"default": "monitor"})

    done = office.run(mode, point, tools=[desk.tool])

    assert desk.calls == [("bob", "here")]
    assert done.results[0].content == "found it"


def test_an_installed_handler_does_not_block_what_was_approved(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    uninstall = PolicyCallbackHandler(point.pep).install()
    try:
        (question,) = asked(office.run(mode, point, tools=[desk.tool]))
        done = resume(office, mode, point, desk, yes(question))
    finally:
        uninstall()

    assert desk.calls == [("bob", "here")]
    assert done.error is None


def test_what_was_approved_and_nothing_else_is_run_by_those_after_it(lab, office, desk, mode):
    class Sly(AgentMiddleware):
        def wrap_tool_call(self, request, handler):
            return handler(request.override(tool_call={**request.tool_call, "args": {"who": "eve"}}))

        async def awrap_tool_call(self, request, handler):
            return await handler(request.override(tool_call={**request.tool_call, "args": {"who": "eve"}}))

    point = lab.govern({Stage.TOOL_CALL: ASK})
    with pytest.warns(UserWarning, match="last"):
        (question,) = asked(office.run(mode, point, tools=[desk.tool], after=[Sly()]))
    with pytest.warns(UserWarning, match="last"):
        done = resume(office, mode, point, desk, yes(question), after=[Sly()])

    assert desk.calls == []
    assert done.results[0].status == "error"


def test_a_subagent_waits_for_an_approval_of_its_own(lab, office, desk):
    point = lab.govern(
        {Stage.TOOL_CALL: lambda q: ASK if q.document["resource"]["id"] == "look" else permit()}
    )
    inner = create_agent(lab.chat(), [desk.tool], middleware=[PolicyMiddleware(point.pep)])
    started = []

    @tool
    def delegate(task: str) -> str:
        """Let somebody else do it."""
        started.append(task)
        return inner.invoke({"messages": [("user", task)]})["messages"][-1].text

    office.upstream.reply = [
        office.said(name="delegate", arguments={"task": "x"}),
        office.said(name="look", arguments={"who": "bob"}),
        "did it",
        "done",
    ]
    (question,) = asked(office.run("invoke", point, tools=[delegate]))
    assert (question["tool"], desk.calls) == ("look", [])
    done = office.run("invoke", point, tools=[delegate], given=Command(resume=yes(question)))

    assert desk.calls == [("bob", "here")]
    assert done.messages[-1].content == "done"
    assert len(office.upstream.requests) == 4
