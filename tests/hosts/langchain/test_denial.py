"""A denial passes the retries of LangChain and LangGraph: asked about once, and never made up for."""

import asyncio
import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import TypedDict

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp, NodeError
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy

import checkrein
from checkrein.testing import Failure, deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, guard
from checkrein_langchain.calls import attempts

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

MODES = ["invoke", "ainvoke", "stream", "astream"]
QUICK = {"max_retries": 3, "initial_delay": 0.0, "jitter": False}
AT_ONCE = RetryPolicy(initial_interval=0.0, max_attempts=3, jitter=False)


class State(TypedDict, total=False):
    said: str


@pytest.fixture(params=[Stage.PRE_PROMPT, Stage.POST_COMPLETION])
def denied_at(request):
    return request.param


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


def run(make, mode, given, chat, config=None):
    """Run a graph that is made around a model, in one of the ways; what it gave and how it failed."""
    got, error = [], None

    async def arun():
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            graph = make(chat(http_async_client=client))
            if mode == "ainvoke":
                got.append(await graph.ainvoke(given, config))
            else:
                async for one in graph.astream(given, config, stream_mode=["updates", "messages"]):
                    got.append(one)  # noqa: PERF401 -- what came before an error counts

    try:
        if mode.startswith("a"):
            asyncio.run(arun())
        elif mode == "invoke":
            got.append(make(chat()).invoke(given, config))
        else:
            got.extend(make(chat()).stream(given, config, stream_mode=["updates", "messages"]))
    except Exception as raised:  # noqa: BLE001 -- what it is, the test says
        error = raised
    return SimpleNamespace(got=got, error=error)


def asked(point, stage):
    return [one for one in point.records if one.request.stage is stage]


def agent_of(point, *middleware, tools=()):
    def make(model):
        return create_agent(guard(model, point.pep), tools=tools, middleware=middleware)

    return make


HELLO = {"messages": [HumanMessage("hello")]}


def test_a_denial_is_what_lets_it_pass():
    assert issubclass(PolicyDenied, checkrein.PolicyDenied)
    assert issubclass(PolicyDenied, ModelError)
    assert issubclass(PolicyDenied, GraphBubbleUp)
    assert not PolicyDenied.is_retryable


