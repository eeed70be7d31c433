"""One governed call whose answer is streamed: held whole, or given out as its gate lets it leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from langchain_core.outputs import ChatGenerationChunk

from checkrein.decision import Decision, Discharge
from checkrein.flow import Flow
from checkrein.streaming import StreamGate
from checkrein.vocabulary import Origin, Segment
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.inner_model.options import without_tracing
from checkrein_langchain.inner_model.unheard import unheard_piece
from checkrein_langchain.streams.buffer import Buffer
from checkrein_langchain.streams.flow import Give, StreamFlow
from checkrein_langchain.streams.parts import Parts
from checkrein_langchain.streams.steps import Feed, Finish, Source
from checkrein_langchain.text.answers import chunk_of, rewritten
from checkrein_langchain.text.surface import Path, Surface, WriteError

from .call import Call
from .replies import calls_tools

__all__ = ["StreamedCall"]

_NOTHING: Final = Surface(0)


class StreamedCall(Call):
    """A call whose answer may be streamed.

    `source` is the model's stream, once it is read, and `given` tells whether anything of it has left.
    """

    def __post_init__(self) -> None:
        Call.__post_init__(self)
        self.source: Source | None = None
        self.given = False

    def stream(self) -> StreamFlow:
        """As `answer`, streamed.

        Raises:
            PolicyDenied: the answer is denied, or a change cannot be made; nothing more leaves.
        """
        gate = self.pep.stream(self._outcome((), None, _NOTHING), exception=PolicyDenied)
        self.source = Source(self.model, self.messages, self.stop, without_tracing(self.sent), unheard_piece)
        try:
            if gate.mode == "hold":
                yield from self._hold(self.source)
            elif gate.mode == "open":
                yield from self._watch(self.source, gate)
            else:
                yield from self._pass(self.source, gate)
        finally:
            gate.close()

    def _hold(self, source: Source) -> StreamFlow:
        """Hold the whole, judge it, and give it out as it came, or as one changed chunk."""
        held = Buffer(self.pep.settings.limits.text)
        while (chunk := (yield from self._next(source))) is not None:
            self._keep(held, chunk)
        whole = self._added_up(held)
        if whole is None:
            return
        chunks = held.chunks
        if not held.overflown:
            judged, _, _ = yield from self._judge([whole], None)
            chunks = chunks if judged[0] is whole else [chunk_of(judged[0])]
        for chunk in chunks:
            self.given = True
            yield Give(chunk)

    def _watch(self, source: Source, gate: StreamGate) -> StreamFlow:
        """Give everything out at once, unchanged; judge it at the end, for the record."""
        held, parts = Buffer(self.pep.settings.limits.text), Parts()
        came = False
        while (chunk := (yield from self._next(source))) is not None:
            came = True
            if not held.overflown:
                texts, rest = parts.take(chunk)
                # LangChain changes a chunk that it was given, and so may whoever is given it then.
                if rest is not None:
                    self._keep(held, rest.model_copy(deep=True))
                for run, text in texts:
                    yield Feed(gate, _segment(run, text))
            self.given = True
            yield Give(chunk)
        if came and not held.overflown:
            yield from self._end(held, gate, parts)

    def _pass(self, source: Source, gate: StreamGate) -> StreamFlow:
        """Give text out as the gate lets it leave, and all else at the end."""
        held, parts = Buffer(self.pep.settings.limits.text), Parts()
        came, current = False, 0
        while (chunk := (yield from self._next(source))) is not None:
            came, even = True, not parts.uneven
            texts, rest = parts.take(chunk)
            if parts.uneven and even:
                self._refuse(self._outcome((), None, _NOTHING), "answer_unreadable")
            if rest is not None:
                self._keep(held, rest)
            for run, text in texts:
                if run != current:
                    gate.end(_path(current))
                    current = run
                left: Mapping[Path, str] = yield Feed(gate, _segment(run, text))
                for path, piece in left.items():
                    yield from self._give(parts.give(_run(path), piece))
        if came:
            yield from self._give((yield from self._last(held, gate, parts)))

    def _next(self, source: Source) -> Flow[ChatGenerationChunk | None]:
        chunk: ChatGenerationChunk | Exception | None = yield source
        if isinstance(chunk, Exception):
            raise self._shown(chunk)
        return chunk

    def _give(self, chunks: Sequence[ChatGenerationChunk]) -> StreamFlow:
        for chunk in chunks:
            self.given = True
            yield Give(chunk)

    def _keep(self, held: Buffer, chunk: ChatGenerationChunk) -> None:
        """Hold one more; too many are given up. Under monitor it goes on, recorded, without a limit."""
        failure: Exception
        try:
            over = held.add(chunk)
        except Exception as error:  # noqa: BLE001 -- chunks of a provider need not fit together
            failure = error
        else:
            self.heard = held.chunks
            if over:
                message = f"the answer is over the limit of `{held.limit}` bytes"
                question = self._outcome((), None, _NOTHING)
                self.pep.refuse(question, "limit.text", message).raise_if_denied(PolicyDenied)
                held.limit, held.overflown = None, True
            return
        raise self._shown(failure)

    def _added_up(self, held: Buffer) -> ChatGenerationChunk | None:
        failure: Exception
        try:
            return held.whole()
        except Exception as error:  # noqa: BLE001 -- the same
            failure = error
        raise self._shown(failure)

    def _end(
        self, held: Buffer, gate: StreamGate, parts: Parts
    ) -> Flow[tuple[ChatGenerationChunk | None, Surface, Mapping[Path, str]]]:
        """Judge the whole, what was held as well: that, its pieces, and what is left of all texts."""
        whole = self._added_up(held)
        generations = [whole] if whole is not None else []
        self._settle(generations, None)
        surface = self._readable(generations, None)
        if surface is None:
            self._refuse(self._outcome(generations, None, _NOTHING), "answer_unreadable")
            surface = _NOTHING
        context = dict(self._outcome(generations, None, surface).context)
        if surface.uninspected:
            # Places among all pieces: those that were fed stand before.
            context["uninspected"] = [
                {**one, "segment": one["segment"] + parts.runs} for one in surface.uninspected
            ]
        left: Mapping[Path, str] = yield Finish(gate, context, surface.segments)
        return whole, surface, left

    def _last(self, held: Buffer, gate: StreamGate, parts: Parts) -> Flow[list[ChatGenerationChunk]]:
        """What is left to give out, when it is judged."""
        whole, surface, left = yield from self._end(held, gate, parts)
        decision = gate.decision
        assert decision is not None  # noqa: S101 -- it was just made
        own = {segment.path for segment in surface.segments}
        failure: Exception
        try:
            changed = self._changed_rest(whole, surface, decision)
            return parts.finish(changed, {_run(path): left[path] for path in left.keys() - own})
        except Exception as error:  # noqa: BLE001 -- whatever it is, the permit does not hold
            failure = error
        raise PolicyDenied(self.pep.report_failure(decision, failure))

    def _changed_rest(
        self, whole: ChatGenerationChunk | None, surface: Surface, decision: Decision
    ) -> ChatGenerationChunk | None:
        texts = decision.changes.texts
        if whole is None or not texts:
            return whole
        replaced = any(
            one.obligation.type == "replace" and one.state is Discharge.DONE for one in decision.obligations
        )
        if replaced and (calls_tools(whole) or surface.uninspected):
            raise WriteError("a text would take the place of what is no text")
        own = {slot.segment.path for slot in surface.slots}
        changed, _ = rewritten([whole], None, surface, {path: texts[path] for path in texts.keys() & own})
        return chunk_of(changed[0])


def _segment(run: int, text: str) -> Segment:
    return Segment(path=_path(run), role="assistant", origin=Origin.ASSISTANT, text=text)


def _path(run: int) -> Path:
    return ("run", run)


def _run(path: Path) -> int:
    return int(path[1])
