"""Tells for whom a call is made that carries its subject in a config, and asks nothing of anybody.

LangChain hands a callback no config, and keeps that of a call which no chain surrounds nowhere else than in
the frame of the call: it is looked at, as `streaming` does. Where it is not what we know, the context counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, cast

from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.runnables import RunnableConfig

__all__ = ["config_around", "note_caller"]

_ASYNC_STARTS: Final = frozenset(
    {
        AsyncCallbackManager.on_chat_model_start.__code__,
        AsyncCallbackManager.on_llm_start.__code__,
        AsyncCallbackManager.on_retriever_start.__code__,
        AsyncCallbackManager.on_tool_start.__code__,
    }
)
_CALLED: Final = frozenset(
    {
        "langchain_core.language_models.chat_models",
        "langchain_core.language_models.llms",
        "langchain_core.retrievers",
        "langchain_core.tools.base",
    }
)
_NEAR: Final = 4
_FAR: Final = 16
_NONE: Final[RunnableConfig] = {}

# In asynchronous calls a handler runs in another thread: what was seen in the caller's goes with the context.
_seen: ContextVar[RunnableConfig] = ContextVar("checkrein_langchain_caller", default=_NONE)


def note_caller(frame: FrameType) -> None:
    """Look at an asynchronous call, if one is starting in this frame or near around it."""
    one: FrameType | None = frame
    for _ in range(_NEAR):
        if one is None:
            break
        if one.f_code in _ASYNC_STARTS:
            _seen.set(_look(one) or _NONE)
            return
        one = one.f_back
    # Of another event, or of a call that is not what we know: what was seen of an earlier one is not its.
    _seen.set(_NONE)


def config_around(frame: FrameType) -> RunnableConfig:
    """The config of the call that a handler is told of; empty where nothing tells.

    Args:
        frame: the handler's own.
    """
    found = _look(frame)
    return _seen.get() if found is None else found


def _look(frame: FrameType) -> RunnableConfig | None:
    one: FrameType | None = frame
    for _ in range(_FAR):
        if one is None:
            break
        if one.f_globals.get("__name__") in _CALLED and "config" in one.f_code.co_varnames:
            told: Any = one.f_locals.get("config")
            if isinstance(told, Mapping):
                return cast("RunnableConfig", told)
        one = one.f_back
    return None
