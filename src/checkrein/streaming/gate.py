"""The gate: takes a stream in, delta by delta, and says what of it may leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from checkrein.decision import Decision
from checkrein.errors import PolicyDenied
from checkrein.flow import Flow, arun, run
from checkrein.ids import with_call_id
from checkrein.vocabulary import EMPTY, AccessRequest, Segment, Stage

from .asking import Asking, Backing
from .texts import NOTHING, Path, StreamTexts, Texts, Track
from .window import Move, Window

__all__ = ["GateMode", "StreamGate"]

GateMode = Literal["hold", "window", "open"]

_STAGES: Final = (Stage.POST_COMPLETION, Stage.TOOL_RESULT)


class StreamGate:
    """Holds a stream back as far as policy needs; `EnforcementPoint.stream` makes it.

    A path is one growing text. In a window, paths leave in the order in which they began: text of a later one
    waits until the host says by `end` that the one before it is complete, or for the end of the stream. A
    finding can stand across the two, as it can in the whole.

    It is for one consumer: a call while another is under way is an error. A stream that its caller abandons
    needs no call.

    Args:
        request: the question, without segments, at `post_completion` or `tool_result`.
        backing: the enforcement point behind it.
        mode: how text leaves; a `window` without a bound is `hold`.
        exception: the host's subclass of `PolicyDenied`.

    Raises:
        ValueError: the request is for another stage, or has segments already.
    """

    def __init__(
        self,
        request: AccessRequest,
        backing: Backing,
        *,
        mode: GateMode = "hold",
        exception: type[PolicyDenied] = PolicyDenied,
    ) -> None:
        if request.stage not in _STAGES:
            raise ValueError(f"`{request.stage}` is no stage of a stream; use one of {', '.join(_STAGES)}")
        if request.segments:
            raise ValueError("the request of a stream has no segments; feed them")
        self._exception = exception
        self._most_findings = backing.limits.findings
        self._texts = StreamTexts(backing.limits)
        self._asking = Asking(with_call_id(request), backing, self._texts)
        self._window: Window | None = None
        reach = backing.detectors.max_span(request.stage)
        if mode == "window":
            if reach is None:
                mode = "hold"
            elif reach:
                stage = request.stage
                self._window = Window(lambda text: backing.detectors.find(stage, text), reach)
        self._mode: GateMode = mode
        self._current = -1
        self._found = 0
        self._passing = self._unheeded = mode == "open"
        self._busy = False
        self._done = ""

    @property
    def mode(self) -> GateMode:
        """How text leaves: `window` in the settings is `hold` where a detector of the stage has no bound."""
        return self._mode

    @property
    def decision(self) -> Decision | None:
        """The last decision, as it was recorded."""
        return self._asking.decision

    def feed(self, segment: Segment) -> Texts:
        """Take a delta; blocking.

        Args:
            segment: `text` is what is new of the text at `path`; role and origin of the path's first count.

        Returns:
            What may leave now, by path; mostly nothing.

        Raises:
            PolicyDenied: the stream is denied; nothing leaves any more, and every further call raises it.
            RuntimeError: the stream is finished, closed or in another call.
            ValueError: the path was ended.
        """
        answer = self._take(segment)
        return run(self._go_on()) if answer is None else answer

    async def afeed(self, segment: Segment) -> Texts:
        """As `feed`, without blocking the event loop on a remote engine."""
        answer = self._take(segment)
        return await arun(self._go_on()) if answer is None else answer

    def end(self, path: Path) -> None:
        """Tell that the text at a path is complete: in a window, the next path's text can leave as well."""
        self._enter()
        self._texts.end(path)

    def finish(self, context: Mapping[str, Any] = EMPTY, segments: Sequence[Segment] = ()) -> Texts:
        """Ask a last time, about everything; blocking.

        Args:
            context: what is known now: `tokens`, `finish_reason` ...
            segments: texts that the host held back itself, such as arguments of tool calls.

        Returns:
            What is left, by path; of `segments` the whole new texts.

        Raises:
            PolicyDenied: the stream is denied.
            RuntimeError: the stream is finished, closed or in another call.
            ValueError: one of `segments` has the path of another, or of a text that was fed.
        """
        return run(self._end_of_stream(context, tuple(segments)))

    async def afinish(self, context: Mapping[str, Any] = EMPTY, segments: Sequence[Segment] = ()) -> Texts:
        """As `finish`, without blocking the event loop on a remote engine."""
        return await arun(self._end_of_stream(context, tuple(segments)))

    def close(self) -> None:
        """Drop what is held back; may be called again. A denied gate goes on raising its denial."""
        self._shut(self._done or "closed")

    def _enter(self) -> None:
        if self._done == "denied" and self._asking.decision is not None:
            self._asking.decision.raise_if_denied(self._exception)
        if self._done:
            raise RuntimeError(f"the stream is {self._done}; make a new gate for a new stream")
        if self._busy:
            raise RuntimeError("the gate is in another call; feed it from one consumer, one delta at a time")

    def _shut(self, why: str) -> None:
        self._done = why
        self._texts.clear()
        self._window = None

    def _take(self, segment: Segment) -> Texts | None:
        """Take the text in; None when there is more to do."""
        self._enter()
        text = segment.text
        if not isinstance(text, str):
            raise TypeError(f"a delta is a string, not `{type(text).__name__}`")
        if not text:
            return NOTHING
        if self._texts.over and self._unheeded:
            return {segment.path: text}
        track = self._texts.add(segment)
        if self._texts.over and not self._unheeded:
            return None
        if self._passing:
            track.left = track.size
            return {segment.path: text}
        if self._mode == "hold" or self._asking.replaced:
            return NOTHING
        if self._window is not None:
            self._fill(self._window, track, text)
        return None if self._window is None or self._window.due else NOTHING

    def _fill(self, window: Window, track: Track, text: str) -> None:
        """Let the window see the texts in their order, each to its end before the next."""
        tracks = self._texts.tracks
        if self._current >= 0 and track is tracks[self._current]:
            window.append(text)
        while self._current < 0 or (tracks[self._current].ended and self._current + 1 < len(tracks)):
            self._current += 1
            window.begin()
            window.append(tracks[self._current].text())

    def _go_on(self) -> Flow[Texts]:
        self._busy = True
        try:
            if self._texts.over:
                return (yield from self._unjudged())
            window = self._window
            if window is None:
                return (yield from self._let_go())
            try:
                move = window.scan()
            except Exception:  # noqa: BLE001 -- a broken detector denies, as it does when nothing is streamed
                return (yield from self._unjudged("a detector failed"))
            return (yield from self._move(window, move)) if move is not None else NOTHING
        finally:
            self._busy = False

    def _move(self, window: Window, move: Move) -> Flow[Texts]:
        asking = self._asking
        if move.grown & asking.redacted:
            kind = min(move.grown & asking.redacted)
            yield from self._ask(partial=True, trouble=f"a finding of type `{kind}` grew into what has left")
        self._found += move.passed
        if asking.decision is None or not move.types <= asking.known or self._found > self._most_findings:
            yield from self._ask(partial=True)
            asking.known |= move.types
            self._found = min(self._found, len(asking.decision.findings) if asking.decision else 0)
            if self._passing:
                return self._let_pass()
            if asking.replaced:
                return self._replacement()
        pieces = window.release(move, asking.redacted)
        if pieces is None:
            yield from self._ask(partial=True, trouble="a finding is still there after redaction")
            return NOTHING
        return self._texts.let_go(pieces)

    def _unjudged(self, trouble: str = "") -> Flow[Texts]:
        """Text that no engine can be asked about is denied; under monitor it passes."""
        yield from self._ask(partial=True, trouble=trouble)
        return self._let_pass() if self._passing else NOTHING

    def _let_go(self) -> Flow[Texts]:
        """Where nothing is looked for, nothing is held back: after one permit, text leaves as it comes."""
        yield from self._ask(partial=True)
        return self._replacement() if self._asking.replaced else self._let_pass()

    def _let_pass(self) -> Texts:
        """From now on text leaves as it comes; what was held back leaves first."""
        self._passing = True
        self._window = None
        return self._texts.let_pass()

    def _replacement(self) -> Texts:
        """What stands for everything leaves once; all else is swallowed."""
        self._window = None
        return self._texts.stand_in(self._asking.changes)

    def _end_of_stream(self, context: Mapping[str, Any], segments: tuple[Segment, ...]) -> Flow[Texts]:
        self._enter()
        self._busy = True
        try:
            yield from self._ask(partial=False, context=context, segments=segments)
        finally:
            self._busy = False
        changes = self._asking.changes
        rest = dict(self._texts.let_pass()) if self._passing else self._texts.rest(changes)
        for segment in segments:
            rest[segment.path] = changes.get(segment.path, segment.text)
        self._shut("finished")
        return rest

    def _ask(
        self,
        *,
        partial: bool,
        context: Mapping[str, Any] = EMPTY,
        segments: tuple[Segment, ...] = (),
        trouble: str = "",
    ) -> Flow[None]:
        """Ask about everything so far, and raise a denial."""
        decision = yield from self._asking.ask(
            partial=partial, passing=self._passing, context=context, segments=segments, trouble=trouble
        )
        if decision.denied:
            self._shut("denied")
            decision.raise_if_denied(self._exception)
        if not decision.document:
            # Refused before it was read, under monitor: what comes after it is spared as well.
            self._passing = self._unheeded = True
