"""After a denial no ungoverned model is asked, however its fallbacks were put together."""

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListLLM
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    RunnableBranch,
    RunnableLambda,
    RunnablePassthrough,
)
from pydantic import BaseModel

from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, PolicyRouter, guard

PROMPT = ChatPromptTemplate.from_template("{x}")


class Answer(BaseModel):
    """An answer."""

    a: str


def _look(q: str) -> str:
    """Look it up."""
    return q


MADE = {
    "bound tools": lambda one, bare: one.bind_tools([_look]).with_fallbacks([bare.bind_tools([_look])]),
    "bound options": lambda one, bare: one.bind(temperature=0).with_fallbacks([bare]),
    "a config": lambda one, bare: one.with_config(tags=["x"]).with_fallbacks([bare]),
    "retries": lambda one, bare: one.with_retry(stop_after_attempt=1).with_fallbacks([bare]),
    "a schema": lambda one, bare: one.with_structured_output(Answer).with_fallbacks(
        [bare.with_structured_output(Answer)]
    ),
    "a chain": lambda one, bare: (PROMPT | one).with_fallbacks([PROMPT | bare]),
    "chains in chains": lambda one, bare: (PROMPT | (RunnableLambda(lambda said: said) | one)).with_fallbacks(
        [RunnableLambda(str).with_fallbacks([PROMPT]) | (RunnableLambda(str) | bare)]
    ),
    "a function": lambda one, bare: RunnableLambda(lambda said: one.invoke(str(said))).with_fallbacks(
        [RunnableLambda(lambda said: bare.invoke(str(said), {"callbacks": []}))]
    ),
    "fallbacks in fallbacks": lambda one, bare: (
        (PROMPT | one).with_fallbacks([PROMPT | one]).with_fallbacks([PROMPT | bare])
    ),
    "an error made of the denial": lambda one, bare: (PROMPT | RunnableLambda(_failing(one))).with_fallbacks(
        [PROMPT | bare]
    ),
    "retried fallback": lambda one, bare: one.with_fallbacks([bare.with_retry(stop_after_attempt=1)]),
    "configurable fallback": lambda one, bare: one.with_fallbacks(
        [bare.configurable_fields(model_name=ConfigurableField(id="m"))]
    ),
    "alternatives": lambda one, bare: one.with_fallbacks(
        [bare.configurable_alternatives(ConfigurableField(id="m"), default_key="x")]
    ),
    "a branch": lambda one, bare: one.with_fallbacks([RunnableBranch((lambda _: False, bare), bare)]),
    "an assignment": lambda one, bare: one.with_fallbacks(
        [RunnableLambda(lambda said: {"x": said}) | RunnablePassthrough.assign(y=PROMPT | bare)]
    ),
    "a text model": lambda one, _: one.with_fallbacks([FakeListLLM(responses=["answered"])]),
}
SYNC = {
    "invoke": lambda chain, given, config: chain.invoke(given, config),
    "stream": lambda chain, given, config: list(chain.stream(given, config)),
    "batch": lambda chain, given, config: chain.batch([given, given], config),
}


async def _streamed(chain, given, config):
    return [one async for one in chain.astream(given, config)]


ASYNC = {
    "ainvoke": lambda chain, given, config: chain.ainvoke(given, config),
    "astream": _streamed,
    "abatch": lambda chain, given, config: chain.abatch([given, given], config),
}


def _failing(model):
    def ask(said):
        try:
            return model.invoke(said)
        except PolicyDenied as denied:
            raise ValueError("no answer") from denied

    return ask


def _given(made):
    return {"x": "hi"} if "chain" in made or "fallbacks" in made or "error" in made else "hi"


@pytest.fixture
def denying(govern):
    return govern({Stage.PRE_PROMPT: deny("no")})


