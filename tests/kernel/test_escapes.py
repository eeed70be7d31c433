"""What is written in JSON's escapes is found as if it were not, and redacting it leaves JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein.detection import Detectors, Span
from checkrein.escapes import escapes_in, unescape
from checkrein.redaction import redact
from checkrein.vocabulary import Stage

TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=40)
PIECES = st.lists(
    st.sampled_from(["\\u0031", "\\u004", "\\u00e9", "\\n", '\\"', "\\\\", "\\", "u0031", "1", "a", "é"]),
    max_size=20,
).map("".join)


def find_ones(text):
    return [Span("one", place, place + 1) for place, char in enumerate(text) if char == "1"]


def find_pairs(text):
    return [
        Span("pair", place, place + 2) for place in range(len(text) - 1) if text[place : place + 2] == "1é"
    ]


def detectors(*scanners):
    stage = Stage.POST_COMPLETION
    return Detectors({stage: frozenset({"one", "pair"})}, {stage: scanners}, {stage: 2})


def find(text, *scanners):
    return detectors(*(scanners or (find_ones,))).find(Stage.POST_COMPLETION, text)


@given(text=TEXTS)
def test_without_its_escapes_json_says_what_was_dumped(text):
    written = json.dumps(text)[1:-1]
    read = unescape(written)
    assert (written if read is None else read.text) == text


@given(text=PIECES)
def test_every_place_leads_back_to_what_stands_for_it(text):
    read = unescape(text)
    if read is None:
        return
    raw = [read.raw(place, place + 1) for place in range(len(read.text))]
    assert [start for start, _ in raw] == [0, *(end for _, end in raw)][: len(raw)]
    assert (raw[-1][1] if raw else 0) == len(text)
    for char, (start, end) in zip(read.text, raw, strict=True):
        assert char == text[start:end] or text[start] == "\\"
    for start in range(len(read.text)):
        for end in range(start + 1, len(read.text) + 1):
            assert read.raw(start, end) == (raw[start][0], raw[end - 1][1])


def test_a_text_without_escapes_is_read_once():
    asked = []

    def scan(text):
        asked.append(text)
        return []

    find("no escape", scan)
    find("C:\\Windows\\x", scan)
    assert asked == ["no escape", "C:\\Windows\\x"]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a1", [(1, 2)]),
        ("a\\u0031b", [(1, 7)]),
        ("\\u0031\\u0031", [(0, 6), (6, 12)]),
        ("\\\\u0031", [(6, 7)]),
        ("\\ud83d\\u0031", [(6, 12)]),
        ("1\\n", [(0, 1)]),
        ("\\u003", []),
    ],
)
def test_what_is_escaped_is_found_in_the_places_of_the_raw_text(text, places):
    assert [(span.start, span.end) for span in find(text)] == places


def test_a_finding_that_is_half_escaped_is_found_whole():
    assert [(span.start, span.end) for span in find("x1\\u00e9y", find_pairs)] == [(1, 8)]
    assert [(span.start, span.end) for span in find("x\\u0031éy", find_pairs)] == [(1, 8)]


@given(value=st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3)))
def test_redacted_json_is_json_without_a_finding(value):
    written = json.dumps(value)
    redacted, _ = redact(written, find(written))
    assert find(json.dumps(json.loads(redacted), ensure_ascii=False)) == []


@given(text=PIECES)
def test_an_escape_that_may_still_grow_is_told_too(text):
    told = list(escapes_in(text))
    assert [(start, end) for start, end in told if end < len(text)] == [
        (start, end) for start, end in (unescape(text) or unescape("\\n")).places if end < len(text)
    ] or unescape(text) is None
    for cut in range(len(text)):
        head = list(escapes_in(text[:cut]))
        for start, end in told:
            if start < cut < end:
                assert head[-1] == (start, cut)
