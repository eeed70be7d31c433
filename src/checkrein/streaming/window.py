"""What of a growing text may leave: everything that no finding can grow into any more.

A detector bounds its findings in code points, with the words that they lean on (`max_spans`). That bound is
for what is seen. A sender can stretch a finding with characters that show nothing or with escapes, put
another finding into it, or write a run without spaces that ends as a key; a detector tells such a finding in
several touching spans. So the window counts what shows alone, counts a finding as its placeholder, and ends
where a run ends.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from checkrein.detection import Span
from checkrein.escapes import escapes_in
from checkrein.redaction import join_spans, placeholder, redact, survivors

__all__ = ["Move", "Window"]

# Detectors look a little behind a finding. And one finding can be the cue of the next: so near are the two.
_MARGIN: Final = 64
_NEAR: Final = 64
# A scan reads the window again: new text is an eighth of it at least, which keeps the cost linear.
_LEAST: Final = 32
_QUARTER: Final = 4
_SHARE: Final = 8
# What may show nothing, and white space before white space. A letter, a digit or an ASCII sign shows.
_QUIET: Final = re.compile("(?:[^\\w\x20-\x7e]|[\u115f\u1160\u3164\uffa0]| (?=\\s))++")
_QUIET_ASCII: Final = re.compile(r"(?:[\x00-\x1f\x7f]| (?=\s))++")
# What ends a run: white space, and scripts that write none, as long as it is neither a mark nor a look-alike.
_RUN: Final = re.compile(
    "[^\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    "\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]*+"
)

# From, to, and how many code points it counts.
Hole = tuple[int, int, int]
# Index of the path, or -1 for what joins two; how long it was; what stands there now, and its placeholders.
Piece = tuple[int, int, str, list[tuple[int, int]]]


class Move(NamedTuple):
    """What a scan came to.

    Args:
        cut: where the text that may leave ends.
        types: types of the findings before `cut` that the last move had not reached.
        passed: how many these are.
        grown: types of findings that reach into what has left: their detector understated its bound.
    """

    cut: int
    types: frozenset[str]
    passed: int
    grown: frozenset[str]


class Window:
    """The end of a growing text that is still needed; the texts of several paths, joined as the document's.

    Offsets are code points into the joined text.

    Args:
        find: finds every span in a text.
        reach: the longest span in code points, with what it leans on.
    """

    def __init__(self, find: Callable[[str], Sequence[Span]], reach: int) -> None:
        self._find = find
        self._reach = reach
        self._text = ""
        self._base = 0
        self._end = 0
        self._new: list[str] = []
        self._fresh = 0
        self._left = 0
        self._starts: list[int] = []
        self._spans: list[Span] = []
        self._holes: list[Hole] = []

    def begin(self) -> None:
        """Go on with the next path's text."""
        if self._starts:
            self.append("\n")
        self._starts.append(self._end)

    def append(self, text: str) -> None:
        """Add to the text of the current path."""
        self._new.append(text)
        self._fresh += len(text)
        self._end += len(text)

    @property
    def due(self) -> bool:
        """Whether there is enough new text for a scan to be worth it."""
        size = self._end - self._base
        quantum = max(_LEAST, self._reach // _QUARTER, size // _SHARE)
        return self._fresh >= quantum and self._end - self._left > self._reach

    def scan(self) -> Move | None:
        """Look through the window; None when nothing more may leave."""
        self._text = "".join((self._text, *self._new))
        self._new.clear()
        self._fresh = 0
        base, left = self._base, self._left
        found = [Span(kind, start + base, end + base) for kind, start, end in self._find(self._text)]
        grown = frozenset(span.type for span in found if span.start < left < span.end)
        settled = [span for span in self._spans if span.end <= left]
        fresh = [Span(span.type, max(span.start, left), span.end) for span in found if span.end > left]
        self._spans = settled + fresh
        cut = max(self._cut(), left)
        if cut == left and not grown:
            return None
        passed = [span for span in fresh if span.end <= cut]
        return Move(cut, grown.union(span.type for span in passed), len(passed), grown)

    def release(self, move: Move, types: frozenset[str]) -> list[tuple[int, int, str]] | None:
        """Let text go.

        Args:
            move: how far.
            types: types to redact.

        Returns:
            For each path that it concerns, in pieces: its index, how many code points go, what leaves
            instead. None when a finding shows in what would have left.
        """
        spans = [span for span in self._spans if span.type in types]
        pieces = self._redacted(self._left, move.cut, spans)
        if spans and self._shows(move.cut, types, spans):
            return None
        self._left = move.cut
        self._forget()
        return [(index, size, text) for index, size, text, _ in pieces if index >= 0]

    def _cut(self) -> int:
        # Spans that touch may be pieces of one finding.
        groups = join_spans(self._spans, touching=True)
        self._holes = self._holes_of(groups)
        cut = _back(self._end, self._reach, self._holes)
        backwards = self._text[::-1]
        floor = self._end - self._left
        index = len(groups)
        while cut > self._left:
            run = _RUN.match(backwards, self._end - cut, floor)
            cut -= len(run.group()) if run else 0
            while index and groups[index - 1].start >= cut:
                index -= 1
            if not index or groups[index - 1].end <= cut:
                break
            cut = groups[index - 1].start
        return cut

    def _holes_of(self, groups: Iterable[Span]) -> list[Hole]:
        """Stretches that count less than their length, in order."""
        quiet = _QUIET_ASCII if self._text.isascii() else _QUIET
        base = self._base
        holes = [(match.start() + base, match.end() + base, 0) for match in quiet.finditer(self._text)]
        # What an escape shows may be nothing as well.
        holes += [(start + base, end + base, 0) for start, end in escapes_in(self._text)]
        holes += [
            (group.start, group.end, min(group.end - group.start, len(placeholder(group.type))))
            for group in groups
        ]
        joined: list[Hole] = []
        for start, end, weight in sorted(holes):
            if joined and start < joined[-1][1]:
                before = joined[-1]
                joined[-1] = (before[0], max(before[1], end), before[2] + weight)
            else:
                joined.append((start, end, weight))
        return joined

    def _redacted(self, start: int, end: int, spans: Sequence[Span]) -> list[Piece]:
        """A stretch, redacted path by path, as the whole will be."""
        starts = self._starts
        first = max(0, bisect_right(starts, start) - 1)
        within: dict[int, list[Span]] = {}
        for span in spans:
            if span.start < end and span.end > start:
                index = max(first, bisect_right(starts, span.start) - 1)
                while index < len(starts) and starts[index] < span.end:
                    within.setdefault(index, []).append(span)
                    index += 1
        pieces: list[Piece] = []
        for index in range(first, bisect_right(starts, end)):
            last = starts[index + 1] - 1 if index + 1 < len(starts) else self._end
            low, high = max(start, starts[index]), min(end, last)
            clipped = [
                Span(span.type, max(span.start, low) - low, min(span.end, high) - low)
                for span in within.get(index, ())
            ]
            text, marks = redact(self._text[low - self._base : high - self._base], clipped)
            pieces.append((index, high - low, text, marks))
            if last < end:
                pieces.append((-1, 1, "\n", []))
        return pieces

    def _shows(self, cut: int, types: frozenset[str], spans: Sequence[Span]) -> bool:
        """Whether a finding is still there when what leaves stands between what has left and what follows."""
        zones = ((self._base, self._left), (self._left, cut), (cut, self._end))
        written: list[tuple[int, int]] = []
        parts: list[str] = []
        borders: list[int] = []
        place = 0
        for start, end in zones:
            for _, _, text, marks in self._redacted(start, end, spans) if start < end else ():
                written += [(place + low, place + high) for low, high in marks]
                parts.append(text)
                place += len(text)
            borders.append(place)
        hits = survivors("".join(parts), written, types, self._find)
        return any(hit.start < borders[1] and hit.end > borders[0] for hit in hits)

    def _forget(self) -> None:
        """Keep what detectors may look at before what has not left."""
        spans = [span for span in self._spans if span.end <= self._left]
        edge = self._left
        for group in reversed(join_spans(spans, touching=True)):
            if group.end < _back(edge, _NEAR, self._holes):
                break
            edge = group.start
        base = max(self._base, _back(edge, self._reach + _MARGIN, self._holes))
        self._text = self._text[base - self._base :]
        self._base = base
        self._spans = [
            Span(span.type, max(span.start, base), span.end) for span in self._spans if span.end > base
        ]


def _back(end: int, count: int, holes: Sequence[Hole]) -> int:
    """Where a stretch that counts at least so many code points begins, going back from its end."""
    place = end
    for index in range(bisect_left(holes, (end,)) - 1, -1, -1):
        start, stop, weight = holes[index]
        stop = min(stop, place)
        if count <= place - stop:
            break
        count -= place - stop
        if count <= weight:
            return start
        count -= weight
        place = start
    return max(0, place - count)