@pytest.mark.parametrize("callbacks", [None, [BaseCallbackHandler()]], ids=["silent", "heard"])
@pytest.mark.parametrize("way", SYNC)
@pytest.mark.parametrize("made", MADE)
def test_nobody_else_is_asked_after_a_denial(lab, denying, made, way, callbacks):
    chain = MADE[made](guard(lab.chat(), denying.pep), lab.chat("gpt-4o-mini"))

    with pytest.raises((PolicyDenied, ValueError)):
        SYNC[way](chain, _given(made), {"callbacks": callbacks})

    assert lab.upstream.requests == []


@pytest.mark.parametrize("callbacks", [None, [BaseCallbackHandler()]], ids=["silent", "heard"])
@pytest.mark.parametrize("way", ASYNC)
@pytest.mark.parametrize("made", [made for made in MADE if made not in ("a function", "a text model")])
def test_nobody_else_is_asked_after_a_denial_in_asynchronous_calls(lab, denying, made, way, callbacks):
    chain = MADE[made](guard(lab.chat(), denying.pep), lab.chat("gpt-4o-mini"))

    with pytest.raises((PolicyDenied, ValueError)):
        asyncio.run(ASYNC[way](chain, _given(made), {"callbacks": callbacks}))

    assert lab.upstream.requests == []


@pytest.mark.parametrize("made", ["bound tools", "a chain", "a config"])
def test_nobody_else_is_asked_after_a_denied_answer(lab, made):
    point = lab.govern({Stage.POST_COMPLETION: deny("no")})
    chain = MADE[made](guard(lab.chat(), point.pep), lab.chat("gpt-4o-mini"))

    with pytest.raises(PolicyDenied):
        chain.invoke(_given(made))

    assert [one.body["model"] for one in lab.upstream.requests] == ["gpt-4o"]


def test_nobody_else_is_asked_after_a_router_is_denied(lab, denying):
    router = PolicyRouter(models={"gpt-4o": lab.chat()}, pep=denying.pep)
    bare = lab.chat("gpt-4o-mini")

    for chain in (
        router.bind_tools([_look]).with_fallbacks([bare]),
        router.with_structured_output(Answer).with_fallbacks([bare.with_structured_output(Answer)]),
    ):
        with pytest.raises(PolicyDenied):
            chain.invoke("hi")

    assert lab.upstream.requests == []


def test_the_caller_sees_the_denial_of_the_first_try(lab, denying):
    chain = MADE["a chain"](guard(lab.chat(), denying.pep), lab.chat("gpt-4o-mini"))

    # Of all tries LangChain raises the first error.
    with pytest.raises(PolicyDenied) as caught:
        chain.invoke({"x": "hi"})

    assert caught.value.decision is denying.records[-1]


def test_a_governed_fallback_is_asked_itself(lab, denying):
    other = lab.govern()
    chain = MADE["a chain"](guard(lab.chat(), denying.pep), guard(lab.chat("gpt-4o-mini"), other.pep))

    assert chain.invoke({"x": "hi"}).text == "hello there"
    assert [one.body["model"] for one in lab.upstream.requests] == ["gpt-4o-mini"]


def test_an_ungoverned_fallback_is_asked_where_the_first_failed_otherwise(lab):
    model = guard(lab.chat(), lab.govern().pep)
    chain = (PROMPT | RunnableLambda(lambda _: 1 / 0) | model).with_fallbacks([PROMPT | lab.chat("small")])

    assert chain.invoke({"x": "hi"}).text == "hello there"


def test_a_denial_that_a_try_made_good_refuses_nobody(lab, denying):
    model = guard(lab.chat(), denying.pep)

    def answer(said):
        try:
            return model.invoke(said).text
        except PolicyDenied:
            return "sorry"

    good = guard(lab.chat("mid"), lab.govern().pep)
    chain = (
        PROMPT
        | RunnableLambda(answer).with_fallbacks([RunnableLambda(str)])
        | (PROMPT | model).with_fallbacks([RunnableLambda(str) | good])
        | RunnableLambda(lambda said: said.text)
        | lab.chat("small")
    ).with_fallbacks([RunnableLambda(str)])

    assert chain.invoke({"x": "hi"}).text == "hello there"
    assert [one.body["model"] for one in lab.upstream.requests] == ["mid", "small"]
