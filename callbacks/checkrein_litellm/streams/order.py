"""The order of a stream: texts that flow, and what stands between them and waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from checkrein_litellm.text.leaves import Leaf, Path

from .shape import Event, Shape, put

__all__ = ["Order", "Text"]


@dataclass(slots=True, eq=False)
class Text:
    """A text that flows.

    Args:
        path: where it stands.
        said: the last event that said something of it.
        raw: what came, in pieces.
        gone: what has left in its place.
        waiting: what may leave, and waits for what stands before it.
        resumed: what came after its end.
        ended: whether it is complete.
        passed: whether everything before it has left, and later texts leave already.
    """

    path: Path
    said: Event
    raw: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    ended: bool = False
    passed: bool = False

    def took(self) -> str:
        """Everything that came before its end."""
        self.raw = ["".join(self.raw)]
        return self.raw[0]

    def left(self) -> str:
        """Everything that has left, or may leave."""
        return "".join(self.gone) + "".join(self.waiting)

    def unsaid(self) -> str:
        """What has neither left nor waits, if it left as it came."""
        raw, gone = self.took(), self.left()
        return raw[len(gone) :] + "".join(self.resumed) if raw.startswith(gone) else ""

    @property
    def again(self) -> Path:
        """The path of all of it, where it went on after its end."""
        return ("resumed", *self.path)


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where in the stream a text stands, or goes on after its end."""

    text: Text
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class _Rest:
    """What an event says besides text that flows."""

    data: Any


class Order:
    """What has come of a stream and not left, in its order.

    Args:
        shape: how the stream is read and written.
        max_depth: longest path that is read.

    Attributes:
        texts: those that flow, by path.
    """

    def __init__(self, shape: Shape, max_depth: int) -> None:
        self.texts: dict[Path, Text] = {}
        self._shape = shape
        self._max_depth = max_depth
        self._queue: deque[_Mark | _Rest] = deque()
        self._stuck = False
        self._told: dict[str, str | None] = {}

    @property
    def rests(self) -> list[Any]:
        """What is there besides text that flows."""
        return [one.data for one in self._queue if isinstance(one, _Rest)]

    @property
    def resumed(self) -> list[Text]:
        """The texts that went on after their end."""
        return [one for one in self.texts.values() if one.resumed]

    def add_rest(self, event: Event) -> None:
        """Add what an event says besides its text."""
        self._queue.append(_Rest(self._shape.rest(event)))

    def text_at(self, path: Path, event: Event) -> Text:
        """The text at a path; it stands where the first event told of it."""
        text = self.texts.get(path)
        if text is None:
            text = self.texts[path] = Text(path, event)
            self._queue.append(_Mark(text))
        return text

    def resume(self, text: Text, piece: str) -> None:
        """Hold what comes after the end of a text."""
        if not text.resumed:
            self._queue.append(_Mark(text, resumed=True))
        text.resumed.append(piece)

    def end(self, text: Text) -> None:
        """Note that a text is complete."""
        text.ended = True
        self._settle(text)

    def let_go(self, text: Text, piece: str) -> list[Any]:
        """Let a piece of a text leave, after whatever stands before it, if that may leave.

        Returns:
            The events that leave now.
        """
        left = [] if text.passed else self._before(text)
        if self._stuck:
            text.waiting.append(piece)
            return left
        text.gone.append(piece)
        return [*left, self._shape.written(self._shape.saying(text.said, text.path, piece))]

    def remaining(self, texts: Mapping[Path, str]) -> list[Any]:
        """Everything that has not left.

        Args:
            texts: what is left of each text, and all of those that went on after their end.
        """
        left: list[Any] = []
        for one in self._queue:
            if isinstance(one, _Rest):
                left.append(self._shape.written(one.data))
                continue
            text = one.text
            rest = texts.get(text.path, "")
            said = "".join(text.waiting) + rest
            if one.resumed:
                said = texts.get(text.again, "")[len(text.left() + rest) :]
            if said:
                left.append(self._shape.written(self._shape.saying(text.said, text.path, said)))
        return left

    def clear(self) -> None:
        """Keep nothing."""
        self._queue.clear()

    def _before(self, text: Text) -> list[Any]:
        """What stands before a text, as far as it may leave; the rest and all after it is stuck."""
        left: list[Any] = []
        while not self._stuck:
            one = self._queue[0]
            if isinstance(one, _Mark) and one.text is text:
                break
            self._stuck = one.resumed if isinstance(one, _Mark) else not self._may_leave(one.data)
            if self._stuck:
                break
            self._queue.popleft()
            if isinstance(one, _Mark):
                one.text.passed = True
                self._settle(one.text)
            else:
                left.append(self._shape.written(one.data))
        return left

    def _settle(self, text: Text) -> None:
        """Remember as what a text has left that will not change any more."""
        if text.ended and text.passed:
            raw, left = text.took(), text.left()
            self._told[raw] = left if self._told.get(raw, left) == left else None

    def _may_leave(self, rest: Any) -> bool:
        """Whether it says nothing but what has left already; such a text is told again as it left."""
        if not self._shape.silent(rest):
            return False
        again: list[tuple[Leaf, str]] = []
        for _, leaf in self._shape.told(rest, self._max_depth):
            if leaf.kind or leaf.content:
                return False
            if leaf.content is not None or not leaf.is_text:
                continue
            told = self._told.get(leaf.text)
            if told is None or leaf.container is None:
                return False
            again.append((leaf, told))
        for leaf, told in again:
            put(leaf.container, leaf.key, told)
        return True
