"""What a call waits for besides policy: an answer, and a cache; each blocking or awaited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from checkrein_langchain.inner_model.unheard import unheard

__all__ = ["Generate", "Store", "Unstored"]


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
    """Ask a model below its callbacks: nothing that it says, or a model in it, reaches anybody but the flow.

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
            with unheard():
                return model._generate_with_cache(self.messages, stop=self.stop, **self.options)  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 -- the flow decides
            return error

    async def aperform(self) -> ChatResult | Exception:
        """Ask and wait; an error is handed back."""
        model = self._model()
        try:
            with unheard():
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
