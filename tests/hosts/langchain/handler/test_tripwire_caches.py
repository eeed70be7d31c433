"""The tripwire over caches and text models: an answer that no handler hears of is denied."""

import asyncio

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.runnables import RunnableLambda
from langchain_openai import OpenAI

from checkrein.testing import StaticEngine, deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


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
