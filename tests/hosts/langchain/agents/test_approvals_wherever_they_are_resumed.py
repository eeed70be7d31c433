"""A given approval is taken wherever the graph goes on, and at no fork of its conversation."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from checkrein.testing import obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyMiddleware

ASK = permit(obligation("require_approval", approvers=["ann"]))
THREAD = {"configurable": {"thread_id": "1"}}
HI = {"messages": [HumanMessage("hi")]}


def _alone(agent, saver):
    return agent(checkpointer=saver)


def _as_a_node(agent, saver):
    graph = StateGraph(MessagesState).add_node("agent", agent(checkpointer=None))
    return graph.add_edge(START, "agent").compile(checkpointer=saver)


def _with_its_own_memory(agent, saver):
    graph = StateGraph(MessagesState).add_node("agent", agent(checkpointer=True))
    return graph.add_edge(START, "agent").compile(checkpointer=saver)


def _in_a_node(agent, saver):
    inner = agent(checkpointer=None)

    def node(state, config):
        return {"messages": inner.invoke({"messages": state["messages"]}, config)["messages"]}

    graph = StateGraph(MessagesState).add_node("agent", node)
    return graph.add_edge(START, "agent").compile(checkpointer=saver)


PLACES = {
    "alone": _alone,
    "a node": _as_a_node,
    "own memory": _with_its_own_memory,
    "in a node": _in_a_node,
}


@pytest.fixture
def office(lab):
    """`office(place, calls)`: makes the same graph anew each time, as another process would; what it ran."""

    def make(place, calls=1):
        saver, ran, point = InMemorySaver(), [], lab.govern({Stage.TOOL_CALL: ASK})
        asked = [{"id": f"c{index}", "name": "look", "arguments": {"q": "x"}} for index in range(calls)]
        lab.upstream.reply = [{"tool_calls": asked}, *["done"] * 5]

        def agent(checkpointer):
            @tool
            def look(q: str) -> str:
                """Look it up."""
                ran.append(q)
                return "found"

            return create_agent(
                lab.chat(), [look], middleware=[PolicyMiddleware(point.pep)], checkpointer=checkpointer
            )

        return (lambda: PLACES[place](agent, saver)), ran

    return make


def _approving(interrupts):
    return {
        one.id: {"approved": True, "approver": "ann", "digest": one.value["digest"]} for one in interrupts
    }


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_several_calls_are_approved_and_each_runs_once(office, place, durability, together):
    anew, ran = office(place, calls=2)
    done = anew().invoke(HI, THREAD, durability=durability)
    for _ in range(2):
        if "__interrupt__" not in done:
            break
        answers = _approving(done["__interrupt__"][: None if together else 1])
        done = anew().invoke(Command(resume=answers), THREAD, durability=durability)
    assert ran == ["x", "x"]
    assert [one.content for one in done["messages"] if isinstance(one, ToolMessage)] == ["found"] * 2


def test_the_approval_of_one_call_is_not_that_of_another_with_the_same_arguments(office):
    anew, ran = office("alone", calls=2)
    first, second = anew().invoke(HI, THREAD)["__interrupt__"]
    swapped = {first.id: {"approved": True, "approver": "ann", "digest": second.value["digest"]}}
    anew().invoke(Command(resume=swapped), THREAD)
    assert ran == []


@pytest.fixture
def approved(office):
    """A conversation in which a call was approved and ran, the place before that, and the answer."""
    anew, ran = office("alone")
    (asked,) = anew().invoke(HI, THREAD)["__interrupt__"]
    before = anew().get_state(THREAD).config
    answer = {"approved": True, "approver": "ann", "digest": asked.value["digest"]}
    anew().invoke(Command(resume=answer), THREAD)
    assert ran == ["x"]
    return anew(), ran, before, answer


def test_a_fork_asks_again_and_does_not_take_the_answer(approved):
    graph, ran, before, answer = approved
    forked = graph.update_state(before, {"messages": []})
    assert graph.invoke(None, forked)["__interrupt__"]
    graph.invoke(Command(resume=answer), THREAD)
    assert ran == ["x"]


def test_going_back_without_an_answer_does_not_run_the_call_again(approved):
    graph, ran, before, _ = approved
    graph.invoke(None, before)
    assert ran == ["x"]
