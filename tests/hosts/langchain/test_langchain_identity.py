"""Who calls: found out when the call begins, kept wherever it runs, and never taken from a mere claim."""

import asyncio
import contextvars
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TypedDict
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from checkrein import Entity, acting_as
from checkrein.testing import StaticEngine, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, as_subject, guard

ALICE = Entity(type="user", id="alice", properties={"tier": "pro", "token": "very-secret"})
METADATA = {"langchain": {"metadata": {"id": "user_id", "properties": {"tier": "tier"}}, "trusted": True}}


def who(point):
    """The subjects of the records so far, and where they came from."""
    found = {(one.request.subject.id, one.request.identity["source"]) for one in point.records}
    (only,) = found
    return only


def asserted(point):
    (only,) = {one.request.identity["asserted"] for one in point.records}
    return only


@pytest.fixture
def point(lab):
    return lab.govern()


@pytest.fixture
def model(lab, point):
    return guard(lab.chat(), point.pep)


def test_nobody_is_anonymous(model, point):
    model.invoke("hi")

    assert who(point) == ("anonymous", "none")


def test_acting_as_counts_in_every_way(lab, point, way):
    with acting_as("alice"):
        lab.call(way, lambda model: guard(model, point.pep))

    assert who(point) == ("alice", "context")


def test_a_bound_model_acts_for_its_subject_in_every_way(lab, point, way):
    with acting_as("mallory"):
        lab.call(way, lambda model: guard(model, point.pep).acting_as(ALICE))

    assert who(point) == ("alice", "bound")
    assert point.records[0].document["subject"]["properties"]["tier"] == "pro"


def test_binding_makes_a_copy(model, point):
    model.acting_as("alice")
    model.invoke("hi")

    assert who(point) == ("anonymous", "none")


def test_a_call_for_a_subject_is_made_for_it_wherever_it_runs(model, point):
    ask = ChatPromptTemplate.from_messages([("human", "{text}")]) | model
    nested = RunnableLambda(lambda given: [ask.invoke(given)])
    chains = [
        ask,
        nested,
        RunnableParallel(a=ask, b=nested),
        ask.with_config(tags=["x"]),
        RunnableLambda(lambda given: [*ask.stream(given)]),
        RunnableLambda(lambda given: ask.batch([given, given])),
    ]
    for chain in chains:
        chain.invoke({"text": "hi"}, as_subject(ALICE))
        list(chain.stream({"text": "hi"}, {**as_subject(ALICE), "tags": ["t"]}))
        chain.batch([{"text": "hi"}] * 2, as_subject(ALICE))

    assert who(point) == ("alice", "bound")


def test_a_bound_model_outranks_a_bound_call(model, point):
    model.acting_as("service").invoke("hi", as_subject("alice"))

    assert who(point) == ("service", "bound")


def test_a_call_for_a_subject_outranks_the_context(model, point):
    with acting_as("service"):
        model.invoke("hi", as_subject("alice"))

    assert who(point) == ("alice", "bound")


def test_a_generator_keeps_the_subject_of_the_call_that_made_it(model, point):
    with acting_as("alice"):
        chunks = model.stream("hi")
    with acting_as("mallory"):
        next(chunks)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(list, chunks).result()

    assert who(point) == ("alice", "context")


def test_a_generator_stepped_in_changing_contexts_keeps_it_too(model, point):
    with acting_as("alice"):
        chunks = model.stream("hi")
    while contextvars.Context().run(next, chunks, None) is not None:
        pass

    assert who(point) == ("alice", "context")


def test_an_async_generator_keeps_the_subject_of_the_call_that_made_it(lab, point):
    async def go():
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            model = guard(lab.chat(http_async_client=client), point.pep)
            with acting_as("alice"):
                chunks = model.astream("hi")
            with acting_as("mallory"):
                async for _ in chunks:
                    pass

    asyncio.run(go())

    assert who(point) == ("alice", "context")


def test_a_thread_started_by_hand_is_nobody_unless_the_call_is_bound(model, point):
    def run(*args):
        thread = threading.Thread(target=model.invoke, args=args)
        thread.start()
        thread.join()

    with acting_as("alice"):
        run("hi")
    assert who(point) == ("anonymous", "none")

    point.records.clear()
    run("hi", as_subject("alice"))
    assert who(point) == ("alice", "bound")


def test_metadata_is_no_identity_unless_settings_trust_it(lab):
    claim = {"metadata": {"user_id": "root", "tier": "pro"}}
    for settings in ({}, {"identity": {"langchain": {**METADATA["langchain"], "trusted": False}}}):
        point = lab.govern(**settings)
        guard(lab.chat(), point.pep).invoke("hi", claim)
        assert who(point) == ("anonymous", "none")


