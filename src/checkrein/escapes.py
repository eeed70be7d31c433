r"""Text as whoever parses it reads it: JSON writes `1` as `\u0031`, too, and detectors have to see the `1`.

Answers in a schema, arguments of tools, documents: much of what models write and read is JSON, and is parsed
after it was judged. Escapes stay where they are; what is found behind them is told in the places of the raw
text, whole escapes at a time, so that a placeholder in their stead leaves the JSON valid.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

__all__ = ["Unescaped", "escapes_in", "unescape"]

_ESCAPE: Final = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|([nrtbf"/\\]))')
# One that is not complete yet shows nothing: the rest of it may still come.
_GROWING: Final = re.compile(r'\\(?:u[0-9A-Fa-f]{4}|[nrtbf"/\\]|(?:u[0-9A-Fa-f]{0,3})?\Z)')
_SHORT: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_SURROGATES: Final = range(0xD800, 0xE000)


class Unescaped(NamedTuple):
    """A text without its escapes, and the way back.

    Args:
        text: what a parser makes of it.
        starts: where each escape's character stands in `text`.
        places: where the escape itself stands in the raw text, from and to.
    """

    text: str
    starts: Sequence[int]
    places: Sequence[tuple[int, int]]

    def raw(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the raw text behind a stretch of this one, escapes whole.

        Args:
            start: first code point.
            end: one past the last.
        """
        return self._place(start, 0), (self._place(end - 1, 1) if end > start else self._place(end, 0))

    def whole(self, start: int, end: int) -> tuple[int, int]:
        """A stretch of the raw text, widened to the escapes that it cuts.

        Args:
            start: first code point.
            end: one past the last.
        """
        before, after = (bisect_right(self.places, (place,)) - 1 for place in (start, end))
        low, high = self.places[max(before, 0)], self.places[max(after, 0)]
        return (
            low[0] if low[0] < start < low[1] else start,
            high[1] if high[0] < end < high[1] else end,
        )

    def _place(self, place: int, side: int) -> int:
        index = bisect_right(self.starts, place) - 1
        if index < 0:
            return place + side
        if self.starts[index] == place:
            return self.places[index][side]
        return self.places[index][1] + place - self.starts[index] - 1 + side


def unescape(text: str) -> Unescaped | None:
    """What a reader of JSON makes of a text; None where there is no escape in it.

    Args:
        text: any text, JSON or not.
    """
    if "\\" not in text:
        return None
    parts: list[str] = []
    starts: list[int] = []
    places: list[tuple[int, int]] = []
    last = size = 0
    for match in _ESCAPE.finditer(text):
        start, end = match.span()
        parts += (text[last:start], _character(match))
        size += start - last
        starts.append(size)
        places.append((start, end))
        size += 1
        last = end
    if not places:
        return None
    parts.append(text[last:])
    return Unescaped("".join(parts), starts, places)


def escapes_in(text: str) -> Iterator[tuple[int, int]]:
    """Where escapes stand, also one at the end that may still grow.

    Args:
        text: any text.
    """
    find: Callable[[str], Iterator[re.Match[str]]] = _GROWING.finditer
    return (match.span() for match in find(text)) if "\\" in text else iter(())


def _character(match: re.Match[str]) -> str:
    code, short = match.groups()
    if code is None:
        return _SHORT.get(short, short)
    point = int(code, 16)
    # Half of a pair is no character; nothing that is looked for is beyond the first plane.
    return "\N{REPLACEMENT CHARACTER}" if point in _SURROGATES else chr(point)
