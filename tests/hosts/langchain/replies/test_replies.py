"""`on_denied: reply`: a denied call is answered with an ordinary message, in every way of calling."""

import pytest
from foreign_model import look
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from replied import is_reply, told

from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def guarded(point):
    return lambda model: guard(model, point.pep)


def test_a_denied_call_is_answered_with_the_message_of_the_settings(lab, replying, way, stage):
    lab.upstream.reply = f"the key is {lab.secret}"
    point = replying({stage: deny("no", f"because of {lab.secret}")})

    # A prompt that is permitted is rightly seen by whoever listens.
    done = lab.call(way, guarded(point), "hello" if stage is Stage.POST_COMPLETION else lab.secret)

    assert done.error is None
    assert done.text == told(point.records[-1])
    assert lab.raw(done.got, done.seen) == 0
    assert len(lab.upstream.requests) == (stage is Stage.POST_COMPLETION)
    assert [one.request.stage for one in point.records] == [*lab.stages[: lab.stages.index(stage) + 1]]


def test_a_reply_is_a_message_that_says_why_it_is_one(lab, replying, stage):
    point = replying({stage: deny("no")})
    model = guard(lab.chat(), point.pep)

    message = model.invoke("hi")

    assert type(message) is AIMessage
    assert is_reply(message, point.records[-1])
    assert message.id.startswith("lc_run-")


def test_a_streamed_reply_is_a_stream_with_a_proper_end(lab, replying, stage):
    point = replying({stage: deny("no")})

    chunks = list(guard(lab.chat(), point.pep).stream("hi"))

    assert [type(one) for one in chunks] == [AIMessageChunk]
    assert chunks[0].chunk_position == "last"
    assert is_reply(chunks[0], point.records[-1])


def test_a_model_that_streams_nothing_replies_as_it_answers(lab, replying, stage):
    point = replying({stage: deny("no")})

    (message,) = guard(lab.chat(disable_streaming=True), point.pep).stream("hi")

    assert is_reply(message, point.records[-1])


def test_the_tokens_of_an_answer_that_is_withheld_were_used_all_the_same(lab, replying):
    point = replying({Stage.POST_COMPLETION: deny("no")})
    model = guard(lab.chat(stream_usage=True), point.pep)

    for message in (model.invoke("hi"), *list(model.stream("hi"))[-1:]):
        used = message.usage_metadata
        assert (used["input_tokens"], used["output_tokens"], used["total_tokens"]) == (2, 2, 4)


def test_a_denied_prompt_uses_nothing(lab, replying):
    point = replying({Stage.PRE_PROMPT: deny("no")})

    assert guard(lab.chat(), point.pep).invoke("hi").usage_metadata is None


