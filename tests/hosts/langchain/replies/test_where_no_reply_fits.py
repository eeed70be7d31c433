"""`on_denied: reply` where a text is no answer: a call that awaits something else raises."""

import pytest
from foreign_model import look
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from replied import is_reply, told

from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, PolicyRouter, guard
from checkrein_langchain.calls.replies import awaits_text

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Answer(BaseModel):
    """An answer."""

    text: str


SHAPED = {
    "structured output": lambda model: model.with_structured_output(Answer),
    "with raw": lambda model: model.with_structured_output(Answer, include_raw=True),
    "function calling": lambda model: model.with_structured_output(Answer, method="function_calling"),
    "json mode": lambda model: model.with_structured_output(Answer, method="json_mode"),
    "response format": lambda model: model.bind(response_format={"type": "json_object"}),
    "forced tool": lambda model: model.bind_tools([look], tool_choice="look"),
    "any tool": lambda model: model.bind_tools([look], tool_choice="any"),
}


@pytest.mark.parametrize("shape", SHAPED)
@pytest.mark.parametrize("streamed", [False, True], ids=["invoke", "stream"])
def test_a_call_that_awaits_no_text_raises(lab, replying, stage, shape, streamed):
    lab.upstream.reply = '{"text": "yes"}'
    point = replying({stage: deny("no")})
    model = SHAPED[shape](guard(lab.chat(), point.pep))

    with pytest.raises(PolicyDenied):
        list(model.stream("hi")) if streamed else model.invoke("hi")


@pytest.mark.parametrize("shape", SHAPED)
def test_a_router_that_awaits_no_text_raises(lab, replying, stage, shape):
    lab.upstream.reply = '{"text": "yes"}'
    point = replying({stage: deny("no")})
    router = PolicyRouter(
        models={"gpt-4o": lab.chat(), "gpt-4o-mini": lab.chat("gpt-4o-mini")}, pep=point.pep
    )

    with pytest.raises(PolicyDenied):
        SHAPED[shape](router).invoke("hi")


def test_a_router_replies_as_a_model_does(lab, replying, stage, way):
    point = replying({stage: deny("no")})

    def wrap(model):
        return PolicyRouter(models={"gpt-4o": model, "gpt-4o-mini": lab.chat("gpt-4o-mini")}, pep=point.pep)

    done = lab.call(way, wrap)

    assert done.error is None
    assert done.text == told(point.records[-1])


def test_a_shape_that_the_model_was_made_with_counts(lab, replying):
    point = replying({Stage.PRE_PROMPT: deny("no")})
    shaped = guard(lab.chat(model_kwargs={"response_format": {"type": "json_object"}}), point.pep)
    plain = guard(lab.chat(model_kwargs={"response_format": {"type": "text"}}), point.pep)

    with pytest.raises(PolicyDenied):
        shaped.invoke("hi")
    assert is_reply(plain.invoke("hi"), point.records[-1])


@pytest.mark.parametrize("streamed", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize("arguments", [{"who": "me"}, "no json {"], ids=["valid", "invalid"])
def test_a_denied_tool_call_raises(lab, replying, streamed, arguments):
    lab.upstream.reply = {"name": "look", "arguments": arguments}
    point = replying({Stage.POST_COMPLETION: deny("no")})
    model = guard(lab.chat(), point.pep).bind_tools([look])

    with pytest.raises(PolicyDenied):
        list(model.stream("hi")) if streamed else model.invoke("hi")


def test_a_tool_that_is_merely_offered_changes_nothing(lab, replying, stage):
    point = replying({stage: deny("no")})
    model = guard(lab.chat(), point.pep)

    for choice in (None, "auto", "none"):
        assert is_reply(model.bind_tools([look], tool_choice=choice).invoke("hi"), point.records[-1])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, True),
        ({"text": {"format": {"type": "text"}}}, True),
        ({"text": {"format": {"type": "json_schema"}}}, False),
        ({"text": {"verbosity": "low"}}, True),
        ({"output_config": {"effort": "low"}}, True),
        ({"output_config": {"format": {"type": "json_schema"}}}, False),
        ({"format": "json"}, False),
        ({"response_schema": {"type": "object"}}, False),
        ({"tool_choice": {"type": "auto"}}, True),
        ({"tool_choice": {"type": "tool", "name": "look"}}, False),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto"}}, True),
        ({"tool_choice": {"type": "allowed_tools", "mode": "required"}}, False),
        ({"tool_choice": True}, False),
        ({"function_call": {"name": "look"}}, False),
        ({"function_call": "auto"}, True),
    ],
)
def test_what_awaits_a_text(options, text):
    assert awaits_text(FakeListChatModel(responses=["x"]), None, options) is text


def test_a_model_that_refuses_its_options_gets_no_reply():
    class Refusing(ChatOpenAI):
        def _get_request_payload(self, *args, **kwargs):
            raise ValueError("no")

    assert not awaits_text(Refusing(model="m", api_key="none"), None, {})


def test_a_callback_has_no_answer_to_give_and_raises(lab, replying, stage):
    point = replying({stage: deny("no")})

    with pytest.raises(PolicyDenied):
        lab.chat().invoke("hi", {"callbacks": [PolicyCallbackHandler(point.pep)]})
