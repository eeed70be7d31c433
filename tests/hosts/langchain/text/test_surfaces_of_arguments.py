"""The arguments of a tool, whole, torn or streamed: every text and key in them is found and written back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from surfaces import read

from checkrein_langchain.text.messages import copy_message
from checkrein_langchain.text.surface import WriteError


def test_arguments_stay_valid_json_and_keep_what_was_not_changed():
    arguments = json.dumps({"who": 'say "SECRET"', "n": 7, "ok": True, "none": None, "é": [1.5]})
    message = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": arguments}})
    surface = read(message)
    changed = {one.path: '[gone] "\\' for one in surface.segments if "SECRET" in one.text}

    surface.write(changed)

    written = json.loads(message.additional_kwargs["function_call"]["arguments"])
    assert written == {"who": '[gone] "\\', "n": 7, "ok": True, "none": None, "é": [1.5]}


def test_a_key_that_is_a_text_is_found_and_written_back():
    message = AIMessage("", tool_calls=[{"name": "f", "args": {"a": 1, "my 123-45": {"b": "x"}}, "id": "1"}])
    surface = read(message)
    (key,) = (one for one in surface.segments if one.text == "my 123-45")
    (below,) = (one for one in surface.segments if one.text == "x")

    surface.write({key.path: "[gone]", below.path: "y"})

    assert list(message.tool_calls[0]["args"].items()) == [("a", 1), ("[gone]", {"b": "y"})]


def test_two_keys_do_not_become_one():
    message = AIMessage("", tool_calls=[{"name": "f", "args": {"k 1": "a", "k 2": "b"}, "id": "1"}])
    surface = read(message)
    keys = {one.path: "[gone]" for one in surface.segments if one.text.startswith("k ")}

    with pytest.raises(WriteError):
        surface.write(keys)


def test_a_number_that_could_identify_somebody_is_text():
    message = AIMessage(
        "", tool_calls=[{"name": "f", "args": {"a": 123456789, "b": 12, "c": True}, "id": "1"}]
    )
    surface = read(message)

    assert [one.text for one in surface.segments] == ["f", "123456789"]
    surface.write({surface.segments[1].path: "[gone]"})
    assert message.tool_calls[0]["args"] == {"a": "[gone]", "b": 12, "c": True}


def test_arguments_that_hide_a_value_behind_a_second_key_are_read_as_they_stand():
    arguments = '{"a": "SECRET", "a": "x"}'
    message = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": arguments}})

    assert arguments in [one.text for one in read(message).segments]


def test_a_streamed_tool_call_is_parsed_again_from_its_changed_pieces():
    message = AIMessageChunk(
        "", tool_call_chunks=[{"name": "f", "args": '{"who": "SECRET"}', "id": "1", "index": 0}]
    )
    surface = read(message)
    surface.write({one.path: "[gone]" for one in surface.segments if one.text == "SECRET"})

    assert message.tool_calls[0]["args"] == {"who": "[gone]"}
    assert json.loads(message.tool_call_chunks[0]["args"]) == {"who": "[gone]"}


def test_what_langchain_makes_of_torn_arguments_is_read_too():
    # Escaped in the raw text, plain in what a caller finds in `tool_calls`.
    torn = '{"who": "SEC\\u0052ET'
    message = AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": torn, "id": "1", "index": 0}])

    assert message.tool_calls[0]["args"] == {"who": "SECRET"}
    texts = [one.text for one in read(message).segments]
    assert texts == ["f", torn, "SECRET"]


def test_keys_of_torn_arguments_are_written_back_too():
    torn = '{"my 123-45": "x", "b": "y'
    message = AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": torn, "id": "1", "index": 0}])
    surface = read(message)
    (key,) = (one for one in surface.segments if one.text == "my 123-45")

    surface.write({key.path: "[gone]"})

    assert message.tool_calls[0]["args"] == {"[gone]": "x", "b": "y"}


def test_deep_nesting_is_no_way_out():
    deep = "SECRET"
    for _ in range(5_000):
        deep = [deep]
    surface = read(AIMessage("", tool_calls=[{"name": "f", "args": {"a": deep}, "id": "1"}]))

    assert [one.text for one in surface.segments] == ["f", "SECRET"]


TEXT = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(arguments=st.dictionaries(TEXT, JSON, max_size=4), marker=st.just("[gone]"))
def test_any_arguments_are_written_back_as_they_were_but_for_what_changed(arguments, marker):
    message = AIMessage("", tool_calls=[{"name": "f", "args": arguments, "id": "1"}])
    surface = read(message)
    assert len({one.path for one in surface.segments}) == len(surface.segments)
    texts = {one.path: marker + one.text for one in surface.segments}
    copied = copy_message(message)

    read(copied).write(texts)

    read(copied).expect(surface, texts)
    assert message.tool_calls[0]["args"] == arguments
    json.dumps(copied.tool_calls[0]["args"])


@given(arguments=st.dictionaries(TEXT, JSON, max_size=4))
def test_any_streamed_arguments_are_the_ones_that_were_judged(arguments):
    pieces = [{"name": "f", "args": json.dumps(arguments), "id": "1", "index": 0}]
    message = AIMessageChunk("", tool_call_chunks=pieces)
    surface = read(message)
    texts = {one.path: "[gone]" + one.text for one in surface.segments[1:]}

    surface.write(texts)

    assert json.loads(message.tool_call_chunks[0]["args"]) == message.tool_calls[0]["args"]
    assert len(repr(message.tool_calls).split("[gone]")) == len(texts) + 1
