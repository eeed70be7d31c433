"""The tripwire: an installed handler is in every call of the process, whatever it is called with."""

import asyncio
import contextvars
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.documents import Document
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import OpenAI
from langgraph.graph import START, StateGraph

from checkrein import acting_as
from checkrein.testing import StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def bare(model):
    return model


@pytest.fixture
def trip(lab):
    """Makes an enforcement point, and puts its handler everywhere until the test ends."""
    installed = []

    def make(answers=None, *, subject=None, **options):
        point = lab.govern(answers, **options)
        point.handler = PolicyCallbackHandler(point.pep, subject=subject)
        installed.append(point.handler.install())
        return point

    yield make
    for uninstall in installed:
        uninstall()


@pytest.fixture
def denying(trip):
    return trip({Stage.PRE_PROMPT: deny("no")})


@pytest.fixture
def text_model(upstream):
    with httpx.Client(verify=False, trust_env=False) as client:

        def make(**options):
            return OpenAI(
                model="gpt-3.5-turbo-instruct",
                base_url=upstream.url,
                api_key="none",
                max_retries=0,
                http_client=client,
                **options,
            )

        yield make


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


# Guarded calls


def test_a_guarded_call_is_not_judged_twice(lab, trip, way):
    point = trip()

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert done.error is None
    assert "hello there" in done.text
    assert [one.request.stage for one in point.records] == list(lab.stages)
    assert len(point.handler._runs) == 0


def test_a_guarded_call_may_do_what_a_callback_cannot(lab, trip, way):
    point = trip({Stage.PRE_PROMPT: permit(obligation("redact", types=["secret"]))})

    done = lab.call(way, lambda model: guard(model, point.pep), lab.secret)

    assert done.error is None
    assert lab.raw(lab.upstream.texts) == 0


def test_a_reply_passes(lab, trip, way):
    point = trip({Stage.PRE_PROMPT: deny("no")}, denials={"on_denied": "reply"})

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert done.error is None
    assert "denied by policy: no" in done.text
    assert len(point.records) == 2


def test_a_model_that_another_policy_guards_is_judged(lab, denying):
    theirs = lab.govern()

    with pytest.raises(PolicyDenied):
        guard(lab.chat(), theirs.pep).invoke("hi")

    assert lab.upstream.requests == []


def test_no_word_of_a_caller_makes_a_call_look_guarded(lab, denying):
    shown = guard(lab.chat(), denying.pep)
    config = {
        "metadata": {"guarded": True, "ls_model_type": "guarded", "checkrein": "guarded"},
        "tags": ["guarded"],
        "run_name": "GuardedChatModel",
        "configurable": {"guarded": True, "__checkrein_guarded": True},
    }
    model = lab.chat()
    model.__dict__["_serialized"] = dict(shown._serialized)

    with pytest.raises(PolicyDenied):
        model.invoke("hi", config)

    assert lab.upstream.requests == []


def test_the_same_handler_passed_as_well_asks_once(lab, trip):
    engine = StaticEngine({Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit()})
    point = trip(engine=engine, unchecked=["post_completion"])

    lab.chat().invoke("hi", {"callbacks": [point.handler]})

    assert [one.request.stage for one in point.records] == list(lab.stages)


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


# Caches and text models


def test_an_answer_from_a_chat_models_cache_is_judged_every_time(lab, trip):
    answers = {Stage.POST_COMPLETION: permit()}
    point = trip({Stage.POST_COMPLETION: lambda asked: answers[Stage.POST_COMPLETION]})
    model = lab.chat(cache=InMemoryCache())

    assert model.invoke("hi").text == "hello there"
    answers[Stage.POST_COMPLETION] = deny("no")
    for _ in range(2):
        with pytest.raises(PolicyDenied):
            model.invoke("hi")

    assert len(lab.upstream.requests) == 1
    assert [one.request.stage for one in point.records] == list(lab.stages) * 3


TEXT_WAYS = {
    "invoke": lambda model, config: model.invoke("hi", config),
    "stream": lambda model, config: list(model.stream("hi", config)),
    "batch": lambda model, config: model.batch(["hi", "ho"], config),
    "generate": lambda model, config: model.generate(["hi", "ho"]),
    "chain": lambda model, config: (RunnableLambda(lambda text: text) | model).invoke("hi", config),
}


@pytest.fixture(params=TEXT_WAYS)
def text_way(request):
    return request.param


@pytest.mark.parametrize("callbacks", [None, []], ids=["absent", "none"])
def test_text_models_are_judged(lab, denying, text_model, text_way, callbacks):
    with pytest.raises(PolicyDenied):
        TEXT_WAYS[text_way](text_model(cache=False), {"callbacks": callbacks})

    assert lab.upstream.requests == []


