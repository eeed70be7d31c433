"""Holds the events of a stream back: all of them to the end, or as far as the gate lets its text leave."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from checkrein import Decision, Origin, Segment
from checkrein.flow import Flow
from checkrein.settings import Limits
from checkrein.streaming import StreamGate

from . import facts
from .leaves import Leaf, Path
from .steps import Feed, Finish
from .streaming_held import HeldTexts
from .streaming_shape import Event, Shape, put
from .surfaces import UnwritableError

__all__ = ["EventHolder", "StreamHost"]

# A stream's events are small and each is an object: so many are held in memory, whatever their text.
_MAX_EVENTS: Final = 200_000
# An answer may tell its text again, and its frame in strings: that much of it is held in memory.
_MOST_REPEATED: Final = 8


class StreamHost(Protocol):
    """The call that a stream belongs to."""

    @property
    def let_pass(self) -> bool:
        """Whether it passes unjudged from here on: the settings only monitor."""

    @property
    def limits(self) -> Limits:
        """What never reaches an engine."""

    def gate(self) -> StreamGate:
        """A new gate for its answer."""

    def stand(self) -> None:
        """Deny once more what was denied before.

        Raises:
            CallDenied: the call was denied.
        """

    def refuse(self, code: str, message: str) -> None:
        """Deny what no engine can be asked.

        Raises:
            CallDenied: unless the settings only monitor.
        """

    def write(self, decision: Decision, change: Callable[[], None]) -> None:
        """Write a decision's changes.

        Raises:
            CallDenied: it could not be done.
        """

    def settle(self, tokens: Mapping[str, int]) -> None:
        """Tell what the answer really used."""


@dataclass(slots=True)
class _Text:
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


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where in the stream a text stands, or goes on after its end."""

    text: _Text
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class _Rest:
    """What an event says besides text that flows."""

    data: Any


