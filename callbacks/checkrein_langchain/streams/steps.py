"""What a streamed answer waits for: its next chunk, its gate, its end; each blocking or awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from checkrein.streaming import StreamGate
from checkrein.vocabulary import Segment
from checkrein_langchain.text.surface import Path

__all__ = ["Close", "Feed", "Finish", "Source"]


@dataclass(slots=True)
class Source:
    """Read the next chunk of a model's stream.

    Args:
        model: below its callbacks, as in `Generate`; LangChain's cache knows no streams.
        messages: what is sent.
        stop: what ends the answer.
        options: the call's options.
        around: entered for every chunk: what the model calls itself is called inside.
    """

    model: BaseChatModel
    messages: list[BaseMessage]
    stop: list[str] | None
    options: Mapping[str, Any]
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    _stream: Iterator[ChatGenerationChunk] | None = field(default=None, init=False)
    _astream: AsyncIterator[ChatGenerationChunk] | None = field(default=None, init=False)

    def perform(self) -> ChatGenerationChunk | Exception | None:
        """Read, blocking: a chunk, None at the end, or the error that ended it: see `Generate`."""
        try:
            if self._stream is None:
                if self.model.rate_limiter:
                    self.model.rate_limiter.acquire(blocking=True)
                self._stream = self.model._stream(self.messages, stop=self.stop, **self.options)  # noqa: SLF001
            with self.around():
                return next(self._stream, None)
        except Exception as error:  # noqa: BLE001 -- the flow decides
            return error

    async def aperform(self) -> ChatGenerationChunk | Exception | None:
        """Read and wait; as `perform`."""
        try:
            if self._astream is None:
                if self.model.rate_limiter:
                    await self.model.rate_limiter.aacquire(blocking=True)
                self._astream = self.model._astream(self.messages, stop=self.stop, **self.options)  # noqa: SLF001
            with self.around():
                return await anext(self._astream, None)
        except Exception as error:  # noqa: BLE001 -- the flow decides
            return error

    def close(self) -> None:
        """Close the stream, and the connection below it; may be called again."""
        close = getattr(self._stream, "close", None)
        if close is not None:
            # The answer is given up: an error of giving it up would hide why.
            with suppress(Exception):
                close()

    async def aclose(self) -> None:
        """As `close`."""
        close = getattr(self._astream, "aclose", None)
        if close is not None:
            with suppress(Exception):
                await close()


@dataclass(slots=True)
class Close:
    """Give a stream up."""

    source: Source

    def perform(self) -> None:
        """Close, blocking."""
        self.source.close()

    async def aperform(self) -> None:
        """Close and wait."""
        await self.source.aclose()


@dataclass(slots=True)
class Feed:
    """Hand a piece of a streamed answer to its gate."""

    gate: StreamGate
    segment: Segment

    def perform(self) -> Mapping[Path, str]:
        """Feed, blocking; what may leave now."""
        return self.gate.feed(self.segment)

    async def aperform(self) -> Mapping[Path, str]:
        """Feed without blocking the event loop on a remote engine; what may leave now."""
        return await self.gate.afeed(self.segment)


@dataclass(slots=True)
class Finish:
    """Ask about a streamed answer a last time."""

    gate: StreamGate
    context: Mapping[str, Any]
    segments: Sequence[Segment]

    def perform(self) -> Mapping[Path, str]:
        """Ask, blocking; what is left."""
        return self.gate.finish(self.context, self.segments)

    async def aperform(self) -> Mapping[Path, str]:
        """Ask without blocking the event loop on a remote engine; what is left."""
        return await self.gate.afinish(self.context, self.segments)