def test_trusted_metadata_is_marked_as_asserted_in_every_way(lab, way):
    point = lab.govern(identity=METADATA)

    def wrap(model):
        return guard(model.model_copy(update={"metadata": {"user_id": "model", "x": 1}}), point.pep)

    lab.call(way, wrap)
    assert who(point) == ("anonymous", "none")  # a model's own metadata names no caller


@pytest.mark.parametrize("metadata_way", ["invoke", "stream", "chain", "generate"])
def test_trusted_metadata_names_the_caller(lab, metadata_way):
    point = lab.govern(identity=METADATA)
    model = guard(lab.chat(), point.pep)
    claim = {"user_id": "bob", "tier": "free"}

    if metadata_way == "generate":
        model.generate([[HumanMessage("hi")]], metadata=claim)
    elif metadata_way == "chain":
        (RunnableLambda(lambda text: text) | model).invoke("hi", {"metadata": claim})
    else:
        list(getattr(model, metadata_way)("hi", {"metadata": claim}))

    assert who(point) == ("bob", "metadata")
    assert asserted(point)
    assert point.records[0].document["subject"]["properties"] == {"tier": "free"}


def test_the_context_outranks_trusted_metadata(lab):
    point = lab.govern(identity=METADATA)
    with acting_as("alice"):
        guard(lab.chat(), point.pep).invoke("hi", {"metadata": {"user_id": "root"}})

    assert who(point) == ("alice", "context")
    assert not asserted(point)


def test_no_plain_value_can_be_a_bound_subject(model, point):
    (key,) = as_subject("alice")["configurable"]
    for forged in ("root", {"type": "user", "id": "root"}, {"identity": {"subject": "root"}}, ALICE):
        model.invoke("hi", {"configurable": {key: forged}})

    assert who(point) == ("anonymous", "none")


def test_a_bound_subject_shows_nothing_and_stays_in_its_process():
    config = as_subject(ALICE)

    assert "secret" not in repr(config)
    assert "alice" not in repr(config)
    assert "alice" in repr(next(iter(copy.deepcopy(config)["configurable"].values())).identity)
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(config)


def test_a_bound_subject_is_in_no_trace(model):
    traced = []

    class Tracer(BaseTracer):
        def _persist_run(self, run):
            traced.append(run.model_dump_json() if hasattr(run, "model_dump_json") else repr(run))

    (RunnableLambda(lambda text: text) | model).invoke("hi", {**as_subject(ALICE), "callbacks": [Tracer()]})

    assert traced
    assert "very-secret" not in "".join(traced)
    assert "subject" not in "".join(traced)


@pytest.mark.parametrize("wrong", [None, 7, {"id": "alice"}])
def test_only_a_subject_is_bound(model, wrong):
    with pytest.raises(TypeError, match="no subject"):
        model.acting_as(wrong)
    with pytest.raises(TypeError, match="no subject"):
        as_subject(wrong)


@pytest.mark.parametrize("handler_way", ["invoke", "ainvoke", "batch", "abatch", "chain", "async chain"])
def test_a_handler_knows_who_acts(lab, point, handler_way):
    with acting_as("alice"):
        lab.call(handler_way, lambda model: model, callbacks=[PolicyCallbackHandler(point.pep)])

    assert who(point) == ("alice", "context")


def test_a_handler_knows_for_whom_a_chain_was_called(lab, point):
    chain = RunnableLambda(lambda text: text) | lab.chat()

    chain.invoke("hi", {**as_subject("alice"), "callbacks": [PolicyCallbackHandler(point.pep)]})

    assert who(point) == ("alice", "bound")


def test_a_handler_reads_metadata_only_if_settings_trust_it(lab):
    trusting, doubting = lab.govern(identity=METADATA), lab.govern()
    for point in (trusting, doubting):
        config = {"metadata": {"user_id": "bob"}, "callbacks": [PolicyCallbackHandler(point.pep)]}
        lab.chat().invoke("hi", config)

    assert (who(trusting), asserted(trusting)) == (("bob", "metadata"), True)
    assert who(doubting) == ("anonymous", "none")


# A handler hears of a subject that no chain carries


