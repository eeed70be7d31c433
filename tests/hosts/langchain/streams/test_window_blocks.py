"""What text stands among in a window: blocks of content, tool calls, usage, ids, metadata."""

import re

import pytest
from langchain_core.messages import AIMessageChunk, ChatMessageChunk
from verdicts import REDACT

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

SECRET = "§¤¶§¤¶§¤¶"
CLEAN = "[REDACTED:secret]"
LONG = "word " * 40


def text(value, index=None, **more):
    told = {"type": "text", "text": value, **({} if index is None else {"index": index}), **more}
    return AIMessageChunk([told])


def block(kind, index=None, **more):
    return AIMessageChunk([{"type": kind, **({} if index is None else {"index": index}), **more}])


def early(chunks):
    """All that left before the last chunk."""
    return chunks[:-1]


def test_reasoning_keeps_its_place_before_text_that_leaves_earlier(stream, add_up):
    summary = [{"index": 0, "type": "summary_text", "text": f"think {SECRET}"}]
    chunks = stream(
        block("reasoning", 0, id="rs_1", summary=[]),
        block("reasoning", 0, summary=summary),
        text(LONG, 1),
        text(SECRET, 1),
        text(LONG, 1, id="msg_1"),
    )

    assert len(early(chunks)) > 1
    assert "think" not in repr(early(chunks))
    assert add_up(chunks).content == [
        {
            "type": "reasoning",
            "index": 0,
            "id": "rs_1",
            "summary": [{"index": 0, "type": "summary_text", "text": f"think {CLEAN}"}],
        },
        {"type": "text", "index": 1, "text": f"{LONG}{CLEAN}{LONG}", "id": "msg_1"},
    ]


def test_thinking_and_its_signature_keep_their_place(stream, add_up):
    chunks = stream(
        block("thinking", 0, thinking=""),
        block("thinking", 0, thinking=f"so {SECRET}"),
        block("thinking", 0, signature="c2ln"),
        text(LONG, 1),
        text(LONG, 1),
    )

    assert "so " not in repr(early(chunks))
    assert add_up(chunks).content == [
        {"type": "thinking", "index": 0, "thinking": f"so {CLEAN}", "signature": "c2ln"},
        {"type": "text", "index": 1, "text": LONG + LONG},
    ]


def test_text_after_reasoning_leaves_early_whatever_text_came_before(stream, add_up):
    chunks = stream(
        text(LONG, 0), block("reasoning", 1, summary=[]), text(LONG, 2), text(f"{SECRET}{LONG}", 2)
    )

    assert any(one.get("index") == 2 and one["text"] for chunk in early(chunks) for one in chunk.content)
    assert [one["index"] for one in add_up(chunks).content] == [0, 1, 2]
    assert add_up(chunks).content[2]["text"] == f"{LONG}{CLEAN}{LONG}"


@pytest.mark.parametrize("index", [1, None], ids=["indexed", "unindexed"])
def test_text_after_anything_else_waits_and_keeps_its_place(stream, add_up, index):
    told = [
        text(f"{LONG}{SECRET}", 0),
        block("tool_use", index, id="toolu_1", name="look", input={}),
        text(f"{LONG}{SECRET}", 2),
    ]

    chunks = stream(*told)

    assert len(early(chunks)) > 1 or early(chunks)[0].content
    assert all("tool_use" not in repr(one) and "2" not in repr(one.content) for one in early(chunks))
    whole = add_up(told).content
    whole[0]["text"] = whole[2]["text"] = f"{LONG}{CLEAN}"
    assert add_up(chunks).content == whole


def test_blocks_of_text_that_touch_stay_apart_while_nothing_is_changed(window, stream, add_up):
    told = [
        text(LONG, 0),
        text("cited ", 1, citations=[{"type": "page", "cited_text": "it says so"}]),
        text(LONG, 1),
        text(LONG, 2),
    ]

    chunks = stream(*told, point=window())

    assert len(early(chunks)) > 1
    assert "it says so" not in repr(early(chunks))
    assert add_up(chunks).content == add_up(told).content


def test_a_finding_that_stands_in_two_blocks_is_found(stream, add_up):
    chunks = stream(text(LONG, 0), text("§¤¶", 0), text("§¤¶", 1), text(LONG, 1))

    assert add_up(chunks).text == f"{LONG}{CLEAN}{LONG}"
    assert "¤" not in repr(chunks)


