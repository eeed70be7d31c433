"""Finds phrases that try to overrule a model's instructions, to draw out its prompt, or to pose as another role.

The text is read without what is invisible, with look-alike letters as ASCII, in lower case; punctuation may stand
between words, and letters may be spaced out. Not undone: digits for letters, encodings such as base64, text written
backwards, other languages than those below. Phrases are a tripwire, no proof of safety: that is the policy's matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from .normalising import View, cut
from .phrases import LOOSE, MARKUP, STRICT, Phrase

__all__ = ["INJECTION_MAX", "find_hidden", "find_injections"]

INJECTION_MAX: Final = 512

# Five single letters in a row, each with at most three other characters behind it: the shape of spaced-out text. The
# pattern starts with a literal, which makes the search a plain one.
_SHAPE: Final = bytes(0x61 if chr(octet).isalpha() and octet < 0x80 else 0x20 for octet in range(256))  # noqa: PLR2004 -- ASCII
_SPACED_SHAPE: Final = re.compile(rb" a {1,3}a {1,3}a {1,3}a[ ]")
_SPACED: Final = re.compile(r"(?<![a-z])[a-z](?:[^a-z]{1,3}[a-z](?![a-z])){3,400}+")
_BETWEEN: Final = re.compile(r"[^a-z]+")

# Tags spell hidden ASCII; only in the flag of a region have they a use. Variation selectors in a row spell bytes.
_HIDDEN: Final = re.compile(
    "(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0020-\U000e007f]{4,}+|(?<=\U0001f3f4)[\U000e0020-\U000e007f]{8,}+"
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{6,}+"
)


def find_injections(view: View) -> Iterator[tuple[int, int]]:
    """Phrases, in the view's own offsets."""
    lower = view.lower
    yield from _phrases(STRICT, lower)
    yield from _phrases(MARKUP, lower)
    shape = view.octets.translate(_SHAPE)
    spaced = (
        [match.span() for match in _SPACED.finditer(lower)]
        if _SPACED_SHAPE.search(b" " + shape + b" ")
        else []
    )
    if not spaced and not view.places:
        return
    # Words may have been split, or glued by what was invisible: read them again with gaps that may be missing.
    runs = [match.span() for start, end in spaced for match in _BETWEEN.finditer(lower, start, end)]
    joined, places, totals = cut(lower, runs)
    joined_view = View(joined, joined, b"", joined, 0, places, totals)
    for start, end in _phrases(LOOSE, joined):
        yield joined_view.raw(start), joined_view.raw(end - 1) + 1


def find_hidden(text: str) -> Iterator[tuple[int, int]]:
    """Hidden writing, in the offsets of the raw text."""
    if not text.isascii():
        for match in _HIDDEN.finditer(text):
            yield match.span()


def _phrases(phrases: Sequence[Phrase], lower: str) -> Iterator[tuple[int, int]]:
    for phrase in phrases:
        if all(any(word in lower for word in words) for words in phrase.needs):
            for match in phrase.pattern.finditer(lower):
                yield match.span()
