"""What a window holds to the end: calls of tools, what repeats a text, what is no content."""

import pytest
from langchain_core.messages import AIMessageChunk, ChatMessageChunk
from streamed_blocks import CLEAN, LONG, SECRET, block, call, early, text
from verdicts import REDACT

from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import guard


def test_a_message_of_another_kind_is_held_whole(stream):
    # One chunk: LangChain cannot add several up.
    chunks = stream(ChatMessageChunk(content=f"{LONG}{SECRET}{LONG}", role="model"))

    assert [one.content for one in chunks if one.content] == [f"{LONG}{CLEAN}{LONG}"]


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
