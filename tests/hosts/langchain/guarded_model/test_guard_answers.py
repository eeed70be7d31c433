"""What comes back through a guarded model: calls of tools, schemas, choices, replacements."""

import pickle

import pytest
from foreign_model import look
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel
from verdicts import REDACT

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import AnswerWithheldError, PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Answer(BaseModel):
    """What the model is to answer."""

    key: str
    more: list[str] = []


def tool_calls(lab):
    return {"name": "look", "arguments": {"who": lab.secret, "deep": [{"key": f"a {lab.secret}"}], "n": 1}}


def test_arguments_of_tool_calls_are_redacted_in_answers(lab, runnable_way):
    lab.upstream.reply = tool_calls(lab)
    point = lab.govern({Stage.POST_COMPLETION: REDACT})

    done = lab.call(runnable_way, lambda model: guard(model, point.pep).bind_tools([look]))

    assert done.error is None
    assert lab.raw(*map(repr, done.got), *done.seen) == 0
    if "chain" not in runnable_way:  # a chain's parser of strings drops them
        assert "REDACTED:secret" in "".join(map(repr, done.got))
    assert point.records[-1].request.segments[0].text == "look"


def test_streamed_tool_calls_are_valid_after_redaction(lab):
    lab.upstream.reply = tool_calls(lab)
    point = lab.govern({Stage.POST_COMPLETION: REDACT})

    chunks = list(guard(lab.chat(), point.pep).bind_tools([look]).stream("who?"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk

    (call,) = whole.tool_calls
    assert call["args"] == {"who": "[REDACTED:secret]", "deep": [{"key": "a [REDACTED:secret]"}], "n": 1}
    assert call["name"] == "look"
    assert whole.invalid_tool_calls == []


def test_history_is_redacted_on_the_wire_and_the_callers_own_is_left_alone(lab):
    history = [
        HumanMessage(f"find {lab.secret}"),
        AIMessage(
            [{"type": "text", "text": f"looking for {lab.secret}"}],
            tool_calls=[{"name": "look", "args": {"who": lab.secret, f"k {lab.secret}": 1}, "id": "call_1"}],
            additional_kwargs={"refusal": f"no {lab.secret}"},
        ),
        ToolMessage(f"it is {lab.secret}", tool_call_id="call_1", name="look"),
        HumanMessage([{"type": "text", "text": f"again {lab.secret}"}], name=f"n{lab.secret}"),
    ]
    before = repr(history)
    point = lab.govern({Stage.PRE_PROMPT: REDACT})

    guard(lab.chat(), point.pep).invoke(history)

    (request,) = lab.upstream.requests
    assert lab.raw(lab.upstream.texts) == 0
    call = request.body["messages"][1]["tool_calls"][0]["function"]
    assert call == {
        "name": "look",
        "arguments": '{"who": "[REDACTED:secret]", "k [REDACTED:secret]": 1}',
    }
    assert repr(history) == before


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("include_raw", [False, True])
def test_structured_output_is_redacted(lab, method, include_raw):
    arguments = {"key": lab.secret, "more": ["a", lab.secret]}
    lab.upstream.reply = (
        {"name": "Answer", "arguments": arguments}
        if method == "function_calling"
        else Answer(**arguments).model_dump_json()
    )
    point = lab.govern({Stage.POST_COMPLETION: REDACT})
    model = guard(lab.chat(), point.pep).with_structured_output(
        Answer, method=method, include_raw=include_raw
    )

    got = model.invoke("json, please")
    streamed = list(model.stream("json, please"))

    assert lab.raw(repr(got), repr(streamed)) == 0
    wanted = Answer(key="[REDACTED:secret]", more=["a", "[REDACTED:secret]"])
    assert (got["parsed"] if include_raw else got) == wanted
    assert len(lab.upstream.requests) == 2
    assert [one.request.stage for one in point.records] == [*lab.stages, *lab.stages]


def test_no_warning_quotes_an_answer_before_it_is_judged(lab, recwarn):
    lab.upstream.reply = Answer(key=lab.secret).model_dump_json()
    point = lab.govern({Stage.POST_COMPLETION: REDACT})

    list(guard(lab.chat(), point.pep).with_structured_output(Answer).stream("hi"))

    assert lab.raw(*(one.message for one in recwarn)) == 0


def test_structured_output_can_be_denied(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})

    with pytest.raises(PolicyDenied):
        guard(lab.chat(), point.pep).with_structured_output(Answer, include_raw=True).invoke("hi")

    assert lab.upstream.requests == []


def test_a_model_that_hides_in_its_own_chain_cannot_be_called_unguarded(lab):
    class Hiding(FakeListChatModel):
        def with_structured_output(self, schema, **kwargs):
            return self | RunnableLambda(lambda message: self.invoke(message.content))

        def bind_tools(self, tools, **kwargs):
            return RunnableLambda(lambda text: [self.invoke(text)])

    model = guard(Hiding(responses=["a", "b"]), lab.govern().pep)

    with pytest.raises(NotImplementedError, match="cannot be guarded"):
        model.bind_tools([look])
    with pytest.raises(NotImplementedError, match="cannot be guarded"):
        model.with_structured_output(Answer).invoke("hi")


def test_every_choice_is_judged_and_redacted(lab):
    lab.upstream.reply = {"choices": ["clean", f"dirty {lab.secret}"]}
    point = lab.govern({Stage.POST_COMPLETION: REDACT})

    result = guard(lab.chat(n=2), point.pep).generate([[HumanMessage("hi")]])

    assert [one.text for one in result.generations[0]] == ["clean", "dirty [REDACTED:secret]"]
    assert [one.message.content for one in result.generations[0]] == ["clean", "dirty [REDACTED:secret]"]


def test_several_prompts_are_each_a_call_and_none_is_sent_if_one_is_denied(lab):
    point = lab.govern({Stage.PRE_PROMPT: lambda q: deny("no") if "bad" in str(q.document) else permit()})
    model = guard(lab.chat(), point.pep)

    result = model.generate([[HumanMessage("a")], [HumanMessage("b")]])
    with pytest.raises(PolicyDenied):
        model.generate([[HumanMessage("c")], [HumanMessage("bad")]])

    assert [choices[0].text for choices in result.generations] == ["hello there", "hello there"]
    assert len(result.run) == 2
    assert result.llm_output["token_usage"]["completion_tokens"] == 4
    assert len(lab.upstream.requests) == 2


def test_a_replaced_answer_is_the_given_text(lab):
    point = lab.govern({Stage.POST_COMPLETION: permit(obligation("replace", text="ask somebody else"))})

    assert guard(lab.chat(), point.pep).invoke("hi").content == "ask somebody else"


def test_a_text_does_not_take_the_place_of_a_tool_call(lab):
    lab.upstream.reply = {"name": "look", "arguments": {"who": "bob"}}
    point = lab.govern({Stage.POST_COMPLETION: permit(obligation("replace", text="x"))})

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).bind_tools([look]).invoke("hi")

    assert denied.value.code == "unsupported_obligation"


