"""How the pieces of a streamed answer are held back: all of them to the end, or as far as policy needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from pydantic import BaseModel

from checkrein import Origin, Segment
from checkrein.flow import Flow
from checkrein.streaming import StreamGate

from .denial import CallDenied
from .events import event_surfaces, whole_of
from .leaves import Path, member
from .passage import Passage
from .steps import Feed, Finish
from .surfaces import stream_surfaces, text_size
from .writing import write_answer

__all__ = ["Holder", "holder_of"]

_TEXT: Final = frozenset({"redact", "replace"})
# A stream's pieces are small and each is an object: so many are held in memory, whatever their text.
_MAX_CHUNKS: Final = 200_000
# Where the text of a choice flows, by operation.
_FLOWS: Final[Mapping[str, tuple[str, ...]]] = {"chat": ("delta", "content"), "text_completion": ("text",)}


class Holder(Protocol):
    """Takes pieces, and gives out what may leave."""

    def take(self, chunk: Any) -> Flow[Sequence[Any]]:
        """Take one more piece.

        Raises:
            CallDenied: nothing leaves any more.
        """

    def finish(self) -> Flow[Sequence[Any]]:
        """Give out what is left when the stream has ended.

        Raises:
            CallDenied: nothing of it leaves.
        """

    def rest(self) -> Sequence[Any]:
        """Give up what is held: the settings only monitor, and it could not be judged."""


def holder_of(passage: Passage) -> Holder:
    """What holds a call's stream back, as the settings say.

    A stream of the responses API tells its text several times, at last as a whole: it is held.
    """
    flows = _FLOWS.get(passage.endpoint.operation)
    gate = passage.pep.stream(passage.streamed(_TEXT), exception=CallDenied)
    if passage.let_pass or flows is None or gate.mode == "hold":
        return _Whole(passage)
    return _Gated(passage, gate, flows)


class _Scale:
    """Weighs what is held: more of it than the limits allow is denied at once."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._chunks = 0
        self._size = 0

    def weigh(self, chunk: Any) -> None:
        """Weigh one more piece.

        Raises:
            CallDenied: it is none, or one too many.
        """
        passage = self._passage
        if passage.let_pass:
            return
        if not isinstance(chunk, BaseModel | Mapping):
            passage.refuse(passage.model, "unsupported_answer", f"`{type(chunk).__name__}` is no chunk")
            return
        limits = passage.pep.settings.limits
        self._chunks += 1
        self._size += text_size(chunk, limits.depth)
        if self._size > limits.text or self._chunks > _MAX_CHUNKS:
            passage.refuse(passage.model, "limit.text", "the stream is over the limit `limits.text`")