HANDLED = {
    "invoke": lambda model, config: model.invoke("hi", config),
    "batch": lambda model, config: model.batch(["hi", "ho"], config),
    "stream": lambda model, config: list(model.stream("hi", config)),
    "ainvoke": lambda model, config: asyncio.run(model.ainvoke("hi", config)),
    "abatch": lambda model, config: asyncio.run(model.abatch(["hi", "ho"], config)),
    "thread": lambda model, config: ThreadPoolExecutor(1).submit(model.invoke, "hi", config).result(),
    "retry": lambda model, config: model.with_retry().invoke("hi", config),
    "bound": lambda model, config: model.bind(stop=["x"]).with_config(tags=["t"]).invoke("hi", config),
}
UNJUDGED = {"unchecked": ["post_completion"]}
BEFORE = {Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit()}


def answering():
    return FakeListChatModel(responses=["a", "b", "c"])


@pytest.mark.parametrize("called", HANDLED)
def test_a_handler_knows_for_whom_a_bare_model_was_called(lab, called):
    point = lab.govern(engine=StaticEngine(BEFORE), **UNJUDGED)
    config = as_subject(ALICE, {"callbacks": [PolicyCallbackHandler(point.pep)]})

    with acting_as("mallory"):
        HANDLED[called](answering(), config)

    assert who(point) == ("alice", "bound")


@pytest.mark.parametrize("called", HANDLED)
def test_a_handler_takes_no_subject_of_an_earlier_call(lab, called):
    point = lab.govern(engine=StaticEngine(BEFORE), **UNJUDGED)
    handler = {"callbacks": [PolicyCallbackHandler(point.pep)]}

    async def both():
        await answering().ainvoke("hi", as_subject("alice", handler))
        point.records.clear()
        await answering().ainvoke("hi", handler)
        if not called.startswith("a"):
            HANDLED[called](answering(), handler)

    asyncio.run(both())

    assert who(point) == ("anonymous", "none")


def test_what_was_seen_of_one_call_is_not_taken_for_the_next(lab):
    point = lab.govern(engine=StaticEngine(BEFORE), **UNJUDGED)
    handler = PolicyCallbackHandler(point.pep)

    async def both():
        await answering().ainvoke("hi", as_subject("alice", {"callbacks": [handler]}))
        point.records.clear()
        # As a LangChain would do it that starts calls in places that we do not know.
        start = partial(handler.on_chat_model_start, run_id=uuid4(), metadata={})
        await asyncio.to_thread(start, {}, [[HumanMessage("hi")]])

    asyncio.run(both())

    assert who(point) == ("anonymous", "none")


def test_a_handler_tells_calls_at_once_apart(lab):
    point = lab.govern(engine=StaticEngine(BEFORE), **UNJUDGED)
    handler = {"callbacks": [PolicyCallbackHandler(point.pep)]}
    names = [f"user {number}" for number in range(20)]

    async def all_of_them():
        await asyncio.gather(*(answering().ainvoke(name, as_subject(name, handler)) for name in names))

    asyncio.run(all_of_them())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: answering().invoke(name, as_subject(name, handler)), names))

    for one in point.records:
        if one.request.stage is Stage.PRE_PROMPT:
            assert one.request.segments[-1].text == one.request.subject.id


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_handler_knows_for_whom_tools_and_retrievers_are_called(lab, asynchronous):
    point = lab.govern()
    config = as_subject(ALICE, {"callbacks": [PolicyCallbackHandler(point.pep)]})

    @tool
    def look(place: str) -> str:
        """Look somewhere."""
        return place

    class Retrieving(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document("found")]

    for called, given in ((look, {"place": "here"}), (Retrieving(), "hi")):
        point.records.clear()
        if asynchronous:
            asyncio.run(called.ainvoke(given, config))
        else:
            called.invoke(given, config)
        assert who(point) == ("alice", "bound")


def test_a_handler_knows_for_whom_a_text_model_is_called_unless_only_its_task_knows(lab):
    point = lab.govern(engine=StaticEngine(BEFORE), **UNJUDGED)
    model = FakeListLLM(responses=["a"], cache=False)
    config = as_subject(ALICE, {"callbacks": [PolicyCallbackHandler(point.pep)]})

    model.invoke("hi", config)
    list(model.stream("hi", config))
    model.batch(["hi", "ho"], config)
    asyncio.run((RunnableLambda(lambda text: text) | model).ainvoke("hi", config))
    assert who(point) == ("alice", "bound")

    point.records.clear()
    model.batch(["hi", "ho"], [config, as_subject("bob", config)])
    assert who(point) == ("anonymous", "none")

    # LangChain starts it in a task of its own, where nothing leads back to the config.
    point.records.clear()
    asyncio.run(model.ainvoke("hi", config))
    assert who(point) == ("anonymous", "none")


