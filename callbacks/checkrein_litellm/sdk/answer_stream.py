"""A streamed answer that is held back until policy has judged it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self

from checkrein.flow import Flow, arun, run
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.steps import ENDED, Next
from checkrein_litellm.streams.stopping import close_beneath, stop
from checkrein_litellm.withholding import shown

from .passage import Passage
from .stream_host import holder_of

__all__ = ["HeldStream"]

Reply = Callable[[CallDenied], Sequence[Any]]


class HeldStream:
    """The chunks of an answer, as policy lets them leave: iterate over it as over LiteLLM's own.

    It is for one consumer, in one mode: `for` or `async for`.

    Args:
        passage: the call.
        stream: LiteLLM's stream.
        reply: the chunks that tell of a denial, where nothing has left; none where it is to be raised.
    """

    def __init__(self, passage: Passage, stream: Any, reply: Reply | None = None) -> None:
        self._passage = passage
        self._inner = stream
        self._reply = reply
        self._holder = None if stream is None else holder_of(passage)
        self._pieces: Any = None
        self._ready: deque[Any] = deque()
        self._left = False
        self._ended = False
        self._failure: Exception | None = None

    @classmethod
    def of(cls, passage: Passage, chunks: Sequence[Any]) -> Self:
        """A stream that nobody judges: what a denied caller reads."""
        stream = cls(passage, None)
        stream._ready.extend(chunks)
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
            failure = run(self._go_on())
            if failure is not None:
                # Nobody pays for what nobody reads.
                close_beneath(self._inner)
            self._settle(failure)
        if self._ready:
            return self._ready.popleft()
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._pieces is None and not self._ended:
            self._pieces = aiter(self._inner)
        while not self._ready and not self._ended:
            failure = await arun(self._go_on())
            if failure is not None:
                if not self._ended:
                    await stop(self._pieces)
                with suppress(Exception):
                    await self._ashut()
            self._settle(failure)
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
        close_beneath(self._inner)

    async def aclose(self) -> None:
        """As `close`, of an asynchronous stream."""
        self._drop()
        await self._ashut()

    async def _ashut(self) -> None:
        close = getattr(self._inner, "aclose", None)
        if callable(close):
            await close()

    def _drop(self) -> None:
        self._ended = True
        self._ready.clear()
        self._holder = None

    def _settle(self, failure: Exception | None) -> None:
        if failure is None:
            self._left = self._left or bool(self._ready)
            return
        self._drop()
        replies: Sequence[Any] = ()
        if isinstance(failure, CallDenied):
            self._passage.denial = failure.decision
            replies = self._reply(failure) if self._reply is not None and not self._left else ()
        if not replies:
            raise failure
        self._ready.extend(replies)

    def _go_on(self) -> Flow[Exception | None]:
        """Take one piece, or what is left; an error is handed back, so that none hangs on to another."""
        if self._failure is not None:
            return self._failure
        try:
            chunk = yield Next(self._pieces)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it can quote the answer
            return shown(error) if self._passage.withholds else error
        self._ended = chunk is ENDED
        holder = self._holder
        if holder is None:
            self._ready.extend(() if self._ended else (chunk,))
            return None
        try:
            flow = holder.finish() if self._ended else holder.take(chunk)
            given = yield from self._passage.safely(flow, None)
            self._ready.extend(holder.rest() if given is None else given)
            if self._ended and holder.decision is not None:
                self._passage.check_store(holder.decision)
        except Exception as error:  # noqa: BLE001 -- a denial: nothing more of the stream leaves
            left = holder.leftover()
            if not left or self._ended:
                return error
            self._ready.extend(left)
            self._failure = error
        return None
