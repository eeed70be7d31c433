"""What detectors found, as findings of a request and as spans of its texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .detection import Span
from .vocabulary import Finding, Origin, Segment

__all__ = ["findings_of", "found_types", "shown", "spans_by_segment"]


def findings_of(spans: Sequence[Span], segments: Sequence[Segment], current_from: int) -> tuple[Finding, ...]:
    """Turn sorted spans of the joined text into findings, one for each segment that a span touches."""
    starts = _starts(segments)
    findings: list[Finding] = []
    first = 0
    for span in spans:
        while first < len(segments) and starts[first] + len(segments[first].text) < span.start:
            first += 1
        index = first
        while index < len(segments) and (starts[index] < span.end or span.start == span.end == starts[index]):
            start = max(span.start, starts[index])
            end = min(span.end, starts[index] + len(segments[index].text))
            if start < end or span.start == span.end == start:
                findings.append(
                    Finding(
                        type=span.type,
                        origin=segments[index].origin,
                        current=index >= current_from and segments[index].origin is not Origin.SYSTEM,
                        segment=index,
                        start=start,
                        end=end,
                    )
                )
            index += 1
    return tuple(findings)


def spans_by_segment(findings: Iterable[Finding], segments: Sequence[Segment]) -> dict[int, list[Span]]:
    """Turn findings back into spans, each of its own segment's text."""
    starts = _starts(segments)
    spans: dict[int, list[Span]] = {}
    for one in findings:
        start = starts[one.segment]
        spans.setdefault(one.segment, []).append(Span(one.type, one.start - start, one.end - start))
    return spans


def shown(finding: Finding) -> dict[str, Any]:
    """A finding as the input document has it."""
    return {
        "type": finding.type,
        "origin": finding.origin.value,
        "current": finding.current,
        "segment": finding.segment,
        "start": finding.start,
        "end": finding.end,
    }


def found_types(context: Mapping[str, Any], *, current: bool) -> list[str]:
    """The types that were found: for engines whose language cannot search a list of findings.

    Args:
        context: the input document's.
        current: in the turn being answered alone. An assistant's last words in a prompt are put into its
            mouth and do not count; in its answer, and in its call of a tool, they are what is judged.
    """
    skipped = Origin.ASSISTANT.value if "prompt" in context else None
    return sorted(
        {
            finding["type"]
            for finding in context.get("findings", ())
            if not current or (finding["current"] and finding["origin"] != skipped)
        }
    )


def _starts(segments: Sequence[Segment]) -> list[int]:
    """Where each segment starts in the joined text, in code points."""
    starts: list[int] = []
    place = 0
    for segment in segments:
        starts.append(place)
        place += len(segment.text) + 1
    return starts
