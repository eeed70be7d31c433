"""A denial in a graph: no retry, no handler of errors, no parallel node and no subgraph keeps it."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import NodeError
from langgraph.graph import START, StateGraph
from tried import AT_ONCE, State, asked, graph_of, run

from checkrein.testing import deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def test_a_retry_policy_of_langgraph_asks_once(lab, denied_at, mode):
    point = lab.govern({denied_at: deny("no")})

    def make(model):
        guarded = guard(model, point.pep)

        def ask(state: State) -> State:
            return {"said": guarded.invoke("hello").text}

        async def aask(state: State) -> State:
            return {"said": (await guarded.ainvoke("hello")).text}

        return graph_of(aask if mode.startswith("a") else ask, retry=AT_ONCE._replace(retry_on=Exception))

    done = run(make, mode, {}, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert len(asked(point, denied_at)) == 1


def test_an_error_handler_of_langgraph_does_not_take_a_denial_for_an_error(lab, mode):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    handled = []

    def on_error(state: State, error: NodeError) -> State:
        handled.append(error)
        return {"said": "made up"}

    def make(model):
        guarded = guard(model, point.pep)

        def ask(state: State) -> State:
            return {"said": guarded.invoke("hello").text}

        return graph_of(ask, handler=on_error)

    done = run(make, mode, {}, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert handled == []


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_denial_in_one_of_two_parallel_nodes_stops_the_graph(lab, mode, checkpointed):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    after = []

    def make(model):
        guarded = guard(model, point.pep)
        graph = StateGraph(State)
        graph.add_node("ask", lambda state: {"said": guarded.invoke("hello").text})
        graph.add_node("other", lambda state: {})
        graph.add_node("after", lambda state: after.append(state) or {})
        for one in ("ask", "other"):
            graph.add_edge(START, one)
            graph.add_edge(one, "after")
        return graph.compile(checkpointer=InMemorySaver() if checkpointed else None)

    done = run(make, mode, {}, lab.chat, {"configurable": {"thread_id": "1"}})

    assert isinstance(done.error, PolicyDenied)
    assert after == []
    assert lab.upstream.requests == []


def test_a_graph_can_be_called_again_after_a_denial(lab):
    answers = {Stage.PRE_PROMPT: deny("no")}
    point = lab.govern({Stage.PRE_PROMPT: lambda question: answers[Stage.PRE_PROMPT]})
    guarded = guard(lab.chat(), point.pep)
    graph = graph_of(lambda state: {"said": guarded.invoke("hello").text}, saver=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}

    with pytest.raises(PolicyDenied):
        graph.invoke({}, config)
    with pytest.raises(PolicyDenied):
        graph.invoke(None, config)
    answers[Stage.PRE_PROMPT] = permit()

    assert graph.invoke(None, config) == {"said": "hello there"}


def test_a_subgraph_lets_a_denial_out(lab, mode):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})

    def make(model):
        guarded = guard(model, point.pep)
        inner = graph_of(lambda state: {"said": guarded.invoke("hello").text}, retry=AT_ONCE)
        outer = StateGraph(State)
        outer.add_node("inner", inner, retry_policy=AT_ONCE)
        outer.add_edge(START, "inner")
        return outer.compile()

    done = run(make, mode, {}, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert len(asked(point, Stage.PRE_PROMPT)) == 1