def test_the_answers_of_text_models_are_judged(lab, trip, text_model, text_way):
    trip({Stage.POST_COMPLETION: deny("no")})

    with pytest.raises(PolicyDenied):
        TEXT_WAYS[text_way](text_model(cache=False), {})


@pytest.fixture(params=["own", "global"])
def cached_text_model(request, text_model):
    """A text model whose answer lies in a cache before anybody judges anything."""
    cache = InMemoryCache()
    if request.param == "global":
        set_llm_cache(cache)
    model = text_model(cache=cache if request.param == "own" else None)
    for text in ("hi", "ho"):
        model.invoke(text)
    yield model
    set_llm_cache(None)


def test_a_text_model_with_a_cache_is_denied_because_no_handler_hears_of_its_answers(
    lab, cached_text_model, trip, text_way
):
    engine = StaticEngine({Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit()})
    point = trip(engine=engine, unchecked=["post_completion"])
    sent = len(lab.upstream.requests)

    if text_way == "stream":
        # It knows no cache.
        assert "".join(TEXT_WAYS[text_way](cached_text_model, {})) == "hello there"
        return
    with pytest.raises(PolicyDenied) as denied:
        TEXT_WAYS[text_way](cached_text_model, {"callbacks": []})

    assert denied.value.code == "cache_not_governed"
    assert "cache=False" in str(denied.value)
    assert len(lab.upstream.requests) == sent
    assert point.records[-1].request.stage is Stage.PRE_PROMPT


def test_an_asynchronous_text_model_with_a_cache_is_denied(lab, cached_text_model, trip):
    trip()

    with pytest.raises(PolicyDenied) as denied:
        asyncio.run(cached_text_model.ainvoke("hi"))

    assert denied.value.code == "cache_not_governed"


def test_a_text_model_with_a_cache_passes_under_monitor_for_the_record(lab, cached_text_model, trip):
    point = trip({}, enforcement={"default": "monitor"})

    assert cached_text_model.batch(["hi", "ho"]) == ["hello there"] * 2
    assert [one.reasons[0].code for one in point.records] == ["cache_not_governed"] * 2


def test_a_chat_model_with_a_global_cache_is_none_of_it(lab, trip):
    point = trip()
    set_llm_cache(InMemoryCache())
    try:
        assert lab.chat().invoke("hi").text == "hello there"
    finally:
        set_llm_cache(None)

    assert [one.request.stage for one in point.records] == list(lab.stages)


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


# Putting it in and taking it out


def test_a_second_one_is_refused(lab, trip):
    point = trip()

    with pytest.raises(RuntimeError, match="installed already"):
        PolicyCallbackHandler(point.pep).install()
    with pytest.raises(RuntimeError, match="installed already"):
        point.handler.install()


def test_it_can_be_taken_out_and_put_in_again(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    handler, model = PolicyCallbackHandler(point.pep), lab.chat()

    for _ in range(2):
        uninstall = handler.install()
        with pytest.raises(PolicyDenied):
            model.invoke("hi")
        uninstall()
        uninstall()
        assert model.invoke("hi").text == "hello there"


def test_taking_one_out_leaves_the_next_one_in(lab):
    first, second = lab.govern(), lab.govern({Stage.PRE_PROMPT: deny("no")})
    early = PolicyCallbackHandler(first.pep).install()
    early()
    late = PolicyCallbackHandler(second.pep).install()

    try:
        early()
        with pytest.raises(PolicyDenied):
            lab.chat().invoke("hi")
    finally:
        late()


SCRIPT = """
import multiprocessing
from langchain_core.language_models import FakeListChatModel
from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, deny
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied

def install():
    pep = EnforcementPoint(StaticEngine(deny("no")), record=lambda decision: None)
    PolicyCallbackHandler(pep).install()

def ask(_):
    try:
        return FakeListChatModel(responses=["answer"]).invoke("hi").text
    except PolicyDenied:
        return "denied"

def in_child(how, **options):
    with multiprocessing.get_context(how).Pool(1, **options) as pool:
        return pool.map(ask, [0])[0]

if __name__ == "__main__":
    install()
    print(ask(0), in_child("fork"), in_child("spawn"), in_child("spawn", initializer=install))
"""


def test_a_forked_child_has_it_and_a_spawned_one_installs_its_own(tmp_path):
    path = tmp_path / "children.py"
    path.write_text(SCRIPT)

    done = subprocess.run([sys.executable, path], check=True, timeout=120, capture_output=True, text=True)

    assert done.stdout.split() == ["denied", "denied", "answer", "denied"]