def test_a_redaction_that_cannot_be_written_is_a_recorded_denial(lab):
    lab.upstream.reply = {"name": "look", "arguments": {f"{lab.secret}": 1, f"{lab.secret}{lab.secret}": 2}}
    point = lab.govern({Stage.POST_COMPLETION: REDACT})

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).bind_tools([look]).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert [one.permitted for one in point.records] == [True, True, True, False]
    assert denied.value.decision is point.records[-1]


@pytest.mark.parametrize("responses_way", ["invoke", "stream", "ainvoke", "astream"])
def test_the_responses_api_is_governed_as_well(lab, responses_way):
    lab.upstream.reply = f"it is {lab.secret}"
    point = lab.govern({Stage.PRE_PROMPT: REDACT, Stage.POST_COMPLETION: REDACT})

    def wrap(model):
        return guard(model.model_copy(update={"use_responses_api": True}), point.pep)

    done = lab.call(responses_way, wrap, f"mine is {lab.secret}")

    assert done.error is None
    assert lab.upstream.requests[0].path == "/v1/responses"
    assert lab.raw(lab.upstream.texts, *map(repr, done.got), *done.seen) == 0
    assert "it is [REDACTED:secret]" in done.text


def test_standard_content_blocks_are_governed_as_well(lab):
    lab.upstream.reply = f"it is {lab.secret}"
    point = lab.govern({Stage.POST_COMPLETION: REDACT})
    model = guard(lab.chat(output_version="v1"), point.pep)

    got = model.invoke("hi")
    streamed = list(model.stream("hi"))

    assert got.content == [{"type": "text", "text": "it is [REDACTED:secret]"}]
    assert lab.raw(repr(streamed)) == 0
    assert "".join(one.text for one in streamed) == "it is [REDACTED:secret]"


def test_the_exceptions_survive_a_process_boundary(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    done = lab.call("invoke", lambda model: guard(model, point.pep))

    copied = pickle.loads(pickle.dumps(PolicyDenied(done.error.decision, "do this")))
    withheld = pickle.loads(pickle.dumps(AnswerWithheldError("ValueError")))

    assert (copied.code, copied.hint) == ("no", "do this")
    assert str(copied).endswith("; do this")
    assert withheld.kind == "ValueError"
