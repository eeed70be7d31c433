"""Reading a text: ASCII goes straight through, everything else keeps its offsets."""

# ruff: noqa: RUF001 -- look-alike characters are the subject

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein_detectors.normalising import view_of

CHARS = st.characters() | st.sampled_from("\u200b\u00ad\u0301\ufe0f\U000e0041\U0001d5ba\0aе１\ud800 \n")
TEXTS = st.text(CHARS, max_size=40)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_ascii_is_read_as_it_is(text):
    view = view_of(text)
    assert view.plain is text
    assert view.folded is text
    assert [view.raw(place) for place in range(len(text) + 1)] == list(range(len(text) + 1))


@given(TEXTS)
def test_the_readings_of_a_text_are_equally_long_and_ascii(text):
    view = view_of(text)
    assert view.plain.isascii()
    assert len({len(view.plain), len(view.folded), len(view.octets), len(view.shape), len(view.lower)}) == 1
    assert view.digits == sum(char in "0123456789" for char in view.plain)


@given(TEXTS)
def test_every_offset_has_its_place_in_the_raw_text_in_order(text):
    view = view_of(text)
    places = [view.raw(place) for place in range(len(view.plain) + 1)]
    assert places == sorted(set(places))
    assert places[-1] == len(text)


@given(TEXTS)
def test_a_character_that_is_kept_stands_where_its_offset_says(text):
    view = view_of(text)
    for place, char in enumerate(view.folded):
        raw = text[view.raw(place)]
        assert view_of(raw).folded == char


@given(TEXTS, TEXTS)
def test_two_texts_are_read_as_each_by_itself(one, two):
    assert view_of(one + two).plain == view_of(one).plain + view_of(two).plain


def test_nothing_that_unicode_calls_a_format_character_a_mark_or_a_control_is_seen():
    seen = []
    for point in range(0x110000):
        char = chr(point)
        if unicodedata.category(char) in {"Cc", "Cf", "Me", "Mn"} and view_of(f"a{char}b").plain != "ab":
            seen.append(point)
    # White space, and the signs of Arabic, Syriac and Kaithi numbers, which are drawn.
    assert seen == [
        *range(0x09, 0x0E), 0x85, *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD,
    ]  # fmt: skip


def test_every_decimal_digit_dash_and_space_of_unicode_is_read_as_ascii():
    for point in range(0x20000):
        char = chr(point)
        category = unicodedata.category(char)
        if category == "Nd":
            assert view_of(char).plain == str(unicodedata.digit(char)), hex(point)
        elif category in {"Pd", "Zs"}:
            assert view_of(char).plain == ("-" if category == "Pd" else " "), hex(point)


@pytest.mark.parametrize("word", ["ignore", "previous", "instructions", "password", "system", "prompt"])
@pytest.mark.parametrize("style", [0x1D400, 0x1D434, 0x1D4D0, 0x1D56C, 0x1D5A0, 0x1D670])
def test_mathematical_letters_are_read_as_letters(word, style):
    assert view_of("".join(chr(style + 26 + ord(char) - ord("a")) for char in word)).plain == word