def test_a_tool_that_calls_a_model_for_somebody_else_is_told_apart(lab):
    point = lab.govern()
    handler = PolicyCallbackHandler(point.pep)

    @tool
    def ask(question: str) -> str:
        """Ask a model."""
        return answering().invoke(question, as_subject("bob", {"callbacks": [handler]})).text

    ask.invoke({"question": "hi"}, as_subject("alice", {"callbacks": [handler]}))

    by_stage = {one.request.stage: one.request.subject.id for one in point.records}
    assert by_stage[Stage.TOOL_CALL] == by_stage[Stage.TOOL_RESULT] == "alice"
    assert by_stage[Stage.PRE_PROMPT] == by_stage[Stage.POST_COMPLETION] == "bob"


def test_an_installed_handler_knows_for_whom_a_call_is_made(lab):
    point = lab.govern(engine=StaticEngine(BEFORE), **UNJUDGED)
    uninstall = PolicyCallbackHandler(point.pep).install()
    try:
        for call in HANDLED.values():
            call(answering(), as_subject(ALICE))
    finally:
        uninstall()

    assert who(point) == ("alice", "bound")


def test_a_subject_is_merged_into_the_config_of_a_call():
    config = as_subject("alice", {"tags": ["t"], "configurable": {"thread_id": "7"}, "recursion_limit": 5})

    (subject,) = as_subject("bob")["configurable"]
    assert config["tags"] == ["t"]
    assert config["recursion_limit"] == 5
    assert config["configurable"]["thread_id"] == "7"
    assert config["configurable"][subject].identity.subject.id == "alice"
    assert as_subject("bob", config)["configurable"][subject].identity.subject.id == "bob"


# Servers, pools and resumed graphs


STREAMED = {
    "stream": lambda model, user: model.stream("hi"),
    "bound stream": lambda model, user: model.acting_as(user).stream("hi"),
    "chain stream": lambda model, user: (RunnableLambda(lambda text: text) | model).stream(
        "hi", as_subject(user)
    ),
    "astream": lambda model, user: model.astream("hi"),
    "chain astream": lambda model, user: (RunnableLambda(lambda text: text) | model).astream(
        "hi", as_subject(user)
    ),
    "events": lambda model, user: model.astream_events("hi", as_subject(user), version="v2"),
}


@pytest.mark.parametrize("streamed", STREAMED)
@pytest.mark.parametrize("endpoint", ["sync", "async"])
def test_a_streaming_response_keeps_the_subject_of_its_endpoint(lab, endpoint, streamed):
    point = lab.govern()
    model = guard(answering(), point.pep)
    application = FastAPI()

    def respond(user: str) -> StreamingResponse:
        with acting_as(user):
            chunks = STREAMED[streamed](model, user)
        if hasattr(chunks, "__aiter__"):
            return StreamingResponse(str(one) async for one in chunks)
        return StreamingResponse(str(one) for one in chunks)

    async def arespond(user: str) -> StreamingResponse:
        return respond(user)

    application.get("/chat", response_model=None)(respond if endpoint == "sync" else arespond)
    with TestClient(application) as client:
        for user in ("alice", "bob"):
            point.records.clear()
            answer = client.get("/chat", params={"user": user})
            assert answer.status_code == 200
            assert answer.text
            assert who(point)[0] == user


def test_two_streaming_responses_at_once_are_told_apart(lab):
    point = lab.govern()
    model = guard(answering(), point.pep)

    def body(user):
        with acting_as(user):
            chunks = model.stream(user)
        return (one.text for one in chunks)

    async def respond(request):
        return StreamingResponse(body(request.query_params["user"]))

    users = [f"user {number}" for number in range(10)]
    with (
        TestClient(Starlette(routes=[Route("/chat", respond)])) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(lambda user: client.get("/chat", params={"user": user}), users))

    prompts = [one.request for one in point.records if one.request.stage is Stage.PRE_PROMPT]
    assert sorted(one.subject.id for one in prompts) == users
    assert all(one.subject.id == one.segments[0].text for one in prompts)


def test_a_thread_pool_keeps_the_subject_of_each_call(lab):
    point = lab.govern()
    model = guard(answering(), point.pep)
    users = [f"user {number}" for number in range(10)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda user: model.invoke(user, as_subject(user)), users))
        list(pool.map(lambda user: model.acting_as(user).invoke(user), users))

    prompts = [one.request for one in point.records if one.request.stage is Stage.PRE_PROMPT]
    assert len(prompts) == 2 * len(users)
    assert all(one.subject.id == one.segments[0].text for one in prompts)


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