def test_a_finding_that_stands_in_a_block_that_cannot_be_added_to_is_found(stream, add_up):
    chunks = stream(text(LONG), text("§¤¶"), text("§¤¶", extras={"signature": "c2ln"}), text(LONG))

    whole = add_up(chunks)
    assert whole.text == f"{LONG}{CLEAN}{LONG}"
    assert {"signature": "c2ln"} in [one.get("extras") for one in whole.content]
    assert "¤" not in repr(chunks)


@pytest.mark.parametrize(
    "make", [text, lambda value, index: block("reasoning", index, reasoning=value)], ids=["text", "reasoning"]
)
def test_an_index_that_is_text_is_judged_as_text(stream, make):
    chunks = stream(make(LONG, f"lc_ {SECRET}"), text(LONG, "lc_1"))

    assert "¤" not in repr(chunks)


def test_blocks_without_an_index_leave_early_as_well(stream, add_up):
    chunks = stream(*[text("word ") for _ in range(40)], text(SECRET), *[text("word ") for _ in range(40)])

    assert len(early(chunks)) > 3
    assert add_up(chunks).text == f"{LONG}{CLEAN}{LONG}"


def test_strings_among_blocks_are_governed(stream, add_up):
    chunks = stream(text(LONG, 0), AIMessageChunk(["§¤¶", "§¤¶"]), AIMessageChunk("§¤¶ end"))

    assert add_up(chunks).text == f"{LONG}{CLEAN} end"
    assert "¤" not in repr(chunks)


def test_blocks_after_a_string_are_governed(stream, add_up):
    chunks = stream(AIMessageChunk(f"{LONG}§¤¶"), text("§¤¶", 0), text(LONG, 0))

    assert add_up(chunks).text == f"{LONG}{CLEAN}{LONG}"
    assert "¤" not in repr(chunks)


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


def test_a_message_of_another_kind_is_held_whole(stream):
    # One chunk: LangChain cannot add several up.
    chunks = stream(ChatMessageChunk(content=f"{LONG}{SECRET}{LONG}", role="model"))

    assert [one.content for one in chunks if one.content] == [f"{LONG}{CLEAN}{LONG}"]


def call(index, name=None, args="", id=None):
    told = {"type": "tool_call_chunk", "index": index, "name": name, "args": args, "id": id}
    return AIMessageChunk("", tool_call_chunks=[told])


def test_parallel_tool_calls_come_whole_and_redacted(stream, add_up):
    chunks = stream(
        AIMessageChunk(LONG),
        call(0, "look", "", "call_1"),
        call(0, args='{"who": "§¤¶'),
        call(1, "find", '{"n"', "call_2"),
        call(0, args='§¤¶"}'),
        call(1, args=": 1}"),
        AIMessageChunk(LONG),
    )

    assert not any(one.tool_call_chunks for one in early(chunks))
    whole = add_up(chunks)
    assert whole.text == LONG + LONG
    assert [(one["name"], one["args"], one["id"]) for one in whole.tool_calls] == [
        ("look", {"who": CLEAN}, "call_1"),
        ("find", {"n": 1}, "call_2"),
    ]
    assert whole.invalid_tool_calls == []
    assert [one["index"] for one in whole.tool_call_chunks] == [0, 1]


def test_a_record_tells_what_came_whatever_its_reader_makes_of_it(told, window):
    point = window({Stage.POST_COMPLETION: deny("no")}, enforcement={"default": "monitor"})
    model = guard(told(AIMessageChunk(LONG), call(0, "look", '{"who": "bob"}', "call_1")), point.pep)

    for chunk in model.stream("hi"):
        for one in chunk.tool_call_chunks:
            one["args"] = "{}"

    pieces = [one.text for one in point.records[-1].request.segments]
    assert pieces == [LONG, "look", "bob"]


def test_arguments_that_are_no_json_are_redacted(stream, add_up):
    whole = add_up(stream(AIMessageChunk(LONG), call(0, "look", f"who? {SECRET}", "call_1")))

    assert [one["args"] for one in whole.invalid_tool_calls] == [f"who? {CLEAN}"]