class _Whole:
    """Nothing leaves before the verdict on everything."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._scale = _Scale(passage)
        self._held: list[Any] = []

    def take(self, chunk: Any) -> Flow[Sequence[Any]]:
        """Keep it."""
        self._held.append(chunk)
        self._scale.weigh(chunk)
        yield from ()
        return self.rest() if self._passage.let_pass else ()

    def finish(self) -> Flow[Sequence[Any]]:
        """Judge everything."""
        passage, chunks = self._passage, self._held
        passage.stand()
        if passage.let_pass or not chunks:
            return chunks
        depth = passage.pep.settings.limits.depth
        if passage.endpoint.operation == "responses":
            surfaces = event_surfaces(chunks, depth, passage.said)
            yield from passage.judge_answer(surfaces, [whole_of(chunks) or chunks[-1]], frozenset())
            return chunks
        decision = yield from passage.judge_answer(stream_surfaces(chunks, depth), chunks, _TEXT)
        if not decision.changes.texts:
            return chunks
        # LiteLLM keeps the chunks as well, to log and to cache the whole answer.
        changed = [chunk.model_copy(deep=True) for chunk in chunks]
        surfaces = stream_surfaces(changed, depth)
        passage.write(decision, lambda: write_answer(changed, decision.changes, surfaces))
        return changed

    def rest(self) -> Sequence[Any]:
        """Everything."""
        held, self._held = self._held, []
        return held


class _Gated:
    """Text leaves as far as the gate lets it; what is no text that flows waits for the end."""

    def __init__(self, passage: Passage, gate: StreamGate, flows: tuple[str, ...]) -> None:
        self._passage = passage
        self._gate = gate
        self._flows = flows
        self._open = gate.mode == "open"
        self._scale = _Scale(passage)
        self._held: list[Any] = []
        self._ends: list[Any] = []
        self._now: Any = None
        self._last: Any = None

    def take(self, chunk: Any) -> Flow[Sequence[Any]]:
        """Give its text to the gate."""
        passage = self._passage
        passage.stand()
        self._now = chunk
        # LiteLLM keeps the chunk as well.
        own = chunk.model_copy(deep=True) if isinstance(chunk, BaseModel) else chunk
        texts = self._taken_out(own)
        self._scale.weigh(own)
        if passage.let_pass:
            return [chunk]
        left: list[Any] = []
        for index, text in texts:
            path: Path = ("choices", index, *self._flows)
            segment = Segment(path=path, role="assistant", origin=Origin.ASSISTANT, text=text)
            for free, piece in (yield Feed(self._gate, segment)).items():
                left.append(self._chunk(chunk, free[1], piece))
            if self._finishes(chunk, index):
                self._gate.end(path)
        ends = any(member(choice, "finish_reason") for choice in member(chunk, "choices") or ())
        if stream_surfaces([own], passage.pep.settings.limits.depth).segments:
            self._held.append(own)
        elif ends or not texts:
            self._ends.append(own)
        self._last, self._now = chunk, None
        return [chunk] if self._open else left

    def finish(self) -> Flow[Sequence[Any]]:
        """Let the gate judge everything."""
        passage = self._passage
        passage.stand()
        chunks = [*self._held, *self._ends]
        if passage.let_pass or self._last is None:
            return []
        surfaces = stream_surfaces(self._held, passage.pep.settings.limits.depth)
        context = passage.outcome(chunks)
        if context["tokens"]:
            passage.pep.settle(passage.call_id, max(passage.attempt, 1), context["tokens"])
        rest = dict((yield Finish(self._gate, context, surfaces.segments)))
        if self._gate.decision is not None:
            passage.check_store(self._gate.decision)
        if self._open:
            return []
        told = {segment.path: segment.text for segment in surfaces.segments}
        changed = {path: rest.pop(path) for path in told if rest.get(path, told[path]) != told[path]}
        decision = self._gate.decision
        if changed and decision is not None:
            passage.write(decision, lambda: surfaces.write(changed))
        left = [self._chunk(self._last, path[1], text) for path, text in rest.items() if path not in told]
        return [*left, *chunks]

    def rest(self) -> Sequence[Any]:
        """What is no text that flows, and the piece that could not be judged."""
        held = [*self._held, *self._ends, *([] if self._now is None else [self._now])]
        self._held, self._ends, self._now = [], [], None
        return held

    def _taken_out(self, chunk: Any) -> list[tuple[int, str]]:
        """The texts that flow, out of the chunk."""
        texts: list[tuple[int, str]] = []
        for place, choice in enumerate(member(chunk, "choices") or ()):
            holder = choice
            for key in self._flows[:-1]:
                holder = member(holder, key)
            text = member(holder, self._flows[-1]) if holder is not None else None
            if isinstance(text, str) and text:
                number = member(choice, "index")
                texts.append((number if type(number) is int else place, text))
                setattr(holder, self._flows[-1], "")
        return texts

    def _finishes(self, chunk: Any, index: int) -> bool:
        return any(
            member(choice, "index") == index and member(choice, "finish_reason")
            for choice in member(chunk, "choices") or ()
        )

    def _chunk(self, like: Any, index: Any, text: str) -> Any:
        """A chunk that says a text, and nothing else."""
        chunk = like.model_copy(deep=True)
        choice = chunk.choices[0]
        chunk.choices = [choice]
        choice.index = index
        choice.finish_reason = None
        return self._saying(chunk, choice, text)

    def _saying(self, chunk: Any, choice: Any, text: str) -> Any:
        if self._flows == ("text",):
            choice.text = text
        else:
            choice.delta = type(choice.delta)(role="assistant", content=text)
        if member(choice, "logprobs") is not None:
            choice.logprobs = None
        return chunk
