"""A streamed answer that is held back until policy has judged it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel

from checkrein.flow import Flow, arun, run

from .events import event_surfaces, whole_of
from .passage import Passage
from .steps import ENDED, Next
from .surfaces import stream_surfaces, text_size
from .withholding import shown
from .writing import write_answer

__all__ = ["HeldStream"]

_TEXT: Final = frozenset({"redact", "replace"})
# A stream's pieces are small and each is an object: so many are held in memory, whatever their text.
_MAX_CHUNKS: Final = 200_000


class HeldStream:
    """The chunks of an answer, once policy has permitted them: iterate over it as over LiteLLM's own.

    It is for one consumer, in one mode: `for` or `async for`.

    Args:
        passage: the call.
        stream: LiteLLM's stream.
        data: what it was asked for with.
    """

    def __init__(self, passage: Passage, stream: Any, data: Mapping[str, Any]) -> None:
        self._passage = passage
        self._inner = stream
        self._data = data
        self._pieces: Any = None
        self._ready: deque[Any] = deque()
        self._held: list[Any] = []
        self._size = 0
        self._ended = False

    @classmethod
    def of(cls, passage: Passage, chunk: Any) -> Self:
        """A stream of one chunk, which nobody judges: what a denied caller reads."""
        stream = cls(passage, None, {})
        stream._ready.append(chunk)
        stream._ended = True
        return stream

    @property
    def model(self) -> str:
        """The model that answers."""
        return self._passage.model.id

    @property
    def _hidden_params(self) -> dict[str, Any]:
        # Where applications look up what a call cost and which deployment answered.
        return dict(getattr(self._inner, "_hidden_params", None) or {})

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._pieces is None and not self._ended:
            self._pieces = iter(self._inner)
        while not self._ready and not self._ended:
            self._settle(run(self._go_on()))
        if self._ready:
            return self._ready.popleft()
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._pieces is None and not self._ended:
            self._pieces = aiter(self._inner)
        while not self._ready and not self._ended:
            self._settle(await arun(self._go_on()))
        if self._ready:
            return self._ready.popleft()
        raise StopAsyncIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """Drop what is held back, and stop reading."""
        self._drop()
        close = getattr(self._inner, "close", None)
        if callable(close):
            close()

    async def aclose(self) -> None:
        """As `close`, of an asynchronous stream."""
        self._drop()
        close = getattr(self._inner, "aclose", None)
        if callable(close):
            await close()

    def _drop(self) -> None:
        self._ended = True
        self._held.clear()
        self._ready.clear()

    def _settle(self, failure: Exception | None) -> None:
        if failure is not None:
            self._drop()
            raise failure

    def _go_on(self) -> Flow[Exception | None]:
        """Take one piece, or judge them all; an error is handed back, so that none hangs on to another."""
        try:
            chunk = yield Next(self._pieces)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it can quote the answer
            return shown(error) if self._passage.withholds else error
        try:
            if chunk is ENDED:
                self._ended = True
                chunks = yield from self._passage.safely(self._judged(), self._held)
                self._ready.extend(chunks)
                self._held = []
                return None
            self._held.append(chunk)
            self._weigh(chunk)
        except Exception as error:  # noqa: BLE001 -- a denial: nothing of the stream leaves
            return error
        if self._passage.let_pass:
            self._ready.extend(self._held)
            self._held.clear()
        return None

    def _weigh(self, chunk: Any) -> None:
        passage = self._passage
        if passage.let_pass:
            return
        if not isinstance(chunk, BaseModel | Mapping):
            passage.refuse(passage.model, "unsupported_answer", f"`{type(chunk).__name__}` is no chunk")
            return
        limits = passage.pep.settings.limits
        self._size += text_size(chunk, limits.depth)
        if self._size > limits.text or len(self._held) > _MAX_CHUNKS:
            passage.refuse(passage.model, "limit.text", "the stream is over the limit `limits.text`")

    def _judged(self) -> Flow[list[Any]]:
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
