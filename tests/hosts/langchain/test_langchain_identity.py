"""Who calls: found out when the call begins, kept wherever it runs, and never taken from a mere claim."""

import asyncio
import contextvars
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tracers.base import BaseTracer

from checkrein import Entity, acting_as
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
