"""All text of something, piece by piece, with the way back: what policy judges is what is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from checkrein.vocabulary import Segment

__all__ = ["Path", "Surface", "WriteError"]

Path = tuple[str | int, ...]


class WriteError(ValueError):
    """Changed text cannot be written back; the message names places, never text."""


@dataclass(slots=True)
class _Slot:
    segment: Segment
    write: Callable[[str], None] = field(repr=False)


@dataclass(slots=True)
class Surface:
    """All text of something, piece by piece, with the way back.

    Args:
        most: how many pieces policy would judge at all; one more is kept, so that it denies, and no further.
        slots: the pieces, in order.
        uninspected: what is no text, as policies see it: `kind`, and the `segment` that it stands at.
    """

    most: int
    slots: list[_Slot] = field(default_factory=list)
    uninspected: list[dict[str, Any]] = field(default_factory=list)
    _hooks: list[tuple[Path, Callable[[], None]]] = field(default_factory=list)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The pieces, as policies see them."""
        return tuple(slot.segment for slot in self.slots)

    @property
    def full(self) -> bool:
        """Whether there are more pieces than policy would judge: reading on would only cost."""
        return len(self.slots) > self.most

    def add(self, segment: Segment, write: Callable[[str], None]) -> None:
        """Add a piece."""
        if not self.full:
            self.slots.append(_Slot(segment, write))

    def hold_place(self, segment: Segment) -> None:
        """Add an empty piece for a message without text, so that policies see its turn."""
        self.add(segment, _nowhere)

    def skip(self, kind: str, since: int = 0) -> None:
        """Tell of something that is no text.

        Args:
            kind: `image`, `audio`, `video`, `file` ...
            since: how many pieces there were when its message began.
        """
        if self.full:
            return
        at = len(self.slots) - 1 if len(self.slots) > since else len(self.slots)
        self.uninspected.append({"kind": kind, "segment": at})

    def after(self, path: Path, hook: Callable[[], None]) -> None:
        """Run a hook after something below `path` was written: inner ones first."""
        self._hooks.append((path, hook))

    def write(self, texts: Mapping[Path, str]) -> None:
        """Write changed pieces.

        Raises:
            WriteError: there is no such piece, or it cannot be written.
        """
        slots = {slot.segment.path: slot for slot in self.slots}
        if not texts.keys() <= slots.keys():
            raise WriteError("a changed piece of text does not exist")
        for path, text in texts.items():
            slots[path].write(text)
        above = {path[:length] for path in texts for length in range(len(path) + 1)}
        for path, hook in reversed(self._hooks):
            if path in above:
                hook()

    def expect(self, before: Surface, texts: Mapping[Path, str]) -> None:
        """Compare with what should stand here after `texts` were written into `before`.

        Raises:
            WriteError: something else does: a piece was written in one place and stands in another, too.
        """
        wanted = [texts.get(slot.segment.path, slot.segment.text) for slot in before.slots]
        stands = [slot.segment.text for slot in self.slots]
        if [text for text in stands if text] != [text for text in wanted if text]:
            raise WriteError("what was written is not what stands there")


def _nowhere(_: str) -> None:
    raise WriteError("there is no text to change")
