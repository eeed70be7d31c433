"""A router in every way of calling it: the chosen model alone is called, and nothing else comes back."""

import asyncio
import re

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from routed_models import NAMES, asked, called, of, only, routed

from checkrein.detection import Detectors, Span
from checkrein.identity import acting_as
from checkrein.testing import Failure, deny, obligation, permit
from checkrein.vocabulary import Entity, Stage
from checkrein_langchain import PolicyDenied, PolicyRouter, as_subject

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def two(model, pep):
    """The given client under a forbidden name, and a copy of it with a name of its own."""
    return PolicyRouter(
        models={"large": model, "small": model.model_copy(update={"model_name": "gpt-4o-mini"})}, pep=pep
    )


# Every way of calling it


def test_every_way_of_calling_reaches_the_chosen_model_alone(lab, way):
    point = lab.govern({Stage.MODEL_SELECTION: only("small")})

    done = lab.call(way, lambda model: two(model, point.pep))

    assert done.error is None
    assert "hello there" in done.text
    assert called(lab) == ["gpt-4o-mini"]
    assert [one.request.resource.id for one in point.records] == ["router", "small", "small", "small"]


def test_every_way_of_calling_withholds_what_guard_withholds(lab, way, stage):
    lab.upstream.reply = f"the answer is {lab.secret}"
    point = lab.govern({stage: deny("no")})
    prompt = "hello" if stage is Stage.POST_COMPLETION else lab.secret

    done = lab.call(way, lambda model: two(model, point.pep), prompt)

    assert isinstance(done.error, PolicyDenied)
    lab.upstream.wait()
    assert len(lab.upstream.requests) == (stage is Stage.POST_COMPLETION)
    assert lab.raw(done.error, repr(done.error), *map(repr, done.got), *done.seen) == 0


def test_every_way_of_calling_redacts_what_guard_redacts(lab, way):
    lab.upstream.reply = f"the key is {lab.secret}, keep it"
    redact = permit(obligation("redact", types=["secret"]))
    point = lab.govern({Stage.PRE_PROMPT: redact, Stage.POST_COMPLETION: redact})

    done = lab.call(way, lambda model: two(model, point.pep), f"my key is {lab.secret}, keep it")

    assert done.error is None
    assert lab.raw(lab.upstream.texts, *map(repr, done.got), *done.seen) == 0
    assert "my key is [REDACTED:secret], keep it" in lab.upstream.texts
    assert "the key is [REDACTED:secret], keep it" in done.text


def test_a_denial_is_replied_to_where_the_settings_say_so(lab, way):
    if way == "events v3":
        way = "events"
    point = lab.govern({Stage.MODEL_SELECTION: deny("no")}, denials={"on_denied": "reply"})

    done = lab.call(way, lambda model: two(model, point.pep), lab.secret)

    assert done.error is None
    assert "denied by policy: no" in done.text
    assert lab.upstream.requests == []
    assert lab.raw(*map(repr, done.got), *done.seen) == 0


@pytest.fixture
def window(govern):
    """An enforcement point whose streams leave in a window: its detector finds nine characters at most."""

    def make(answers):
        point = govern(answers, stream={"mode": "window"})
        point.pep._concluder.detectors = Detectors(
            dict.fromkeys(Stage, frozenset({"secret"})),
            dict.fromkeys(
                Stage,
                (lambda text: [Span("secret", *hit.span()) for hit in re.finditer("[§¤¶]{1,9}", text)],),
            ),
            dict.fromkeys(Stage, 9),
        )
        return point

    return make


def test_a_stream_in_a_window_leaves_redacted_before_its_end(lab, window, streaming_way):
    lab.upstream.reply = f"{'word ' * 80}{lab.secret}{' tail' * 80}"
    redact = permit(obligation("redact", types=["secret"]))
    point = window({Stage.MODEL_SELECTION: only("small"), Stage.POST_COMPLETION: redact})

    done = lab.call(streaming_way, lambda model: two(model, point.pep))

    assert done.error is None
    assert "word [REDACTED:secret] tail" in done.text
    assert lab.raw(*map(repr, done.got), *done.seen) == 0
    assert len(done.got) > 3
    assert called(lab) == ["gpt-4o-mini"]


# More than one call: batches, caches, retries, fallbacks


def test_calls_of_a_batch_are_routed_one_by_one(lab):
    def long(question):
        words = question.document["context"]["prompt"]["words"]
        return permit() if (words > 3) == (of(question) == "large") else deny("size")

    one = routed(lab, {Stage.MODEL_SELECTION: long}, names={"small": "gpt-4o-mini", "large": "gpt-4o"})
    lab.upstream.reply = lambda body: body["model"]

    answers = one.router.batch(["hi", "one two three four", "ho"])
    result = one.router.generate([[HumanMessage("hi")], [HumanMessage("one two three four")]])

    assert [answer.text for answer in answers] == ["gpt-4o-mini", "gpt-4o", "gpt-4o-mini"]
    assert [choices[0].text for choices in result.generations] == ["gpt-4o-mini", "gpt-4o"]
    assert result.llm_output["token_usage"]["total_tokens"] > 0


def test_the_caches_of_the_models_lie_below_policy(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: only("large")}, options={"cache": InMemoryCache()})

    for _ in range(2):
        one.router.invoke("hi")

    assert called(lab) == ["gpt-4o"]
    assert len(one.records) == 8


def test_retries_ask_again_under_the_same_call(lab):
    one = routed(lab)
    lab.upstream.reply = [Failure(503), "hello"]

    def flaky(text):
        return one.router.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke(text)

    assert RunnableLambda(flaky).invoke("hi").text == "hello"

    assert called(lab) == ["gpt-4o-mini", "gpt-4o-mini"]
    choices = [record for record in one.records if record.candidates]
    assert [record.attempt for record in choices] == [1, 2]
    assert len({record.call_id for record in one.records}) == 1


def test_fallbacks_by_name_are_each_decided(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: only("local")})
    chain = one.router.bind(model="small").with_fallbacks([one.router.bind(model="local")])

    assert chain.invoke("hi").text == "hello there"

    assert called(lab) == ["llama"]
    assert asked(one.records)[0] == (Stage.MODEL_SELECTION, "small")


def test_the_subject_is_whoever_acts(lab):
    one = routed(lab)

    one.router.acting_as("alice").invoke("hi")
    one.router.invoke("hi", as_subject("bob"))
    with acting_as(Entity(type="user", id="carol")):
        stream = one.router.stream("hi")
    list(stream)

    assert [record.request.subject.id for record in one.records if record.candidates] == [
        "alice",
        "bob",
        "carol",
    ]
    assert {record.request.subject.id for record in one.records} == {"alice", "bob", "carol"}


def test_many_calls_at_once_are_kept_apart(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: lambda q: only(q.document["subject"]["id"])(q)})
    lab.upstream.reply = lambda body: body["model"]

    async def all_of_them():
        names = list(NAMES) * 8
        answers = await asyncio.gather(*(one.router.acting_as(name).ainvoke("hi") for name in names))
        assert [answer.text for answer in answers] == [NAMES[name] for name in names]

    asyncio.run(all_of_them())
    assert len({record.call_id for record in one.records}) == 24
