"""Finds phrases that try to overrule a model's instructions, draw out its prompt or pose as another role.

The text is read without what is invisible, with look-alike letters as ASCII, in lower case; punctuation may
stand between words, and letters may be spaced out. Not undone: digits for letters, encodings such as base64,
text written backwards, other languages than those below. Phrases are a tripwire, no proof of safety: that is
the policy's matter.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from .normalising import View, cut
from .phrases import LOOSE, MARKUP, STRICT, Group, Phrase

__all__ = ["INJECTION_MAX", "find_hidden", "find_injections"]

INJECTION_MAX: Final = 512
_LOOK_BACK: Final = 160

# Four single letters in a row, at most three characters between them: the shape of spaced-out text. The first
# pattern starts with a literal, which makes the search a plain one.
_SPACED_SHAPE: Final = re.compile(rb" a {1,3}a {1,3}a {1,3}a(?![a0])")
_SPACED: Final = re.compile(r"(?<![a-z0-9])[a-z](?:[^a-z0-9]{1,3}[a-z](?![a-z0-9])){3,400}+")
_BETWEEN: Final = re.compile(r"[^a-z]+")

# Tags spell hidden ASCII; only in the flag of a region have they a use. Variation selectors in a row spell
# bytes.
_HIDDEN: Final = re.compile(
    "(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]{4,}+|(?<=\U0001f3f4)[\U000e0020-\U000e007f]{8,}+"
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{6,}+"
)


def find_injections(view: View) -> Iterator[tuple[int, int]]:
    """Phrases, in the view's own offsets."""
    lower = view.lower
    yield from _phrases(STRICT, lower)
    for start, end in _phrases(MARKUP, lower):
        if view.plain[start] != "[" or view.plain[start:end].isupper():  # `samples[inst]` is an index
            yield start, end
    spaced: list[tuple[int, int]] = []
    if _SPACED_SHAPE.search(b" " + view.shape):
        spaced = [match.span() for match in _SPACED.finditer(lower)]
    if not spaced and not view.places:
        return
    # Words may have been split, or glued by what was invisible: read them again with gaps that may be
    # missing. Only phrases count that something was cut out of, since in ordinary text words may run into
    # each other.
    runs = [match.span() for start, end in spaced for match in _BETWEEN.finditer(lower, start, end)]
    joined, places, totals = cut(lower, runs)
    back = View(joined, joined, b"", joined, b"", 0, places, totals)
    for start, end in _phrases(LOOSE, joined):
        place = back.raw(start), back.raw(end - 1) + 1
        if _any_within(places, start, end) or _any_within(view.places, *place):
            yield place


def _any_within(places: Sequence[int], start: int, end: int) -> bool:
    index = bisect_left(places, start)
    return index < len(places) and places[index] <= end


def find_hidden(text: str) -> Iterator[tuple[int, int]]:
    """Hidden writing, in the offsets of the raw text."""
    if not text.isascii():
        for match in _HIDDEN.finditer(text):
            yield match.span()


def _phrases(groups: Sequence[Group], lower: str) -> Iterator[tuple[int, int]]:
    contains = lower.__contains__
    for needs, phrases in groups:
        if any(map(contains, needs)):
            for phrase in phrases:
                if all(any(map(contains, words)) for words in phrase.needs):
                    yield from _places(phrase, lower)


def _places(phrase: Phrase, lower: str) -> Iterator[tuple[int, int]]:
    taken = 0
    for head in phrase.heads.finditer(lower):
        start = head.start()
        match = phrase.pattern.match(lower, start) if start >= taken else None
        if match is None:
            continue
        if phrase.lead is not None:
            floor = max(0, start - _LOOK_BACK)
            lead = phrase.lead.search(lower[floor:start])
            if lead is None:
                continue
            start = floor + lead.start()
        taken = match.end()
        yield start, taken
