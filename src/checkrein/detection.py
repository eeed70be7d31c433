"""What a detector is, and one pass over a text by the detectors of a stage (group `checkrein.detectors`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from .escapes import unescape
from .plugins import load_plugin
from .vocabulary import Stage

__all__ = ["DetectorPack", "Detectors", "Scanner", "Span"]


class Span(NamedTuple):
    """A hit: code-point offsets into the raw text, `end` exclusive."""

    type: str
    start: int
    end: int


Scanner = Callable[[str], Sequence[Span]]
"""Finds every span of its types in a text, in linear time, in any order; raises nothing for any `str`."""


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

    def find(self, stage: Stage, text: str) -> list[Span]:
        """Every span in the text, and in what a reader of JSON would make of it, sorted by place."""
        scanners = self.scanners.get(stage)
        if not scanners:
            return []
        found = {span for scan in scanners for span in scan(text)}
        read = unescape(text)
        if read is not None:
            found = {Span(span.type, *read.whole(span.start, span.end)) for span in found}
            found |= {
                Span(span.type, *read.raw(span.start, span.end))
                for scan in scanners
                for span in scan(read.text)
            }
        return sorted(found, key=_place)


def _place(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.type