def test_without_langgraph_a_denial_is_still_a_model_error():
    script = """
import sys

class NoLangGraph:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "langgraph":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoLangGraph())
from langchain_core.exceptions import ModelError
from checkrein_langchain import PolicyDenied
assert issubclass(PolicyDenied, ModelError)
assert not any(name.startswith("langgraph") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_denial_survives_pickling_with_its_decision(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).invoke("hi")

    again = pickle.loads(pickle.dumps(denied.value))

    assert type(again) is PolicyDenied
    assert (again.code, again.decision_id) == (denied.value.code, denied.value.decision_id)
    assert str(again) == str(denied.value)


@pytest.mark.parametrize("on_failure", ["continue", "error"])
def test_model_retry_middleware_asks_once_and_makes_no_answer_up(lab, denied_at, mode, on_failure):
    point = lab.govern({denied_at: deny("no")})
    retry = ModelRetryMiddleware(**QUICK, retry_on=(Exception,), on_failure=on_failure)

    done = run(agent_of(point, retry), mode, HELLO, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert done.error.code == "no"
    assert len(asked(point, denied_at)) == 1
    assert done.got == []


def test_model_fallback_middleware_asks_once_and_falls_back_to_nothing(lab, denied_at, mode):
    point = lab.govern({denied_at: deny("no")})
    fallback = ModelFallbackMiddleware(lab.chat("gpt-4o-mini"))

    done = run(agent_of(point, fallback), mode, HELLO, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert len(asked(point, denied_at)) == 1
    assert {one.body["model"] for one in lab.upstream.requests} <= {"gpt-4o"}


@pytest.mark.parametrize(
    "middleware",
    [
        ToolRetryMiddleware(**QUICK, retry_on=(Exception,)),
        ToolErrorMiddleware(on_error=lambda error, request: "made up"),
    ],
    ids=["retry", "error"],
)
def test_the_middleware_of_tools_lets_a_denial_out_of_one(lab, denied_at, mode, middleware):
    point = lab.govern({denied_at: deny("no")})
    lab.upstream.reply = {"name": "ask", "arguments": {"question": "hello"}}
    inner = guard(lab.chat(), point.pep)

    def ask(question: str) -> str:
        """Ask another model."""
        return inner.invoke(question).text

    done = run(lambda model: create_agent(model, tools=[ask], middleware=[middleware]), mode, HELLO, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert len(asked(point, denied_at)) == 1


def test_a_tool_node_lets_a_denial_out_instead_of_telling_the_model(lab, denied_at):
    point = lab.govern({denied_at: deny("no")})
    inner = guard(lab.chat(), point.pep)

    def ask(question: str) -> str:
        """Ask another model."""
        return inner.invoke(question).text

    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([ask], handle_tool_errors=True))
    graph.add_edge(START, "tools")
    call = {"name": "ask", "args": {"question": "hello"}, "id": "1", "type": "tool_call"}

    with pytest.raises(PolicyDenied):
        graph.compile().invoke({"messages": [AIMessage("", tool_calls=[call])]})

    assert len(asked(point, denied_at)) == 1


def graph_of(node, *, retry=None, saver=None, handler=None):
    graph = StateGraph(State)
    graph.add_node("ask", node, retry_policy=retry, error_handler=handler)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=saver)


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


# Ways of LangChain's that ask again: every try is judged, and told from the others


def tries(point, stage):
    return [(one.request.call_id, one.request.attempt) for one in asked(point, stage)]


def is_counted(found, number):
    """One call, and its tries in order."""
    return len({call_id for call_id, _ in found}) == 1 and [n for _, n in found] == [*range(1, number + 1)]


def test_with_retry_is_one_call_and_every_try_is_its_own_record(lab, denied_at, runnable_way):
    point = lab.govern({denied_at: deny("no")})

    def wrap(model):
        return guard(model, point.pep).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)

    done = lab.call(runnable_way, wrap)

    assert isinstance(done.error, PolicyDenied)
    assert lab.raw(done.got) == 0
    found = tries(point, denied_at)
    if "chain" in runnable_way or "stream" in runnable_way or runnable_way in ("events", "transform"):
        # LangChain retries no streams.
        assert {number for _, number in found} <= {1, 2, 3}
    else:
        assert is_counted(found, 3)


def test_with_fallbacks_judges_the_fallback_as_another_try_of_the_call(lab, denied_at):
    point = lab.govern({denied_at: deny("no")})
    first, second = guard(lab.chat(), point.pep), guard(lab.chat("gpt-4o-mini"), point.pep)

    with pytest.raises(PolicyDenied):
        first.with_fallbacks([second]).invoke("hello")

    assert is_counted(tries(point, denied_at), 2)
    assert [one.request.resource.id for one in asked(point, denied_at)] == ["gpt-4o", "gpt-4o-mini"]


FALLBACKS = {
    "bare": lambda model: model,
    "bound": lambda model: model.bind(stop=["x"]),
    "in a chain": lambda model: RunnableLambda(lambda text: text) | model,
    "beside others": lambda model: RunnableParallel(a=RunnableLambda(str), b=model),
    "behind another": lambda model: RunnableLambda(str).with_fallbacks([model]),
}


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_a_fallback_that_nothing_governs_is_refused_when_it_is_given(lab, fallback):
    pep = lab.govern().pep
    model, other = guard(lab.chat(), pep), lab.chat("gpt-4o-mini")

    with pytest.raises(TypeError, match="`ChatOpenAI` that no policy governs"):
        model.with_fallbacks([RunnableLambda(str), FALLBACKS[fallback](other)])
    model.with_fallbacks([FALLBACKS[fallback](guard(other, pep))])


def test_the_options_of_fallbacks_are_langchains(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    with pytest.raises(PolicyDenied):
        model.with_fallbacks([RunnableLambda(str)], exceptions_to_handle=(ValueError,)).invoke("hi")
    assert model.with_fallbacks([RunnableLambda(str)]).invoke("hi") == "hi"


def test_a_try_after_an_error_of_the_provider_is_counted_and_used_apart(lab):
    point = lab.govern()
    settled = []
    point.pep.settle = lambda call_id, attempt, usage: settled.append((call_id, attempt))
    lab.upstream.reply = [Failure(500), Failure(500), "hello there"]
    model = guard(lab.chat(), point.pep).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)

    assert model.invoke("hello").text == "hello there"

    found = tries(point, Stage.PRE_PROMPT)
    assert is_counted(found, 3)
    assert settled == [found[-1]]


def test_the_retries_of_an_agent_are_tries_of_one_call(lab):
    point = lab.govern()
    lab.upstream.reply = [Failure(500), "hello there"]
    retry = ModelRetryMiddleware(**QUICK, retry_on=(Exception,))

    done = run(agent_of(point, retry), "invoke", HELLO, lab.chat)

    assert done.error is None
    assert is_counted(tries(point, Stage.PRE_PROMPT), 2)


def test_the_retries_of_a_node_are_tries_of_one_call_even_below_a_chain(lab):
    point = lab.govern()
    lab.upstream.reply = [Failure(500), Failure(500), "hello there"]
    chain = RunnableLambda(lambda text: text) | guard(lab.chat(), point.pep)
    graph = graph_of(
        lambda state: {"said": chain.invoke("hello").text}, retry=AT_ONCE._replace(retry_on=Exception)
    )

    assert graph.invoke({}) == {"said": "hello there"}
    assert is_counted(tries(point, Stage.PRE_PROMPT), 3)


def test_calls_that_succeeded_are_no_tries_of_each_other(lab):
    point = lab.govern()
    model = guard(lab.chat(), point.pep)

    RunnableLambda(lambda text: [model.invoke(text) for _ in range(3)]).invoke("hello")

    found = tries(point, Stage.PRE_PROMPT)
    assert {number for _, number in found} == {1}
    assert len({call_id for call_id, _ in found}) == 3


def test_calls_that_say_something_else_or_act_for_somebody_else_are_no_tries_of_each_other(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    def ask(_):
        for who, text in (("alice", "hello"), ("alice", "bye"), ("bob", "hello")):
            with pytest.raises(PolicyDenied):
                model.acting_as(who).invoke(text)

    RunnableLambda(ask).invoke("")

    assert [number for _, number in tries(point, Stage.PRE_PROMPT)] == [1, 1, 1]


def test_calls_in_no_run_are_no_tries_of_each_other(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    for _ in range(2):
        with pytest.raises(PolicyDenied):
            model.invoke("hello")

    assert [number for _, number in tries(point, Stage.PRE_PROMPT)] == [1, 1]


def test_a_handler_counts_the_tries_too(lab, denied_at):
    point = lab.govern({denied_at: deny("no")})
    config = {"callbacks": [PolicyCallbackHandler(point.pep)]}
    model = lab.chat().with_retry(stop_after_attempt=3, wait_exponential_jitter=False)

    with pytest.raises(PolicyDenied):
        model.invoke("hello", config)

    assert is_counted(tries(point, Stage.PRE_PROMPT), 3)


def test_what_is_remembered_of_failures_is_bounded_and_holds_no_text(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    def ask(_):
        for number in range(20):
            with pytest.raises(PolicyDenied):
                model.invoke(f"{lab.secret} {number}")

    RunnableLambda(ask).invoke("")

    kept = attempts._failed[point.pep]
    assert len(kept) == 20
    assert lab.raw(repr(kept._things)) == 0
    for number in range(2 * attempts._MOST):
        kept.keep(number, attempts.first_attempt())
    assert len(kept) == attempts._MOST
