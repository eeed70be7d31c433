"""What came of a stream on each path, what of it has left, and as what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from checkrein.settings import Limits
from checkrein.vocabulary import Segment

__all__ = ["NOTHING", "Path", "StreamTexts", "Texts", "Track"]

Path = tuple[str | int, ...]
Texts = Mapping[Path, str]
NOTHING: Final[Texts] = MappingProxyType({})


@dataclass(slots=True, repr=False)
class Track:
    """One path: a growing text.

    Args:
        segment: its path, role and origin, without text.
        parts: what came, in pieces.
        size: how many code points came.
        left: how many of them have left.
        gone: what has left in their place, in pieces.
        ended: whether the text is complete.
    """

    segment: Segment
    parts: list[str] = field(default_factory=list)
    size: int = 0
    left: int = 0
    gone: list[str] = field(default_factory=list)
    ended: bool = False

    def text(self) -> str:
        """All that came."""
        if len(self.parts) > 1:
            self.parts = ["".join(self.parts)]
        return self.parts[0] if self.parts else ""

    def leave(self, size: int, text: str, texts: dict[Path, str]) -> None:
        """Let code points go, as a text that is added to the texts that leave."""
        self.left += size
        if text:
            self.gone.append(text)
            texts[self.segment.path] = text


class StreamTexts:
    """The paths of a stream, in the order in which they began.

    Args:
        limits: how much the document takes.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_path: dict[Path, Track] = {}
        self._bytes = 0
        self.tracks: list[Track] = []
        self.over = False
        """Whether the document would refuse what came: no more of it has to be kept than that takes."""

    def add(self, segment: Segment) -> Track:
        """Add a delta to its path.

        Raises:
            ValueError: the path was ended.
        """
        track = self._by_path.get(segment.path)
        if track is None:
            track = self._by_path[segment.path] = Track(replace(segment, text=""))
            self.tracks.append(track)
            self._bytes += len(segment.role)
        elif track.ended:
            raise ValueError("the path was ended; a text that goes on is not complete")
        text = segment.text
        try:
            self._bytes += len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError:
            self.over = True
        if self._bytes > self._limits.text or len(self.tracks) > self._limits.segments:
            self.over = True
        track.parts.append(text)
        track.size += len(text)
        return track

    def end(self, path: Path) -> None:
        """Note that the text at a path is complete."""
        if path in self._by_path:
            self._by_path[path].ended = True

    def clear(self) -> None:
        """Keep nothing."""
        self._by_path.clear()
        self.tracks.clear()

    @property
    def released(self) -> int:
        """How many code points have left."""
        return sum(track.left for track in self.tracks)

    def segments(self, held: Iterable[Segment] = ()) -> tuple[Segment, ...]:
        """Everything so far, as segments of a request.

        Args:
            held: texts that come besides.

        Raises:
            ValueError: a path is there twice.
        """
        held = tuple(held)
        paths = [*self._by_path, *(segment.path for segment in held)]
        if len(set(paths)) < len(paths):
            raise ValueError("a path of `segments` is there twice; each text has a path of its own")
        return (*(replace(track.segment, text=track.text()) for track in self.tracks), *held)

    def let_go(self, pieces: Sequence[tuple[int, int, str]]) -> Texts:
        """Let pieces leave: the index of the path, how many code points, and as what."""
        texts: dict[Path, str] = {}
        for index, size, text in pieces:
            self.tracks[index].leave(size, text, texts)
        return texts

    def let_pass(self) -> Texts:
        """Let everything leave that has not, unchanged."""
        texts: dict[Path, str] = {}
        for track in self.tracks:
            track.leave(track.size - track.left, track.text()[track.left :], texts)
        return texts

    def stand_in(self, changes: Texts) -> Texts:
        """Let other texts leave instead of everything: nothing of what came has left, or ever will."""
        texts: dict[Path, str] = {}
        for track in self.tracks:
            track.leave(0, changes.get(track.segment.path, ""), texts)
        return texts

    def agrees(self, changes: Texts, *, passing: bool) -> bool:
        """Whether what has left is a beginning of what each text has to become.

        Args:
            changes: the new texts, as a decision gives them.
            passing: text leaves as it comes.
        """
        for track in self.tracks:
            gone = track.text() if passing else "".join(track.gone)
            if not changes.get(track.segment.path, track.text()).startswith(gone):
                return False
        return True

    def rest(self, changes: Texts) -> dict[Path, str]:
        """What is left of each path, when its text becomes what a decision says."""
        rest: dict[Path, str] = {}
        for track in self.tracks:
            text = changes.get(track.segment.path, track.text())[sum(map(len, track.gone)) :]
            track.leave(track.size - track.left, text, rest)
        return rest
