"""The elements that the content of a stream adds up to, and the runs of text among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Element", "Run", "are_apart", "shape_of_thought"]

# Blocks that may be shown empty before their time. A tool's could be taken for a call.
_THOUGHTS: Final = ("reasoning", "thinking")


@dataclass(slots=True)
class Run:
    """Text that stands together: a reader sees it as one.

    Args:
        number: counts runs, from 0.
        size: how long it is so far, in code points.
        gone: how much of it was given its place.
        elements: where it stands.
        current: the element that what comes next belongs to.
    """

    number: int
    size: int = 0
    gone: int = 0
    elements: list[Element] = field(default_factory=list)
    current: int = 0

    def split(self, text: str) -> list[tuple[Element, str]]:
        """Where a piece of it belongs; where it was changed, that is only nearly known, and only there."""
        pieces: list[tuple[Element, str]] = []
        while text:
            element = self.elements[self.current]
            room = len(text)
            if self.current + 1 < len(self.elements):
                room = element.end - self.gone
                if room <= 0:
                    self.current += 1
                    continue
            pieces.append((element, text[:room]))
            self.gone += len(text[:room])
            text = text[room:]
        return pieces


@dataclass(slots=True)
class Element:
    """One element of the content that all chunks add up to.

    Args:
        shape: how it is shown without its text; a string's is "", and None is what cannot be shown early.
        early: whether its text may leave before the end.
        run: the run that it is text of, or None.
        id: the block's, if it has one.
        end: where its text ends in the run.
        shown: whether a reader has seen its place.
        kept: text that may leave and waits for the end.
    """

    shape: str | dict[str, Any] | None
    early: bool
    run: Run | None = None
    id: Any = None
    end: int = 0
    shown: bool = False
    kept: list[str] = field(default_factory=list)

    def grow(self, text: str) -> tuple[int, str]:
        """Add to its text: the number of the run, and what was added."""
        assert self.run is not None  # noqa: S101 -- only text grows
        self.run.size += len(text)
        self.end = self.run.size
        return self.run.number, text


def are_apart(one: Any, other: Any) -> bool:
    """Whether LangChain takes two blocks of one index apart, by their ids."""
    return bool(one and other and one != other)


def shape_of_thought(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """A block of reasoning without what is in it, or None for any other block."""
    kind = block.get("type")
    if kind not in _THOUGHTS:
        return None
    shape: dict[str, Any] = {"type": kind, "index": block["index"]}
    shape |= {key: "" for key in ("reasoning", "thinking") if isinstance(block.get(key), str)}
    if isinstance(block.get("summary"), list):
        shape["summary"] = []
    return shape
