"""Every text of a request, an answer and a stream: found, and written back where it stood."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.types.utils import Message, ModelResponse

from checkrein import Changes, Origin
from checkrein.errors import RequestError
from checkrein_litellm.changes import write_answer, write_request
from checkrein_litellm.text.surfaces import (
    UnwritableError,
    answer_surfaces,
    request_surfaces,
)

# LiteLLM's models say so about themselves when they are first built.
pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")

SECRET = "one two 123"


def texts(surfaces):
    return [segment.text for segment in surfaces.segments]


def read(**data):
    return request_surfaces(data, [key for key in data if key != "messages"], 32)


def strings(value):
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for child in children for text in strings(child)]


def test_who_speaks_is_told_by_the_role():
    roles = ["system", "developer", "user", "assistant", "tool", "function", "somebody"]
    found = read(messages=[{"role": role, "content": "hello"} for role in roles])
    assert [segment.role for segment in found.segments] == roles
    assert [segment.origin for segment in found.segments] == [
        Origin.SYSTEM,
        Origin.SYSTEM,
        Origin.USER,
        Origin.ASSISTANT,
        Origin.TOOL,
        Origin.TOOL,
        Origin.USER,
    ]


def test_what_an_application_declares_comes_first_and_what_a_user_adds_comes_last():
    tools = [{"type": "function", "function": {"name": "f", "description": "looks things up"}}]
    found = read(user="bob@x.y", tools=tools, messages=[{"role": "user", "content": "hello"}])
    assert [(segment.role, segment.origin) for segment in found.segments] == [
        ("tools", Origin.SYSTEM),
        ("user", Origin.USER),
        ("user", Origin.USER),
    ]
    assert texts(found) == ["looks things up", "hello", "bob@x.y"]


def test_words_identifiers_and_blanks_are_no_text_but_a_message_of_one_word_is():
    call = {"id": "call_0123456789abcdef", "type": "function", "function": {"name": "f", "arguments": "go"}}
    found = read(
        messages=[
            {"role": "assistant", "content": " \n", "tool_calls": [call]},
            {"role": "user", "content": "no"},
        ],
        reasoning_effort="high",
    )
    assert texts(found) == ["go", "no"]


def test_a_message_that_is_a_bare_string_is_read():
    assert texts(read(messages="hello")) == ["hello"]
    assert texts(read(messages=["hello", {"role": "user", "content": ["bye"]}])) == ["hello", "bye"]


def test_what_is_no_text_is_told_once_and_names_the_text_before_it():
    data = "data:image/png;base64," + "A" * 100
    content = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "input_audio", "input_audio": {"data": "A" * 100, "format": "wav"}},
        {"type": "file", "file": {"file_data": "A" * 100, "filename": "my notes.pdf"}},
        {"type": "image_url", "image_url": {"url": "https://x.y/z.png"}},
    ]
    found = read(messages=[{"role": "user", "content": content}])
    assert texts(found) == ["look", "my notes.pdf", "https://x.y/z.png"]
    assert found.uninspected == [
        {"kind": "image", "segment": 0},
        {"kind": "audio", "segment": 0},
        {"kind": "file", "segment": 0},
        {"kind": "image", "segment": 1},
    ]


def test_a_short_string_in_the_place_of_binary_content_is_text():
    part = {"type": "input_audio", "input_audio": {"data": "4111111111111111"}}
    assert texts(read(messages=[{"role": "user", "content": [part]}])) == ["4111111111111111"]


@pytest.mark.parametrize(
    "message",
    [
        {"content": f"data:image/png;base64,{SECRET}"},
        {"content": "data:image/png;base64,AAAA"},
        {"content": [{"type": "text", "text": "data:image/png;base64,AAAA"}]},
        {"content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,AAAA {SECRET}"}}]},
        {"content": [{"type": "image_url", "image_url": {"url": f"data:image/png,{SECRET}"}}]},
        {"content": "A" * 100},
        {"content": "hm", "data": "A" * 100},
        {"content": "hm", "notes": "data:image/png;base64,AAAA"},
    ],
)
def test_text_that_looks_like_binary_content_is_text(message):
    found = read(messages=[{"role": "user", **message}])
    assert any(text in strings(message) and text not in ("hm", "text") for text in texts(found))


def test_parts_that_share_a_number_hide_nothing():
    parts = [{"type": "text", "text": SECRET, "index": 5}, {"type": "text", "text": "harmless", "index": 5}]
    data = {"messages": [{"role": "user", "content": parts}]}
    found = request_surfaces(data, (), 32)
    assert texts(found) == [SECRET, "harmless"]
    assert len({segment.path for segment in found.segments}) == 2
    found.write({segment.path: "gone" for segment in found.segments if SECRET in segment.text})
    assert SECRET not in json.dumps(data)


def test_the_name_of_a_field_is_read_and_cannot_be_written():
    found = read(messages=[], extra={SECRET: 1})
    (segment,) = found.segments
    assert segment.text == SECRET
    with pytest.raises(UnwritableError):
        found.write({segment.path: "gone"})


def test_nesting_over_the_limit_is_refused():
    value = "deep down"
    for _ in range(40):
        value = [value]
    with pytest.raises(RequestError) as error:
        read(messages=value)
    assert error.value.code == "limit.depth"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=4), below, max_size=4),
    max_leaves=12,
)


@given(messages=st.lists(json_values, max_size=4), other=json_values, noise=st.text(max_size=6))
def test_a_secret_is_found_and_written_wherever_it_stands(messages, other, noise):
    def planted(value):
        if isinstance(value, str):
            return value + SECRET
        if isinstance(value, list):
            return [planted(one) for one in value]
        return {key: planted(one) for key, one in value.items()} if isinstance(value, dict) else value

    data = {"messages": planted(messages), "other": planted({"x": other, "y": noise})}
    before = deepcopy(data)
    found = request_surfaces(data, ["other"], 32)
    assert len({segment.path for segment in found.segments}) == len(found.segments)
    hidden = {one.path: one.text.replace(SECRET, "") for one in found.segments if SECRET in one.text}
    found.write(hidden)
    assert SECRET not in "\0".join(strings(data))
    assert [text.replace(SECRET, "") for text in strings(before)] == strings(data)


def test_arguments_must_stay_json():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    found = read(messages=[{"role": "assistant", "tool_calls": [call]}])
    (path,) = (segment.path for segment in found.segments if segment.path[-1] == "arguments")
    with pytest.raises(UnwritableError):
        found.write({path: "{"})
    found.write({path: '{"a": "[REDACTED]"}'})
    assert call["function"]["arguments"] == '{"a": "[REDACTED]"}'


def answer(**message):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
    return ModelResponse(id="x y z", model="m n o", choices=[choice], usage={"prompt_tokens": 1})


@pytest.mark.parametrize(
    "message",
    [
        {"content": SECRET},
        {"content": None, "reasoning_content": SECRET},
        {"content": "x", "refusal": SECRET},
        {
            "content": "x",
            "thinking_blocks": [{"type": "thinking", "thinking": SECRET, "signature": "A" * 70}],
        },
        {"content": None, "function_call": {"name": "f", "arguments": SECRET}},
        {
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": SECRET}}],
        },
        {"content": None, "audio": {"id": "a", "data": "A" * 90, "transcript": SECRET, "expires_at": 1}},
        {
            "content": "x",
            "annotations": [
                {"type": "url_citation", "url_citation": {"title": SECRET, "url": "https://x.y"}}
            ],
        },
        {"content": "x", "provider_specific_fields": {"notes": [SECRET]}},
    ],
    ids=lambda message: next(iter(sorted(message.keys() - {"content"}, reverse=True)), "content"),
)
def test_every_field_of_an_answer_is_read_and_written(message):
    given = answer(**message)
    found = answer_surfaces(given, 32)
    hidden = {one.path: "gone" for one in found.segments if SECRET in one.text}
    assert hidden
    write_answer([given], Changes(texts=hidden), found)
    assert SECRET not in given.model_dump_json()
    assert not {"x y z", "m n o"} & set(texts(found))


def test_what_a_provider_says_beside_the_choices_is_read():
    given = answer(content="x")
    given.citations = ["https://x.y/" + "1" * 9]
    assert texts(answer_surfaces(given, 32)) == ["x", "https://x.y/111111111"]


def test_logprobs_and_speech_go_with_the_text_that_they_repeat():
    given = answer(content=SECRET, audio={"id": "a", "data": "A" * 90, "transcript": "hm", "expires_at": 1})
    given.choices[0].logprobs = {"content": [{"token": SECRET, "logprob": -1}]}
    found = answer_surfaces(given, 32)
    assert sum(SECRET in text for text in texts(found)) == 1
    write_answer([given], Changes(texts={("choices", 0, "message", "content"): "gone"}), found)
    assert given.choices[0].logprobs is None
    assert given.choices[0].message.audio.data == ""


def test_a_message_of_litellms_is_read_like_json():
    given = {"messages": [Message(role="assistant", content=SECRET)]}
    found = request_surfaces(given, (), 32)
    assert SECRET in texts(found)
    found.write({one.path: "gone" for one in found.segments if one.text == SECRET})
    assert given["messages"][0].content == "gone"


def test_changes_are_written_into_a_request():
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    data = {
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 5,
        "max_completion_tokens": 900,
        "max_new_tokens": "many",
        "tools": [*tools, {"type": "web_search"}],
        "tool_choice": {"type": "function", "function": {"name": "b"}},
        "functions": [{"name": "a"}],
        "function_call": {"name": "a"},
        "cache": {"ttl": 5},
        "store": True,
    }
    changes = Changes(
        max_tokens=100,
        parameters={"temperature": 0},
        remove_tools=frozenset({"a", "web_search"}),
        no_store=True,
    )
    write_request(data, changes, request_surfaces(data, (), 32))
    assert data == {
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 5,
        "max_completion_tokens": 100,
        "max_new_tokens": 100,
        "tools": tools[1:],
        "tool_choice": {"type": "function", "function": {"name": "b"}},
        "cache": {"ttl": 5, "no-store": True},
        "no-log": True,
        "store": False,
        "temperature": 0,
    }


@pytest.mark.parametrize("parameter", ["metadata", "litellm_logging_obj", "fallbacks", "api_key"])
def test_a_policy_sets_no_controls_of_litellm(parameter):
    with pytest.raises(UnwritableError):
        write_request({}, Changes(parameters={parameter: 1}), read(messages=[]))
