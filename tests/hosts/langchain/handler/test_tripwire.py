"""The tripwire: an installed handler is in every call of the process, whatever it is called with."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph

from checkrein import acting_as
from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def bare(model):
    return model


class Quiet(BaseCallbackHandler):
    """A handler that does nothing."""


class State(TypedDict, total=False):
    said: str


# No way around it


def test_a_call_with_no_callbacks_of_its_own_is_judged(lab, denying, way):
    done = lab.call(way, bare, listen=False)

    assert isinstance(done.error, PolicyDenied)
    assert lab.upstream.requests == []


def test_an_asynchronous_call_with_other_callbacks_is_judged(lab, denying, way):
    done = lab.call(way, bare)

    assert isinstance(done.error, PolicyDenied)
    assert lab.upstream.requests == []


@pytest.mark.parametrize(
    "callbacks",
    [[], None, [Quiet()], CallbackManager(handlers=[])],
    ids=["none", "absent", "others", "manager"],
)
def test_no_callbacks_of_a_nested_call_replace_it(lab, denying, callbacks):
    model = lab.chat()
    chain = RunnableLambda(lambda text: model.invoke(text, {"callbacks": callbacks}))

    for config in ({}, {"callbacks": [Quiet()]}, {"callbacks": []}):
        with pytest.raises(PolicyDenied):
            chain.invoke("hi", config)

    assert lab.upstream.requests == []


def _in_thread(call):
    found = []

    def run():
        try:
            call()
        except PolicyDenied as denied:
            found.append(denied)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if found:
        raise found[0]


PLACES = {
    "thread": _in_thread,
    "empty context": lambda call: contextvars.Context().run(call),
    "pool": lambda call: ThreadPoolExecutor(1).submit(call).result(),
    "loop": lambda call: asyncio.run(asyncio.to_thread(call)),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_thread_and_no_context_is_without_it(lab, denying, place):
    model = lab.chat()

    with pytest.raises(PolicyDenied):
        PLACES[place](lambda: model.invoke("hi"))

    assert lab.upstream.requests == []


def test_the_executors_of_batches_and_parallel_steps_are_not_without_it(lab, denying):
    model = lab.chat()

    with pytest.raises(PolicyDenied):
        model.batch(["a", "b"], {"callbacks": []})
    with pytest.raises(PolicyDenied):
        RunnableParallel(a=model, b=model).invoke("hi")
    caught = model.batch(["a", "b"], return_exceptions=True)

    assert [type(one) for one in caught] == [PolicyDenied, PolicyDenied]
    assert lab.upstream.requests == []


def test_a_bare_fallback_of_a_guarded_model_is_judged(lab, denying):
    # Bound first: what LangChain makes of a model asks nobody which fallbacks it is given.
    model = guard(lab.chat(), denying.pep).bind(stop=["x"]).with_fallbacks([lab.chat("gpt-4o-mini")])

    for call in (model.invoke, lambda text: list(model.stream(text)), lambda text: model.batch([text])):
        with pytest.raises(PolicyDenied):
            call("hi")

    assert lab.upstream.requests == []
    assert {one.request.resource.id for one in denying.records if not one.permitted} == {
        "gpt-4o",
        "gpt-4o-mini",
    }


def test_a_node_of_a_subgraph_is_judged(lab, denying):
    model = lab.chat()
    inner = StateGraph(State)
    inner.add_node("ask", lambda state: {"said": model.invoke("hi", {"callbacks": []}).text})
    inner.add_edge(START, "ask")
    outer = StateGraph(State)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "inner")

    with pytest.raises(PolicyDenied):
        outer.compile().invoke({}, {"callbacks": []})
    with pytest.raises(PolicyDenied):
        list(outer.compile().stream({}, stream_mode="messages"))

    assert lab.upstream.requests == []


def test_an_agent_and_the_model_in_its_tool_are_judged(lab, trip):
    point = trip({Stage.PRE_PROMPT: lambda asked: deny("no") if "inner" in str(asked.document) else permit()})
    inner = lab.chat("inner")
    lab.upstream.reply = {"name": "ask", "arguments": {"question": "hi"}}

    def ask(question: str) -> str:
        """Ask another model."""
        return inner.invoke(question, {"callbacks": []}).text

    with pytest.raises(PolicyDenied):
        create_agent(lab.chat(), tools=[ask]).invoke({"messages": [HumanMessage("hi")]})

    assert [one.body["model"] for one in lab.upstream.requests] == ["gpt-4o"]
    assert point.records[-1].request.resource.id == "inner"


def test_a_call_of_a_model_by_its_inner_one_is_judged(lab, denying):
    model = guard(lab.chat(), denying.pep)

    with pytest.raises(PolicyDenied):
        model.inner.invoke("hi")

    assert lab.upstream.requests == []


# What a callback cannot do


@pytest.mark.parametrize("needed", ["redact", "route", "no_store"])
def test_what_only_guard_can_do_is_denied_before_sending(lab, trip, way, needed):
    told = {"redact": {"types": ["secret"]}, "route": {"model": "x"}, "no_store": {}}[needed]
    trip({Stage.PRE_PROMPT: permit(obligation(needed, **told))})

    done = lab.call(way, bare, lab.secret, listen=False)

    assert isinstance(done.error, PolicyDenied)
    assert "guard(model, pep)" in str(done.error)
    assert lab.upstream.requests == []


def test_a_stream_whose_answer_is_judged_is_denied_before_sending(lab, trip, streaming_way):
    trip()

    done = lab.call(streaming_way, bare, listen=False)

    assert done.error.code == "stream_not_held"
    assert lab.upstream.requests == []


# Tools and retrievers


def test_tools_and_retrievers_are_judged_wherever_they_are_called(trip):
    trip({Stage.TOOL_CALL: deny("no tool"), Stage.TOOL_RESULT: deny("no result")})
    ran = []

    @tool
    def look(who: str) -> str:
        """Look somebody up."""
        ran.append(who)
        return who

    class Retrieving(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document("found")]

    with pytest.raises(PolicyDenied, match="no tool"):
        RunnableLambda(lambda given: look.invoke(given, {"callbacks": []})).invoke({"who": "me"})
    with pytest.raises(PolicyDenied, match="no result"):
        Retrieving().invoke("hi", {"callbacks": []})

    assert ran == []


# Who calls


@pytest.mark.parametrize("bare_way", ["invoke", "ainvoke", "batch", "abatch", "chain", "async chain"])
def test_it_knows_who_acts(lab, trip, bare_way):
    point = trip()

    with acting_as("alice"):
        lab.call(bare_way, bare)

    assert {one.request.subject.id for one in point.records} == {"alice"}
