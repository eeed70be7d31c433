"""What a window makes of changes that cannot be made and of streams that do not add up."""

import re

import pytest
from langchain_core.messages import AIMessageChunk, ChatMessageChunk
from streamed_blocks import CLEAN, LONG, SECRET, block, call, text
from verdicts import REDACT

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

UNEVEN = {
    "an earlier block of text goes on": [text("123", 0), text("x", 1), text("45", 0)],
    "a text goes on after another block": [text("123", 0), block("reasoning", 1, summary=[]), text("45", 0)],
    "a text becomes something else": [text("123", 0), block("tool_use", 0, name="look")],
    "something else becomes a text": [text("", 1), block("thinking", 0, thinking="a"), text("b", 0)],
    "two blocks have one index": [text("123", 0, id="a"), text("45", 0, id="b")],
    "two thoughts have one index": [text("1", 1), *(block("thinking", 0, id=one) for one in "ab")],
    "a message becomes another kind": [text("123", 0), ChatMessageChunk(content="45", role="model")],
}


@pytest.mark.parametrize("case", UNEVEN)
def test_a_stream_that_goes_on_with_what_had_ended_is_denied(told, redacting, case):
    model = guard(told(text(LONG, 7), *UNEVEN[case]), redacting.pep)

    with pytest.raises(PolicyDenied) as denied:
        list(model.stream("hi"))

    assert denied.value.code == "answer_unreadable"
    assert redacting.records[-1].denied


@pytest.mark.parametrize("case", UNEVEN)
def test_such_a_stream_passes_where_only_that_is_monitored(told, window, case):
    rule = {"reasons": ["answer_unreadable"], "mode": "monitor"}
    point = window({Stage.POST_COMPLETION: REDACT}, enforcement={"rules": [rule]})

    chunks = list(guard(told(text(LONG, 7), *UNEVEN[case]), point.pep).stream("hi"))

    said = repr([one.content for one in chunks])
    assert all(piece.text in said for piece in UNEVEN[case])
    assert "".join(one.text for one in chunks).startswith(LONG)


def test_a_replacement_stands_for_all_text(stream, window, add_up):
    point = window({Stage.POST_COMPLETION: permit(obligation("replace", text="ask somebody else"))})

    whole = add_up(
        stream(AIMessageChunk(LONG, additional_kwargs={"refusal": "no"}), AIMessageChunk(LONG), point=point)
    )

    assert whole.content == "ask somebody else"
    assert whole.additional_kwargs == {"refusal": ""}


def test_a_replacement_does_not_stand_for_a_tool_call(told, window):
    point = window({Stage.POST_COMPLETION: permit(obligation("replace", text="ask somebody else"))})
    model = guard(told(AIMessageChunk(LONG), call(0, "look", '{"who": "bob"}', "call_1")), point.pep)

    with pytest.raises(PolicyDenied) as denied:
        list(model.stream("hi"))

    assert denied.value.code == "obligation_failed"
    assert denied.value.decision is point.records[-1]


def test_a_change_that_cannot_be_written_is_a_recorded_denial(told, redacting):
    arguments = f'{{"{SECRET}": 1, "{SECRET[:6]}": 2}}'
    model = guard(told(AIMessageChunk(LONG), call(0, "look", arguments, "call_1")), redacting.pep)

    with pytest.raises(PolicyDenied) as denied:
        list(model.stream("hi"))

    assert denied.value.code == "obligation_failed"
    assert denied.value.decision is redacting.records[-1]


def test_an_answer_that_cannot_be_read_is_denied(told, redacting, monkeypatch):
    monkeypatch.setattr("checkrein_langchain.calls.call.read_answer", lambda *_: 1 / 0)

    with pytest.raises(PolicyDenied) as denied:
        list(guard(told(AIMessageChunk(LONG)), redacting.pep).stream("hi"))

    assert denied.value.code == "answer_unreadable"


def test_several_choices_are_judged_as_the_caller_sees_them(lab, redacting, add_up):
    lab.upstream.reply = {"choices": [f"{LONG}{SECRET}{LONG}", f"{LONG}{SECRET}{LONG}"]}

    chunks = list(guard(lab.chat(n=2), redacting.pep).stream("hi"))

    assert lab.raw(*map(repr, chunks)) == 0
    assert len(chunks) > 5
    # The client hands the choices on as one text, piece by piece in turn.
    bare = add_up(list(lab.chat(n=2).stream("hi"))).text
    assert add_up(chunks).text == re.sub("[§¤¶]{1,9}", CLEAN, bare)


def test_policies_are_told_what_the_last_question_is_about(told, window):
    seen = []

    def answer(question):
        seen.append(question.document["context"])
        return permit() if len(seen) < 3 else deny("no")

    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    point = window({Stage.POST_COMPLETION: answer})
    end = AIMessageChunk("", usage_metadata=usage, response_metadata={"finish_reason": "stop"})

    list(guard(told(AIMessageChunk(LONG), AIMessageChunk(LONG), end), point.pep).stream("hi"))

    assert [one["partial"] for one in seen] == [True, False]
    assert seen[-1]["tokens"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert (seen[-1].get("finish_reason") or seen[-1]["completion"]["finish_reason"]) == "stop"
