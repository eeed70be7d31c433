"""Who says what in a request, in the words of each API; and what a prompt says, whatever API tells it."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein import Changes, Origin
from checkrein_litellm.changes import write_answer, write_request
from checkrein_litellm.endpoints import ENDPOINTS
from checkrein_litellm.proxy.uncovered import uncovered_call
from checkrein_litellm.text.request_fields import tool_names
from checkrein_litellm.text.surfaces import answer_surfaces, content_of, request_surfaces
from checkrein_litellm.text.turns import CONVERSATION

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")

SECRET = "one two 123"


def read(**data):
    return request_surfaces(data, list(data), 32)


def said(**data):
    return [(segment.origin.value, segment.text) for segment in read(**data).segments]


def test_the_items_of_responses_are_told_apart_by_their_type():
    items = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "look it up"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hmm"}]},
        {"type": "function_call", "call_id": "call_1234", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "call_1234", "output": "found"},
        {"type": "mcp_approval_response", "reason": "it is fine"},
        "and a bare word",
    ]
    assert said(input=items) == [
        ("system", "be brief"),
        ("user", "look it up"),
        ("assistant", "hmm"),
        ("assistant", '{"a": 1}'),
        ("tool", "found"),
        ("tool", "it is fine"),
        ("user", "and a bare word"),
    ]


def test_what_a_tool_gave_back_is_the_tools_whoever_hands_it_over():
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1234",
        "content": [{"type": "text", "text": "found"}],
    }
    turn = {"role": "user", "content": [result, {"type": "text", "text": "go on"}]}
    assert said(messages=[turn]) == [("tool", "found"), ("user", "go on")]
    parts = [{"text": "go on"}, {"functionResponse": {"name": "f", "response": {"r": "found"}}}]
    assert said(contents=[{"role": "user", "parts": parts}]) == [("user", "go on"), ("tool", "found")]


def test_a_single_word_counts_wherever_a_tool_is_handed_it_or_gives_it_back():
    for turn in (
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "name": "f", "input": {"a": {"b": ["word"]}}}],
        },
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": {"b": "word"}}}}]},
    ):
        assert said(messages=[turn]) == [("assistant", "word")]
    part = {"functionResponse": {"name": "f", "response": {"a": {"b": ["word"]}}}}
    assert said(contents=[{"role": "user", "parts": [part]}]) == [("tool", "word")]
    call = {"functionCall": {"name": "f", "args": {"a": {"b": "word"}}}}
    assert said(contents=[{"role": "model", "parts": [call]}]) == [("assistant", "word")]


def test_an_application_speaks_first_and_documents_are_retrieved():
    assert said(
        contents=[{"role": "model", "parts": [{"text": "yes"}]}],
        systemInstruction={"parts": [{"text": "be"}]},
    ) == [
        ("system", "be"),
        ("assistant", "yes"),
    ]
    assert said(documents=["one", {"text": "two"}], query="which") == [
        ("user", "which"),
        ("retrieved", "one"),
        ("retrieved", "two"),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=4), below, max_size=4),
    max_leaves=12,
)


@given(turns=st.lists(json_values, max_size=4), key=st.sampled_from(CONVERSATION), whole=st.booleans())
def test_a_secret_is_found_and_written_in_every_conversation(turns, key, whole):
    def planted(value):
        if isinstance(value, str):
            return value + SECRET
        if isinstance(value, list):
            return [planted(one) for one in value]
        return {name: planted(one) for name, one in value.items()} if isinstance(value, dict) else value

    data = {key: planted(turns[0] if whole and turns else turns)}
    found = request_surfaces(data, list(data), 32)
    assert len({segment.path for segment in found.segments}) == len(found.segments)
    found.write({one.path: one.text.replace(SECRET, "") for one in found.segments if SECRET in one.text})
    assert SECRET not in json.dumps(data)


def test_the_same_prompt_says_the_same_in_another_shape_and_another_one_does_not():
    keys = ("messages", "input", "prompt")
    plain = content_of({"messages": [{"role": "user", "content": "hello"}]}, keys, 32)
    assert plain == content_of(
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}, keys, 32
    )
    assert plain == content_of({"input": "hello"}, keys, 32)
    assert plain != content_of({"messages": [{"role": "assistant", "content": "hello"}]}, keys, 32)
    assert plain != content_of({"messages": [{"role": "user", "content": "hello"}] * 2}, keys, 32)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90}}
    shown = {"role": "user", "content": [{"type": "text", "text": "hello"}, picture]}
    assert plain != content_of({"messages": [shown]}, keys, 32)


def test_a_file_is_told_and_its_name_is_read_and_cannot_be_written():
    file = io.BytesIO(b"x" * 80)
    file.name = f"{SECRET}.mp3"
    found = read(file=file, prompt="names")
    assert [(one.origin, one.text) for one in found.segments] == [
        (Origin.USER, "names"),
        (Origin.USER, f"{SECRET}.mp3"),
    ]
    assert [one["kind"] for one in found.uninspected] == ["audio"]
    assert [one["kind"] for one in read(image=[io.BytesIO(b"x")], prompt="a hat").uninspected] == ["image"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"prompt": [1, 2]}, "tokens"),
        ({"input": ["a", [1, 2]]}, "tokens"),
        ({"previous_response_id": "resp_1"}, "stored"),
        ({"conversation": {"id": "conv_1"}}, "stored"),
        ({"prompt": {"id": "pmpt_1"}}, "template"),
    ],
)
def test_what_nobody_here_sees_is_told(data, kind):
    assert [one["kind"] for one in read(**data).uninspected] == [kind]


def test_the_tools_of_every_api_have_names_and_can_be_removed():
    google = {"functionDeclarations": [{"name": "a"}, {"name": "b"}]}
    tools = [google, {"name": "c", "input_schema": {}}, {"type": "web_search"}, {"googleSearch": {}}]
    assert tool_names({"tools": tools}) == ["a", "b", "c", "web_search"]
    data = {"tools": [*tools, {"functionDeclarations": [{"name": "a"}]}]}
    write_request(data, Changes(remove_tools=frozenset({"a", "c"})), read())
    assert data["tools"] == [
        {"functionDeclarations": [{"name": "b"}]},
        {"type": "web_search"},
        {"googleSearch": {}},
    ]
    assert google["functionDeclarations"] == [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize(
    ("call", "before", "after"),
    [
        ("acompletion", {}, {"max_tokens": 9, "temperature": 0}),
        ("aresponses", {"max_output_tokens": 50}, {"max_output_tokens": 9, "temperature": 0}),
        ("aresponses", {"max_output_tokens": 5}, {"max_output_tokens": 5, "temperature": 0}),
        ("agenerate_content", {}, {"generationConfig": {"maxOutputTokens": 9, "temperature": 0}}),
        (
            "agenerate_content",
            {"config": {"max_output_tokens": 50}},
            {"config": {"max_output_tokens": 9, "temperature": 0}},
        ),
        ("aembedding", {}, {"temperature": 0}),
    ],
)
def test_limits_and_parameters_are_written_where_the_api_has_them(call, before, after):
    data = dict(before)
    changes = Changes(max_tokens=9, parameters={"temperature": 0})
    write_request(data, changes, read(), ENDPOINTS[call])
    assert data == after


def test_what_an_answer_repeats_of_the_request_is_no_answer():
    answer = {
        "id": "x y",
        "instructions": "be brief",
        "tools": [{"type": "function", "name": "f", "description": "another text"}],
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "be brief"}]}],
    }
    texts = [one.text for one in answer_surfaces(answer, 32, {"be brief"}).segments]
    assert texts == ["another text", "be brief"]


def test_the_tokens_of_a_changed_part_go_with_it():
    part = {"type": "output_text", "text": SECRET, "logprobs": [{"token": SECRET}]}
    answer = {"output": [{"type": "message", "content": [part]}]}
    found = answer_surfaces(answer, 32)
    write_answer([answer], Changes(texts={found.segments[0].path: "gone"}), found)
    assert SECRET not in json.dumps(answer)


def test_no_call_is_both_governed_and_uncovered_unless_its_answer_alone_is():
    both = {call for call in ENDPOINTS if uncovered_call(call) is not None}
    assert {uncovered_call(call) for call in both} == {"pass_through", "transcription"}
    assert not any(ENDPOINTS[call].answers for call in both)