class EventHolder:
    """Takes the pieces of a stream, and gives out what may leave.

    Events leave in the order in which they came. A text that flows leaves as far as the gate lets it, in
    pieces of its own; what frames it leaves with it; everything else waits for the end, and whatever comes
    after that as well.

    Args:
        host: the call.
        shape: how its endpoint's stream is read and written.
    """

    def __init__(self, host: StreamHost, shape: Shape) -> None:
        self._host = host
        self._shape = shape
        self._gate = host.gate()
        self._mode = self._gate.mode
        self._events: list[Event] = []
        self._texts: dict[Path, _Text] = {}
        self._queue: deque[_Mark | _Rest] = deque()
        self._stuck = False
        self._counted = 0
        self._flowed = self._beside = 0
        self._now: list[Any] = []
        self._left: list[Any] = []

    @property
    def decision(self) -> Decision | None:
        """The last decision about the stream."""
        return self._gate.decision

    def take(self, chunk: Any) -> Flow[Sequence[Any]]:
        """Take one more piece.

        Raises:
            CallDenied: nothing leaves any more.
            RequestError: it is no piece of such a stream.
        """
        self._host.stand()
        if self._host.let_pass:
            return [*self.rest(), chunk]
        self._now = [chunk]
        for event in self._shape.read(chunk):
            self._weigh(event)
            if self._host.let_pass:
                return [*self.leftover(), *self.rest()]
            if event.more or self._mode != "window":
                self._events.append(event)
            if self._mode == "window":
                yield from self._give(event, self._left)
        self._now = []
        return [chunk] if self._mode == "open" else self.leftover()

    def leftover(self) -> Sequence[Any]:
        """What of the last piece might leave before the rest of it was denied."""
        left, self._left = self._left, []
        return left

    def finish(self) -> Flow[Sequence[Any]]:
        """Give out what is left when the stream has ended.

        Raises:
            CallDenied: nothing of it leaves.
            RequestError: the stream broke off within an event.
        """
        self._host.stand()
        if self._host.let_pass:
            return self.rest()
        self._shape.close()
        if not self._counted:
            return []
        if self._mode != "window":
            self._gate = self._host.gate()  # anew: another model may have gone on
            for event in self._events:
                yield from self._give(event, [])
        held = self._held()
        resumed = [_segment(_resumed(one), one.took() + "".join(one.resumed)) for one in self._resumed()]
        context = self._context(held, len(self._texts) + len(resumed))
        texts = dict((yield Finish(self._gate, context, [*resumed, *held.segments])))
        decision = self._gate.decision
        if self._mode == "open" or decision is None:
            return []
        if self._mode == "hold" and not decision.changes.texts:
            return [self._shape.written(event.data) for event in self._events]
        self._host.write(decision, lambda: self._write(held, texts))
        return self._remaining(texts)

    def rest(self) -> Sequence[Any]:
        """Give up what is held: the settings only monitor, and it could not be judged."""
        left: list[Any] = []
        if self._mode == "hold":
            left = [self._shape.written(event.data) for event in self._events]
        elif self._mode == "window":
            left = self._remaining({one.path: _unsaid(one) for one in self._texts.values()})
        left += self._now
        self._events, self._now = [], []
        self._queue.clear()
        return left

    def _weigh(self, event: Event) -> None:
        limits = self._host.limits
        self._counted += 1
        self._flowed += sum(_size(text) for _, text in event.steps if text)
        if event.more:
            self._beside += sum(_size(leaf.text) for _, leaf in self._shape.told(event.data, limits.depth))
        over = self._flowed > limits.text or self._beside > limits.text * _MOST_REPEATED
        if over or self._counted > _MAX_EVENTS:
            self._host.refuse("limit.text", "the stream is over the limit `limits.text`")

    def _give(self, event: Event, left: list[Any]) -> Flow[None]:
        """Put an event in its place, and let the gate see its text; adds what may leave."""
        rest = [_Rest(self._shape.rest(event))] if event.more else []
        if not event.after:
            self._queue.extend(rest)
        for path, text in event.steps:
            known = self._texts.get(path)
            if known is None:
                known = self._texts[path] = _Text(path, event)
                self._queue.append(_Mark(known))
            if text is None:
                self._end(known)
                continue
            known.said = event
            if known.ended:
                self._resume(known, text)
                continue
            known.raw.append(text)
            for free, piece in (yield Feed(self._gate, _segment(path, text))).items():
                if self._mode == "window":
                    left += self._let_go(self._texts[free], piece)
        if event.after:
            self._queue.extend(rest)

    def _end(self, known: _Text) -> None:
        # Where everything is held, nothing waits for it; and a text that goes on after all stays whole.
        if self._mode == "window":
            known.ended = True
            self._gate.end(known.path)

    def _resume(self, known: _Text, text: str) -> None:
        """Hold what comes after the end of a text: the gate was told that it is complete."""
        if not known.resumed:
            self._queue.append(_Mark(known, resumed=True))
        known.resumed.append(text)

    def _let_go(self, text: _Text, piece: str) -> list[Any]:
        left = [] if text.passed else self._before(text)
        if self._stuck:
            text.waiting.append(piece)
            return left
        text.gone.append(piece)
        return [*left, self._shape.written(self._shape.saying(text.said, text.path, piece))]

    def _before(self, text: _Text) -> list[Any]:
        """What stands before a text, as far as it may leave."""
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
            else:
                left.append(self._shape.written(one.data))
        return left

    def _may_leave(self, rest: Any) -> bool:
        """Whether it says nothing but what has left already; such a text is told again as it left."""
        if not self._shape.silent(rest):
            return False
        again: list[Leaf] = []
        for _, leaf in self._shape.told(rest, self._host.limits.depth):
            if leaf.kind or leaf.content or (leaf.is_text and leaf.container is None):
                return False
            if leaf.content is None and leaf.is_text:
                again.append(leaf)
        left = {one.took(): one for one in self._texts.values() if one.ended and one.passed} if again else {}
        if any(leaf.text not in left for leaf in again):
            return False
        for leaf in again:
            put(leaf.container, leaf.key, left[leaf.text].left())
        return True

    def _held(self) -> HeldTexts:
        flowed: dict[str, list[Path]] = {}
        for one in self._texts.values():
            flowed.setdefault(one.took(), []).append(one.path)
        rests = [one.data for one in self._queue if isinstance(one, _Rest)]
        return HeldTexts(self._shape, rests, flowed, self._host.limits.depth)

    def _context(self, held: HeldTexts, before: int) -> dict[str, Any]:
        answers = self._shape.outcome([event.data for event in self._events]) if self._events else []
        tokens, finish = facts.outcome_of(answers)
        if tokens:
            self._host.settle(tokens)
        uninspected = held.uninspected(before)
        return {
            "tokens": tokens,
            **({"finish_reason": finish} if finish else {}),
            **({"uninspected": uninspected} if uninspected else {}),
        }

    def _resumed(self) -> list[_Text]:
        return [one for one in self._texts.values() if one.resumed]

    def _write(self, held: HeldTexts, texts: Mapping[Path, str]) -> None:
        for one in self._resumed():
            if not texts[_resumed(one)].startswith(one.left() + texts.get(one.path, "")):
                raise UnwritableError("text has left that would have had to be changed")
        became = {one.path: one.left() + texts.get(one.path, "") for one in self._texts.values()}
        held.write(texts, became)

    def _remaining(self, texts: Mapping[Path, str]) -> list[Any]:
        """Everything that has not left, in its order."""
        left: list[Any] = []
        for one in self._queue:
            if isinstance(one, _Rest):
                left.append(self._shape.written(one.data))
                continue
            text = one.text
            said = "".join(text.waiting) + texts.get(text.path, "")
            if one.resumed:
                said = texts.get(_resumed(text), "")[len(text.left() + texts.get(text.path, "")) :]
            if said:
                left.append(self._shape.written(self._shape.saying(text.said, text.path, said)))
        return left


def _segment(path: Path, text: str) -> Segment:
    return Segment(path=path, role="assistant", origin=Origin.ASSISTANT, text=text)


def _resumed(text: _Text) -> Path:
    return ("resumed", *text.path)


def _unsaid(text: _Text) -> str:
    """What of a text has neither left nor waits, if it left as it came."""
    raw, gone = text.took(), text.left()
    return raw[len(gone) :] + "".join(text.resumed) if raw.startswith(gone) else ""


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
