"""Span redaction: laws over any text and any spans."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from checkrein.detection import Span
from checkrein.redaction import join_spans, placeholder, redact, survivors

TEXTS = st.text(max_size=60)


@st.composite
def texts_with_spans(draw):
    text = draw(TEXTS)
    place = st.integers(0, len(text))
    pairs = draw(st.lists(st.tuples(place, place, st.sampled_from(["a", "b"])), max_size=6))
    return text, [Span(kind, min(one, two), max(one, two)) for one, two, kind in pairs]


@given(texts_with_spans())
def test_what_no_span_covers_stays_and_what_a_span_covers_goes(case):
    text, spans = case
    result, written = redact(text, spans)
    kept = "".join(
        char for place, char in enumerate(text) if not any(s.start <= place < s.end for s in spans)
    )
    outside, taken = [], 0
    for start, end in written:
        outside.append(result[taken:start])
        assert result[start:end] in (placeholder("a"), placeholder("b"))
        taken = end
    assert "".join([*outside, result[taken:]]) == kept


@given(texts_with_spans())
def test_joined_spans_never_overlap_and_are_never_empty(case):
    joined = join_spans(case[1])
    assert all(span.start < span.end for span in joined)
    assert all(one.end <= two.start for one, two in pairwise(joined))


def test_a_hit_inside_a_placeholder_of_ours_is_no_survivor_and_one_outside_is():
    text, written = redact("x secret y", [Span("a", 2, 8)])
    inside = Span("a", 3, 5)
    outside = Span("a", 0, 1)
    assert survivors(text, written, frozenset({"a"}), lambda _: [inside, outside]) == [outside]
