"""Events that come as bytes: read as the standard says, refused where they are none, written unmistakably."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein.errors import RequestError
from checkrein_litellm.streams.sse import DONE, FrameReader, frame


def read(raw, limit=10_000, cuts=()):
    reader = FrameReader(limit)
    edges = [0, *sorted(cuts), len(raw)]
    found = []
    for start, end in pairwise(edges):
        found += reader.take(raw[start:end])
    reader.close()
    return found


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'data: {"a": 1}\n\n', [("", {"a": 1})]),
        (b'data:{"a": 1}\r\n\r\n', [("", {"a": 1})]),
        (b'event: x\rdata: {"a": 1}\r\r', [("x", {"a": 1})]),
        (b'\xef\xbb\xbfdata: {"a": 1}\n\n', [("", {"a": 1})]),
        (b': a comment\nid: 7\nretry: 10\ndata: {"a": 1}\n\n', [("", {"a": 1})]),
        (b'data: {"a":\ndata: 1}\n\n', [("", {"a": 1})]),
        (b"event: nothing\n\n", []),
        (b"data: [DONE]\n\n", [("", DONE)]),
        (b'data: {"a": 1, "a": 2}\n\n', [("", {"a": 2})]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_says_however_they_are_cut(raw, expected):
    for place in range(len(raw) + 1):
        assert read(raw, cuts=[place]) == expected
    assert read(raw, cuts=range(1, len(raw))) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"data: no json\n\n",
        b"data: [1]\n\n",
        b'data: "a"\n\n',
        b'data: {"a": NaN}\n\n',
        b'data: {"a": 1}\n',
        b'data: {"a": 1}',
        b'{"error": "x"}\n\n',
        b"unknown: x\n\n",
        b"data: \xff\n\n",
        b"data: \xc3",
    ],
)
def test_what_is_no_event_is_refused(raw):
    with pytest.raises(RequestError) as refused:
        read(raw)
    assert refused.value.code == "unsupported_answer"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'data: {"a": ' + b"[" * 60_000 + b"\n\n", "limit.depth"),
        (b"data: " + b"x" * 200_000, "limit.text"),
        (b"data: x\n" * 50_000, "limit.text"),
    ],
)
def test_an_event_too_deep_or_too_long_is_refused(raw, code):
    with pytest.raises(RequestError) as refused:
        read(raw, limit=1_000)
    assert refused.value.code == code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text(), json_values), max_size=4), st.data())
def test_what_is_written_is_read_again(values, data):
    raw = b"".join(frame(value, "a_name") for value in values)
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=6))
    assert [(one.name, one.data) for one in read(raw, 1_000_000, cuts)] == [("a_name", one) for one in values]


@pytest.mark.parametrize("name", ["a b", "a\nb", "a\rdata: x", ":", "ä", "-", "a" * 65])
def test_a_name_that_could_be_read_as_something_else_is_not_written(name):
    with pytest.raises(RequestError):
        frame({}, name)


def test_nothing_in_a_value_can_end_its_line():
    assert frame({"a": "\r\n\x85\u2028"}) == b'data: {"a":"\\r\\n\\u0085\\u2028"}\n\n'
    assert json.loads(frame({"a": "\ud800"})[6:]) == {"a": "\ud800"}
