"""What a tool writes into its graph's stream by itself leaves when its result is judged, as judged."""

from __future__ import annotations

import asyncio

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from checkrein.settings import Limits
from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyMiddleware, guard_tool
from checkrein_langchain.text.tool_outputs import Output
from checkrein_langchain.tools.held_writing import HeldWriting

REDACT = permit(obligation("redact", types=["secret"]))


def _by_function(events, log):
    @tool
    def look(q: str) -> str:
        """Look it up."""
        for event in events:
            get_stream_writer()(event)
        log.append("ran")
        return "found it"

    return look


def _by_runtime(events, log):
    @tool
    def look(q: str, runtime: ToolRuntime) -> str:
        """Look it up."""
        for event in events:
            runtime.stream_writer(event)
        log.append("ran")
        return "found it"

    return look


def _in_a_graph(events, log):
    def write(_):
        for event in events:
            get_stream_writer()(event)
        return {}

    graph = StateGraph(MessagesState).add_node("write", write).add_edge(START, "write").compile()

    @tool
    def look(q: str) -> str:
        """Look it up."""
        list(graph.stream({"messages": []}, stream_mode="custom"))
        graph.invoke({"messages": []})
        log.append("ran")
        return "found it"

    return look


WAYS = {"get_stream_writer": _by_function, "runtime": _by_runtime}


@pytest.fixture(params=WAYS)
def making(request):
    return WAYS[request.param]


@pytest.fixture
def streamed(lab):
    """`streamed(point, tool)`: the tool's own events that leave the agent, and all else that does."""

    def run(point, made, log):
        lab.upstream.reply = [
            {"tool_calls": [{"id": "c1", "name": "look", "arguments": {"q": "x"}}]},
            "done",
        ]
        agent = create_agent(lab.chat(), [made], middleware=[PolicyMiddleware(point.pep)])
        modes = ["custom", "updates", "values"]
        got = []
        for kind, one in agent.stream({"messages": [HumanMessage("hi")]}, stream_mode=modes, subgraphs=False):
            log.append(kind)
            got.append((kind, one))
        noted = [one for kind, one in got if kind == "custom"]
        return [one for one in noted if not (isinstance(one, dict) and "decision_id" in one)], got

    return run


def test_events_of_a_permitted_tool_leave_in_their_order(lab, making, streamed):
    events = ["looking", {"step": 1, "note": "half way there"}, ["a", "b c"], "found"]
    log = []
    assert streamed(lab.govern(), making(events, log), log)[0] == events


def test_events_of_a_tool_whose_result_is_denied_never_leave(lab, making, streamed):
    log = []
    own, got = streamed(
        lab.govern({Stage.TOOL_RESULT: deny("no")}), making([f"is {lab.secret}", "x"], log), log
    )
    assert (log.count("ran"), own) == (1, [])
    assert lab.raw(got) == 0


def test_a_policy_sees_the_events_with_the_result(lab, making, streamed):
    point, log = lab.govern(), []
    streamed(point, making(["looking it up"], log), log)
    (asked,) = [one for one in point.records if one.request.stage is Stage.TOOL_RESULT]
    assert "looking it up" in asked.document["context"]["result"]["text"]
    assert "found it" in asked.document["context"]["result"]["text"]


def test_what_is_found_in_events_is_redacted(lab, making, streamed):
    log = []
    events = [f"it is {lab.secret}, you know", {"note": f"and {lab.secret}!", "step": 2}]
    own, got = streamed(lab.govern({Stage.TOOL_RESULT: REDACT}), making(events, log), log)
    assert own == ["it is [REDACTED:secret], you know", {"note": "and [REDACTED:secret]!", "step": 2}]
    assert lab.raw(got) == 0


@pytest.mark.parametrize(
    "shape", [str, lambda piece: {"token": piece}, lambda piece: [piece]], ids=["text", "field", "list"]
)
def test_what_stands_across_events_does_not_leave_in_pieces(lab, making, streamed, shape):
    log = []
    cut = len(lab.secret) // 2
    pieces = [shape(lab.secret[:cut]), shape(lab.secret[cut:])]
    own, _ = streamed(lab.govern({Stage.TOOL_RESULT: REDACT}), making(pieces, log), log)
    assert own == []
    assert log.count("ran") == 1


def test_what_cannot_be_read_does_not_leave_and_the_result_does(lab, making, streamed):
    log = []
    own, got = streamed(lab.govern(), making([object(), {"note": object()}, "looking"], log), log)
    assert [one for one in own if isinstance(one, str)] == own
    assert "found it" in repr(got)


def test_of_more_than_policy_would_judge_nothing_leaves_and_the_result_does(lab, making, streamed):
    log = []
    point = lab.govern(limits={"segments": 20})
    own, got = streamed(point, making(["looking"] * 25, log), log)
    assert own == []
    assert "found it" in repr(got)


def test_what_a_tool_changes_after_it_wrote_it_is_not_what_leaves(lab, streamed):
    log = []

    @tool
    def look(q: str) -> str:
        """Look it up."""
        event = {"note": "looking"}
        get_stream_writer()(event)
        event["note"] = lab.secret
        return "found it"

    assert streamed(lab.govern(), look, log)[0] == [{"note": "looking"}]


def test_what_is_written_after_the_result_does_not_leave():
    left = []
    held = HeldWriting(Limits())
    write = held.writer(left.append)
    write("early")
    judged = held.events(Output("found"))
    write("late")
    held.give_out(judged)
    write("later")
    assert left == ["early"]


def test_a_graph_in_a_tool_writes_into_the_held_stream(lab, streamed):
    log = []
    made = _in_a_graph([f"is {lab.secret}"], log)
    own, got = streamed(lab.govern({Stage.TOOL_RESULT: deny("no")}), made, log)
    assert (log.count("ran"), own, lab.raw(got)) == (1, [], 0)


def test_what_a_failing_tool_wrote_is_judged_with_its_error(lab, streamed):
    @tool
    def look(q: str) -> str:
        """Look it up."""
        get_stream_writer()(f"trying {lab.secret}")
        raise ValueError("it broke")

    lab.upstream.reply = [{"tool_calls": [{"id": "c1", "name": "look", "arguments": {"q": "x"}}]}, "done"]
    point = lab.govern({Stage.TOOL_RESULT: REDACT})
    agent, got = create_agent(lab.chat(), [look], middleware=[PolicyMiddleware(point.pep)]), []
    with pytest.raises(ValueError, match="it broke"):
        got.extend(agent.stream({"messages": [HumanMessage("hi")]}, stream_mode="custom"))
    assert lab.raw(got) == 0


def test_where_no_denial_of_results_can_stand_events_leave_as_they_come(lab, making, streamed):
    log = []
    point = lab.govern({Stage.TOOL_RESULT: deny("no")}, enforcement={"default": "monitor"})
    assert streamed(point, making(["looking", f"is {lab.secret}"], log), log)[0] == [
        "looking",
        f"is {lab.secret}",
    ]


def test_asynchronous_tools_in_a_tool_node_are_no_exception(lab):
    @tool
    async def look(q: str) -> str:
        """Look it up."""
        get_stream_writer()(f"is {lab.secret} here")
        return "found it"

    point = lab.govern({Stage.TOOL_RESULT: REDACT})
    node = ToolNode([guard_tool(look, point.pep)])
    graph = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").compile()
    call = AIMessage("", tool_calls=[{"id": "c1", "name": "look", "args": {"q": "x"}}])

    async def use():
        return [one async for one in graph.astream({"messages": [call]}, stream_mode="custom")]

    assert asyncio.run(use()) == ["is [REDACTED:secret] here"]