def test_callbacks_are_shown_that_a_prompt_was_denied_and_not_what_was_in_it(lab, replying):
    point = replying({Stage.PRE_PROMPT: deny("no")})
    shown = []

    class Listening(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            shown.append((messages, kwargs))

    model = guard(lab.chat(), point.pep).bind_tools([look]).bind(stop=[lab.secret], user=lab.secret)
    model.invoke(lab.secret, {"callbacks": [Listening()]})

    ((messages, more),) = shown
    assert messages == [[HumanMessage("[denied by policy]")]]
    assert lab.raw(repr(shown)) == 0
    assert "tools" not in more["invocation_params"]


def test_a_callback_that_changes_what_it_is_shown_of_a_denied_prompt_sends_nothing(lab, replying):
    point = replying({Stage.PRE_PROMPT: deny("no")})

    class Changing(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            messages[0][0].content = "something harmless"

    message = guard(lab.chat(), point.pep).invoke("hi", {"callbacks": [Changing()]})

    assert is_reply(message, point.records[-1])
    assert lab.upstream.requests == []


def test_two_denied_prompts_share_no_message(lab, replying):
    point = replying({Stage.PRE_PROMPT: deny("no")})
    shown = []

    class Changing(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            shown.append(messages[0][0].content)
            messages[0][0].content += "!"

    for _ in range(2):
        guard(lab.chat(), point.pep).invoke("hi", {"callbacks": [Changing()]})

    assert len(set(shown)) == 1


def test_of_a_batch_only_what_is_denied_is_replied_to(lab, replying):
    point = replying(
        {Stage.PRE_PROMPT: lambda asked: deny("no") if "bad" in str(asked.document) else permit()}
    )
    model = guard(lab.chat(), point.pep)

    texts = [one.text for one in model.batch(["good", "bad"])]
    generated = model.generate([[HumanMessage("bad")], [HumanMessage("good")]])

    assert texts[0] == "hello there"
    assert texts[1].startswith("Ask something else")
    assert generated.generations[0][0].text.startswith("Ask something else")
    assert generated.generations[1][0].text == "hello there"


@pytest.mark.parametrize(
    "failing", [FailingEngine("timeout"), FailingEngine(answer=True)], ids=["timeout", "nonsense"]
)
def test_an_engine_without_an_answer_is_replied_to_as_well(lab, replying, way, stage, failing):
    answers = {one: failing._answer if one is stage else permit() for one in Stage}
    point = replying(engine=StaticEngine(answers))

    done = lab.call(way, guarded(point))

    assert done.error is None
    assert done.text == point.records[-1].message
    assert done.text.startswith("denied by policy: failure.")


def test_a_change_that_cannot_be_made_is_replied_to(lab, replying, way):
    point = replying({Stage.MODEL_SELECTION: permit(obligation("route", model="other"))})

    def wrap(model):
        return guard(model.model_copy(update={"model_kwargs": {"model": "gpt-4"}}), point.pep)

    done = lab.call(way, wrap)

    assert done.error is None
    assert "obligation_failed" in done.text
    assert lab.upstream.requests == []


def test_an_answer_over_the_limit_is_replied_to(lab, replying, way):
    lab.upstream.reply = lab.secret * 30
    point = replying(limits={"text": "100B"})

    done = lab.call(way, guarded(point))

    assert done.error is None
    assert done.text.startswith("denied by policy: limit.text")
    assert lab.raw(done.got, done.seen) == 0


def test_no_cache_keeps_a_reply(lab, replying):
    answers = {Stage.POST_COMPLETION: deny("no")}
    point = replying({Stage.POST_COMPLETION: lambda asked: answers[Stage.POST_COMPLETION]})
    cache = InMemoryCache()
    model = guard(lab.chat(cache=cache), point.pep)

    model.invoke("hi")
    assert not cache._cache
    answers[Stage.POST_COMPLETION] = permit()

    assert model.invoke("hi").text == "hello there"


def test_a_reply_is_a_success_that_no_retry_asks_about_again(lab, replying, stage):
    point = replying({stage: deny("no")})
    model = guard(lab.chat(), point.pep)
    wary = model.with_retry(stop_after_attempt=3).with_fallbacks([guard(lab.chat("gpt-4o-mini"), point.pep)])

    assert is_reply(wary.invoke("hi"), point.records[-1])
    assert len([one for one in point.records if one.request.stage is stage]) == 1


def test_an_agent_ends_with_the_reply(lab, replying, stage):
    point = replying({stage: deny("no")})
    agent = create_agent(guard(lab.chat(), point.pep), tools=[look])

    state = agent.invoke({"messages": [HumanMessage("hi")]})

    assert is_reply(state["messages"][-1], point.records[-1])


# Where a text is no answer


def test_a_model_that_does_not_tell_its_request_is_replied_for_too(lab, replying, stage):
    point = replying({stage: deny("no")})

    message = guard(FakeListChatModel(responses=["x"]), point.pep).invoke("hi")

    assert is_reply(message, point.records[-1])


def test_without_the_setting_nothing_is_replied(lab, way, stage):
    point = lab.govern({stage: deny("no")})

    assert isinstance(lab.call(way, guarded(point)).error, PolicyDenied)
    assert Settings().denials.on_denied == "raise"
