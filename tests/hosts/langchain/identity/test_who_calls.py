"""Who calls: found out when the call begins, kept wherever it runs, and never taken from a mere claim."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
from callers import ALICE, answering, who
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel

from checkrein import acting_as
from checkrein.vocabulary import Stage
from checkrein_langchain import as_subject, guard


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
