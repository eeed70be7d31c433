"""Holds the events of a stream back: all of them to the end, or as far as the gate lets its text leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from checkrein import Decision, Origin, Segment
from checkrein.flow import Flow
from checkrein.settings import Limits
from checkrein.streaming import StreamGate
from checkrein_litellm import facts
from checkrein_litellm.steps import Feed, Finish
from checkrein_litellm.text.leaves import Path
from checkrein_litellm.text.surfaces import UnwritableError

from .order import Order, Text
from .shape import Event, Shape
from .waiting import HeldTexts

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
        self._order = Order(shape, host.limits.depth)
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
        order = self._order
        resumed = [_segment(one.again, one.took() + "".join(one.resumed)) for one in order.resumed]
        context = self._context(held, len(order.texts) + len(resumed))
        texts = dict((yield Finish(self._gate, context, [*resumed, *held.segments])))
        decision = self._gate.decision
        if self._mode == "open" or decision is None:
            return []
        if self._mode == "hold" and not decision.changes.texts:
            if decision.changes:
                self._host.write(decision, lambda: None)
            return [self._shape.written(event.data) for event in self._events]
        self._host.write(decision, lambda: self._write(held, texts))
        return order.remaining(texts)

    def rest(self) -> Sequence[Any]:
        """Give up what is held: the settings only monitor, and it could not be judged."""
        left: list[Any] = []
        if self._mode == "hold":
            left = [self._shape.written(event.data) for event in self._events]
        elif self._mode == "window":
            left = self._order.remaining({one.path: one.unsaid() for one in self._order.texts.values()})
        left += self._now
        self._events, self._now = [], []
        self._order.clear()
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
        order = self._order
        if event.more and not event.after:
            order.add_rest(event)
        for path, piece in event.steps:
            text = order.text_at(path, event)
            if piece is None:
                self._end(text)
                continue
            text.said = event
            if text.ended:
                # The gate was told that it is complete.
                order.resume(text, piece)
            else:
                text.raw.append(piece)
                for free, given in (yield Feed(self._gate, _segment(path, piece))).items():
                    if self._mode == "window":
                        left += order.let_go(order.texts[free], given)
        if event.more and event.after:
            order.add_rest(event)

    def _end(self, text: Text) -> None:
        # Where everything is held, nothing waits for it; and a text that goes on after all stays whole.
        if self._mode == "window" and not text.ended:
            self._order.end(text)
            self._gate.end(text.path)

    def _held(self) -> HeldTexts:
        flowed: dict[str, list[Path]] = {}
        for one in self._order.texts.values():
            flowed.setdefault(one.took(), []).append(one.path)
        return HeldTexts(self._shape, self._order.rests, flowed, self._host.limits.depth)

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

    def _write(self, held: HeldTexts, texts: Mapping[Path, str]) -> None:
        order = self._order
        became = {one.path: one.left() + texts.get(one.path, "") for one in order.texts.values()}
        if any(not texts[one.again].startswith(became[one.path]) for one in order.resumed):
            raise UnwritableError("text has left that would have had to be changed")
        held.write(texts, became)


def _segment(path: Path, text: str) -> Segment:
    return Segment(path=path, role="assistant", origin=Origin.ASSISTANT, text=text)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
