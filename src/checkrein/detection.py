"""What a detector is, and one pass over a text by the detectors of a stage (group `checkrein.detectors`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from .escapes import unescape
from .plugins import load_plugin
from .vocabulary import Stage

__all__ = ["BoundedScanner", "DetectorPack", "Detectors", "Scanner", "Span"]

# More than any text has.
_ALL: Final = sys.maxsize


class Span(NamedTuple):
    """A hit: code-point offsets into the raw text, `end` exclusive."""

    type: str
    start: int
    end: int


Scanner = Callable[[str], Iterable[Span]]
"""Finds every span of its types in a text, in linear time, in any order; raises nothing for any `str`."""


class BoundedScanner(Protocol):
    """A scanner that can stop: one with this method is asked by it wherever there is a limit of findings.

    Any other is bounded too, if it is lazy: no more is taken from it than the limit.
    """

    def __call__(self, text: str) -> Iterable[Span]:
        """Every span, as of any scanner."""

    def up_to(self, text: str, most: int) -> Iterable[Span]:
        """Every span; or, once more than `most` have been found, more than `most` spans and not the rest."""


class DetectorPack(Protocol):
    """One or more detectors that share a pass. The entry point's name is the finding's type."""

    @property
    def max_spans(self) -> Mapping[str, int | None]:
        """Per type, the longest span in code points, or None when unbounded (a stream is then held)."""

    def scanner(self, types: frozenset[str]) -> Scanner:
        """Compile a scanner for these types; called while building, never per call."""


@dataclass(frozen=True, slots=True)
class Detectors:
    """The detectors of each stage, compiled once.

    Args:
        types: what is looked for.
        scanners: what looks.
        longest: the longest span that any of them finds, in code points; a stage that has detectors and
            stands here with None, or not at all, has no bound.
    """

    types: Mapping[Stage, frozenset[str]]
    scanners: Mapping[Stage, tuple[Scanner, ...]]
    longest: Mapping[Stage, int | None] = field(default_factory=dict)

    @classmethod
    def load(cls, names: Mapping[Stage, Sequence[str]]) -> Detectors:
        """Compile what the settings name.

        Raises:
            MissingExtraError: a detector is not installed.
        """
        packs: dict[str, DetectorPack] = {}
        for wanted in names.values():
            for name in wanted:
                if name not in packs:
                    packs[name] = load_plugin("detector", name)
        compiled: dict[Stage, tuple[Scanner, ...]] = {}
        longest: dict[Stage, int | None] = {}
        for stage, wanted in names.items():
            by_pack: dict[int, tuple[DetectorPack, set[str]]] = {}
            for name in wanted:
                by_pack.setdefault(id(packs[name]), (packs[name], set()))[1].add(name)
            compiled[stage] = tuple(pack.scanner(frozenset(types)) for pack, types in by_pack.values())
            bounds = [packs[name].max_spans.get(name) for name in wanted]
            known = [bound for bound in bounds if bound is not None]
            longest[stage] = max(known, default=0) if len(known) == len(bounds) else None
        return cls({stage: frozenset(wanted) for stage, wanted in names.items()}, compiled, longest)

    def ran(self, stage: Stage) -> frozenset[str]:
        """The types that are looked for at this stage."""
        return self.types.get(stage, frozenset())

    def max_span(self, stage: Stage) -> int | None:
        """The longest span at this stage in code points, 0 without detectors, None when there is no bound."""
        return self.longest.get(stage) if self.scanners.get(stage) else 0

    def find(self, stage: Stage, text: str, most: int = _ALL) -> list[Span]:
        """Every span in the text, and in what a reader of JSON would make of it, sorted by place.

        Args:
            stage: whose detectors look.
            text: where.
            most: how many are enough. A longer list says only that there are more: what else the text has
                was not looked for, so that the limit bounds the time, and not whoever wrote the text.
        """
        scanners = self.scanners.get(stage)
        if not scanners:
            return []
        found: set[Span] = set()
        for scan in scanners:
            found |= _spans(scan, text, most)
            if len(found) > most:
                return sorted(found, key=_place)
        read = unescape(text)
        if read is not None:
            found = {Span(span.type, *read.whole(span.start, span.end)) for span in found}
            for scan in scanners:
                behind = _spans(scan, read.text, most)
                if len(behind) > most:
                    return sorted(behind, key=_place)
                found |= {Span(span.type, *read.raw(span.start, span.end)) for span in behind}
        return sorted(found, key=_place)


def _spans(scan: Scanner | BoundedScanner, text: str, most: int) -> set[Span]:
    up_to = getattr(scan, "up_to", None)
    spans: Iterable[Span] = scan(text) if up_to is None else up_to(text, most)
    found: set[Span] = set()
    for span in spans:
        found.add(span)
        if len(found) > most:
            break
    return found


def _place(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.type
