"""Takes findings out of text and looks again: a finding that survives is a failed obligation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from .detection import Span

__all__ = ["join_spans", "placeholder", "redact", "survivors"]

_OPEN: Final = "[REDACTED:"


def placeholder(kind: str) -> str:
    """What stands in the place of a finding."""
    return f"{_OPEN}{kind}]"


def join_spans(spans: Iterable[Span], *, touching: bool = False) -> list[Span]:
    """Join overlapping spans, sorted; the first one's type names the joined span. Empty spans are dropped.

    Args:
        spans: in any order.
        touching: join also those that begin where another ends.
    """
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end, span.type)):
        if span.start >= span.end:
            continue
        last = joined[-1] if joined else None
        if last and (span.start < last.end or (touching and span.start == last.end)):
            joined[-1] = Span(last.type, last.start, max(last.end, span.end))
        else:
            joined.append(span)
    return joined


def redact(text: str, spans: Sequence[Span]) -> tuple[str, list[tuple[int, int]]]:
    """Replace every span by its placeholder.

    Returns:
        The new text, and where in it the placeholders stand: code points, `end` exclusive.
    """
    parts: list[str] = []
    written: list[tuple[int, int]] = []
    taken = size = 0
    for span in join_spans(spans):
        mark = placeholder(span.type)
        kept = text[taken : span.start]
        parts += (kept, mark)
        size += len(kept)
        written.append((size, size + len(mark)))
        size += len(mark)
        taken = span.end
    parts.append(text[taken:])
    return "".join(parts), written


def survivors(
    text: str,
    written: Sequence[tuple[int, int]],
    types: frozenset[str],
    find: Callable[[str], Sequence[Span]],
) -> list[Span]:
    """Hits of the redacted types in redacted text; those wholly inside a placeholder of ours do not count."""
    starts = [start for start, _ in written]
    hits: list[Span] = []
    for span in find(text):
        nearest = bisect_right(starts, span.start) - 1
        inside = nearest >= 0 and span.end <= written[nearest][1]
        if span.type in types and span.start < span.end and not inside:
            hits.append(span)
    return hits
