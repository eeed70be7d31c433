"""Reads a text as a person or a model would: without what is invisible, look-alikes as ASCII, offsets kept.

Two steps. Characters are first replaced one for one, so that this step needs no offsets: look-alike letters,
digits of every script, dashes, spaces and quotes become ASCII. What shows nothing (zero-width characters,
bidi controls, soft hyphens, tags, variation selectors, combining marks) is then cut out, and where it stood
is remembered. ASCII text without control characters goes through neither step.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Final

from .lookalikes import CONTROLS, HIDDEN, TAGS, ascii_table

__all__ = ["View", "cut", "view_of"]

_SHAPE: Final = bytes(
    ord("a") if chr(octet) in ascii_letters else ord("0") if chr(octet) in digits else ord(" ")
    for octet in range(256)
)
_HIDDEN: Final = re.compile(f"{HIDDEN}+")


@dataclass(slots=True, repr=False)
class View:
    """A text as detectors read it.

    Args:
        plain: ASCII, a `?` for each character without such a reading; detectors' offsets are its own.
        folded: as long as `plain`, but what has no ASCII reading is still there.
        octets: `plain` in bytes.
        lower: `plain` in lower case.
        shape: as long as `plain`: `a` for a letter, `0` for a digit, a space for anything else. What a
            finding must look like is searched here first, at the speed of a search for plain text.
        digits: how many decimal digits there are.
        places: where in `plain` something was cut out, ascending.
        totals: how many characters had been cut out so far, at each place.
    """

    plain: str
    folded: str
    octets: bytes
    lower: str
    shape: bytes
    digits: int
    places: Sequence[int] = ()
    totals: Sequence[int] = ()

    def raw(self, place: int) -> int:
        """The offset in the text that was read, for an offset in `plain`.

        What was cut out right before `place` lies before the answer: a span's end takes in what clings to its
        last character, and its start does not take in what precedes it.
        """
        index = bisect_right(self.places, place)
        return place + self.totals[index - 1] if index else place


def view_of(text: str) -> View:
    """Read a text; takes any `str`, lone surrogates included. Linear, and nearly free for ASCII."""
    if text.isascii():
        octets = text.encode("ascii")
        if len(octets.translate(None, CONTROLS)) == len(octets):
            return _view(text, text, octets)
    folded = TAGS.sub(_hide, text).translate(ascii_table())
    runs = [match.span() for match in _HIDDEN.finditer(folded)]
    folded, places, totals = cut(folded, runs)
    octets = folded.encode("ascii", "replace")
    return _view(octets.decode("ascii"), folded, octets, places, totals)


def cut(text: str, runs: Sequence[tuple[int, int]]) -> tuple[str, list[int], list[int]]:
    """Cut runs out of a text.

    Returns:
        What is left, where in it a run stood, and how many characters were cut out up to there.
    """
    if not runs:
        return text, [], []
    parts: list[str] = []
    places: list[int] = []
    totals: list[int] = []
    taken = total = 0
    for start, end in runs:
        parts.append(text[taken:start])
        places.append(start - total)
        total += end - start
        totals.append(total)
        taken = end
    parts.append(text[taken:])
    return "".join(parts), places, totals


def _hide(match: re.Match[str]) -> str:
    return HIDDEN * len(match.group())


def _view(
    plain: str, folded: str, octets: bytes, places: Sequence[int] = (), totals: Sequence[int] = ()
) -> View:
    shape = octets.translate(_SHAPE)
    return View(plain, folded, octets, plain.lower(), shape, shape.count(b"0"), places, totals)
