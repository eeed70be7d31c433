"""Blocks of content in a window: text leaves early, everything keeps its place and its neighbours."""

import pytest
from langchain_core.messages import AIMessageChunk
from streamed_blocks import CLEAN, LONG, SECRET, block, early, text

from checkrein.vocabulary import Stage
from checkrein_langchain import guard


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
