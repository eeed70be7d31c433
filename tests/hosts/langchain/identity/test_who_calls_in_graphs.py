"""Who calls: in a graph that was interrupted, whoever resumes it."""

from itertools import pairwise
from typing import TypedDict

import pytest
from callers import answering, who
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from checkrein_langchain import PolicyCallbackHandler, as_subject, guard


class Talk(TypedDict, total=False):
    first: str
    second: str


def pausing(model, saver):
    """A graph that asks, waits for a human, and asks again."""
    graph = StateGraph(Talk)
    graph.add_node("first", lambda state: {"first": model.invoke("one").text})
    graph.add_node("wait", lambda state: {"second": interrupt("go on?")})
    graph.add_node("second", lambda state: {"second": model.invoke("two").text})
    for start, end in pairwise([START, "first", "wait", "second"]):
        graph.add_edge(start, end)
    return graph.compile(checkpointer=saver)


@pytest.mark.parametrize("handled", [False, True], ids=["guarded", "handler"])
def test_a_resumed_graph_acts_for_whoever_resumes_it(lab, handled):
    point = lab.govern()
    saver = InMemorySaver()
    model = answering() if handled else guard(answering(), point.pep)
    graph = pausing(model, saver)
    callbacks = [PolicyCallbackHandler(point.pep)] if handled else []
    config = {"configurable": {"thread_id": "1"}, "callbacks": callbacks}

    graph.invoke({}, as_subject("alice", config))
    assert who(point) == ("alice", "bound")
    point.records.clear()
    graph.invoke(Command(resume="yes"), as_subject("bob", config))
    assert who(point) == ("bob", "bound")

    assert "alice" not in repr(saver.storage)


def test_a_graph_that_is_resumed_for_nobody_acts_for_nobody(lab):
    point = lab.govern()
    graph = pausing(guard(answering(), point.pep), InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}

    graph.invoke({}, as_subject("alice", config))
    point.records.clear()
    graph.invoke(Command(resume="yes"), config)

    assert who(point) == ("anonymous", "none")


def test_a_graph_around_a_bound_model_keeps_its_subject_when_it_is_resumed(lab):
    point = lab.govern()
    graph = pausing(guard(answering(), point.pep).acting_as("alice"), InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}

    graph.invoke({}, config)
    graph.invoke(Command(resume="yes"), config)

    assert who(point) == ("alice", "bound")


@pytest.mark.parametrize("bound", [{}, {"thread_id": "1"}], ids=["alone", "with a thread"])
def test_a_config_of_a_graph_binds_its_subject_for_good(lab, bound):
    point = lab.govern()
    graph = pausing(guard(answering(), point.pep), InMemorySaver()).with_config(
        as_subject("alice", {"configurable": bound})
    )
    config = {"configurable": {"thread_id": "1"}}

    graph.invoke({}, config)
    graph.invoke(Command(resume="yes"), config)

    assert who(point) == ("alice", "bound")