def test_usage_is_counted_once_and_ids_and_metadata_are_kept(stream, add_up):
    usage = {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}
    more = {"input_tokens": 0, "output_tokens": 5, "total_tokens": 5}
    chunks = stream(
        AIMessageChunk("", id="msg_1", usage_metadata=usage, response_metadata={"model_provider": "told"}),
        *[AIMessageChunk("word ", id="msg_1") for _ in range(40)],
        AIMessageChunk("", id="msg_1", usage_metadata=more, response_metadata={"stop_reason": "end_turn"}),
    )

    whole = add_up(chunks)
    assert whole.usage_metadata == {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    assert whole.response_metadata == {"model_provider": "told", "stop_reason": "end_turn"}
    assert {one.id for one in chunks} == {"msg_1"}
    assert all(one.response_metadata["model_provider"] == "told" for one in chunks)
    assert [one.chunk_position for one in chunks].count("last") == 1
    assert chunks[-1].chunk_position == "last"


def test_an_id_of_the_provider_that_comes_late_is_kept(stream, add_up):
    chunks = stream(AIMessageChunk(LONG), AIMessageChunk(LONG), AIMessageChunk("", id="msg_1"))

    assert add_up(chunks).id == "msg_1"


@pytest.mark.parametrize("changed", [False, True], ids=["unchanged", "changed"])
def test_what_repeats_a_text_goes_with_a_change_alone(stream, window, add_up, changed):
    content = [{"token": "§"}, {"token": "end"}]
    told = [
        AIMessageChunk(f"{LONG}{SECRET}{LONG}"),
        AIMessageChunk("end", response_metadata={"logprobs": {"content": content}, "finish_reason": "stop"}),
    ]

    chunks = stream(*told) if changed else stream(*told, point=window())

    assert not any("logprobs" in one.response_metadata for one in early(chunks))
    kept = {} if changed else {"logprobs": {"content": content}}
    assert add_up(chunks).response_metadata == {"finish_reason": "stop", **kept}


@pytest.mark.parametrize(
    "more",
    [
        {"additional_kwargs": {"refusal": f"no {SECRET}"}},
        {"additional_kwargs": {"reasoning_content": f"so {SECRET}"}},
        {"additional_kwargs": {"parsed": {"key": SECRET}}},
        {"additional_kwargs": {"audio": {"transcript": f"say {SECRET}", "data": "AAAA"}}},
        {"response_metadata": {"safety": f"blocked {SECRET}"}},
        {"name": SECRET},
        {"something": f"new {SECRET}"},
    ],
    ids=["refusal", "reasoning", "parsed", "audio", "metadata", "name", "extra"],
)
def test_all_that_is_no_content_is_held_and_redacted(stream, add_up, more):
    chunks = stream(AIMessageChunk(LONG, **more), AIMessageChunk(LONG))

    assert len(early(chunks)) >= 1
    assert "REDACTED" not in repr(early(chunks))
    assert "REDACTED" in repr(chunks[-1])
    assert "¤" not in repr(chunks)
    assert add_up(chunks).text == LONG + LONG


def test_what_is_no_text_is_told_of_with_its_place(stream, window):
    point = window({Stage.POST_COMPLETION: REDACT})

    chunks = stream(
        text(LONG, 0),
        block("image", 1, base64="AAAA", mime_type="image/png"),
        block("refusal", 2, refusal=f"no {SECRET}"),
        point=point,
    )

    last = point.records[-1].document["context"]
    assert last["uninspected"] == [{"kind": "image", "segment": 1}]
    assert "¤" not in repr(chunks)


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


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("version", [None, "v1"])
def test_content_is_what_it_is_when_nothing_governs_it(lab, window, add_up, responses, version):
    lab.upstream.reply = LONG
    model = lab.chat(use_responses_api=responses, output_version=version)

    governed = add_up(list(guard(model, window().pep).stream("hi")))
    bare = add_up(list(model.stream("hi")))

    told = [
        [{**one, "id": ""} for one in whole.content] if isinstance(whole.content, list) else whole.content
        for whole in (governed, bare)
    ]
    assert told[0] == told[1]
    assert governed.usage_metadata == bare.usage_metadata
    assert governed.response_metadata.keys() == bare.response_metadata.keys()


def test_an_empty_stream_is_no_answer(told, redacting):
    with pytest.raises(ValueError, match="No generation"):
        list(guard(told(), redacting.pep).stream("hi"))


def test_an_answer_without_text_is_judged_at_the_end(stream, redacting, add_up):
    whole = add_up(stream(AIMessageChunk(""), AIMessageChunk("", response_metadata={"stop_reason": "end"})))

    assert whole.content == ""
    assert whole.response_metadata == {"stop_reason": "end"}
    assert redacting.records[-1].request.stage is Stage.POST_COMPLETION


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
