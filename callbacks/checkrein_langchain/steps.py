"""What a governed call waits for: a decision, an answer, a stream, a cache; each blocking or awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.streaming import StreamGate
from checkrein.vocabulary import AccessRequest, Segment

from .surfaces import Path

__all__ = ["Close", "Decide", "Feed", "Finish", "Generate", "Source", "Store", "Unstored"]


@dataclass(slots=True)
class Decide:
    """Ask the enforcement point."""

    pep: EnforcementPoint
    request: AccessRequest
    describe: Callable[[str], Mapping[str, Any]] | None = None

    def perform(self) -> Decision:
        """Ask, blocking."""
        return self.pep.decide(self.request, self.describe)

    async def aperform(self) -> Decision:
        """Ask without blocking the event loop on a remote engine."""
        return await self.pep.adecide(self.request, self.describe)


class Unstored(BaseCache):
    """A cache that is read at once and written later, when policy has judged what would be kept."""

    def __init__(self, cache: BaseCache) -> None:
        self.cache = cache
        self.pending: list[tuple[str, str, RETURN_VAL_TYPE]] = []

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Look up in the cache below."""
        return self.cache.lookup(prompt, llm_string)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Look up in the cache below."""
        return await self.cache.alookup(prompt, llm_string)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Remember what is to be written."""
        self.pending.append((prompt, llm_string, return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Remember what is to be written."""
        self.pending.append((prompt, llm_string, return_val))

    def clear(self, **kwargs: Any) -> None:
        """Clear the cache below."""
        self.cache.clear(**kwargs)


@dataclass(slots=True)
class Generate:
    """Ask a model below its callbacks: nothing that it says reaches anybody but the flow.

    The model's own cache, rate limiter and format of output apply; it is written to by `Store` alone.
    """

    model: BaseChatModel
    messages: list[BaseMessage]
    stop: list[str] | None
    options: Mapping[str, Any]
    no_store: bool = False
    unstored: Unstored | None = field(default=None, init=False)

    def perform(self) -> ChatResult | Exception:
        """Ask, blocking; an error is handed back: raised, it would stay reachable from what replaces it."""
        model = self._model()
        try:
            return model._generate_with_cache(self.messages, stop=self.stop, **self.options)  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 -- the flow decides
            return error

    async def aperform(self) -> ChatResult | Exception:
        """Ask and wait; an error is handed back."""
        model = self._model()
        try:
            return await model._agenerate_with_cache(self.messages, stop=self.stop, **self.options)  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 -- the flow decides
            return error

    def _model(self) -> BaseChatModel:
        if self.no_store:
            return self.model.model_copy(update={"cache": False})
        given = self.model.cache
        cache = given if isinstance(given, BaseCache) else get_llm_cache()
        if given is False or cache is None:
            return self.model
        self.unstored = Unstored(cache)
        return self.model.model_copy(update={"cache": self.unstored})


@dataclass(slots=True)
class Store:
    """Write to the cache what policy lets be kept."""

    unstored: Unstored

    def perform(self) -> None:
        """Write, blocking."""
        for entry in self.unstored.pending:
            self.unstored.cache.update(*entry)

    async def aperform(self) -> None:
        """Write and wait."""
        for entry in self.unstored.pending:
            await self.unstored.cache.aupdate(*entry)


@dataclass(slots=True)
class Source:
    """Read the next chunk of a model's stream.

    Args:
        model: below its callbacks, as in `Generate`; LangChain's cache knows no streams.
        messages: what is sent.
        stop: what ends the answer.
        options: the call's options.
    """

    model: BaseChatModel
    messages: list[BaseMessage]
    stop: list[str] | None
    options: Mapping[str, Any]
    _stream: Iterator[ChatGenerationChunk] | None = field(default=None, init=False)
    _astream: AsyncIterator[ChatGenerationChunk] | None = field(default=None, init=False)

    def perform(self) -> ChatGenerationChunk | Exception | None:
        """Read, blocking: a chunk, None at the end, or the error that ended it: see `Generate`."""
        try:
            if self._stream is None:
                if self.model.rate_limiter:
                    self.model.rate_limiter.acquire(blocking=True)
                self._stream = self.model._stream(self.messages, stop=self.stop, **self.options)  # noqa: SLF001
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
