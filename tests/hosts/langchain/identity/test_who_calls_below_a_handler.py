"""Who calls: what a handler hears of it, where no chain carries a subject."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest
from callers import ALICE, METADATA, answering, asserted, who
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from checkrein import acting_as
from checkrein.testing import StaticEngine, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, as_subject


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


# A handler hears of a subject that no chain carries


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
