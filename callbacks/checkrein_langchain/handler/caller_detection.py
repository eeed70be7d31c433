"""Tells for whom a call is made that carries its subject in a config, and asks nothing of anybody.

LangChain hands a callback no config, and keeps that of a call which no chain surrounds nowhere else than in
the frame of the call: it is looked at, as `stream_detection` does. The context counts where the frame is not
what we know, and where LangChain starts a call in a task of its own: an asynchronous text model with no chain
around.
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

# In asynchronous calls a handler runs in another thread: what was seen in the caller's goes with the context,
# and with what the handler is handed, too, so that it is never taken for that of another call.
_seen: ContextVar[tuple[Any, RunnableConfig]] = ContextVar(
    "checkrein_langchain_caller", default=(None, _NONE)
)


def note_caller(frame: FrameType) -> None:
    """Look at an asynchronous call, if one is starting in this frame or near around it."""
    one: FrameType | None = frame
    for _ in range(_NEAR):
        if one is None:
            return
        if one.f_code in _ASYNC_STARTS:
            _seen.set((one.f_locals["self"].metadata, _look(one) or _NONE))
            return
        one = one.f_back


def config_around(frame: FrameType, metadata: Any) -> RunnableConfig:
    """The config of the call that a handler is told of; empty where nothing tells.

    Args:
        frame: the handler's own.
        metadata: what the handler is handed as such.
    """
    found = _look(frame)
    if found is None:
        of, found = _seen.get()
        return found if of is metadata else _NONE
    return found


def _look(frame: FrameType) -> RunnableConfig | None:
    one: FrameType | None = frame
    for _ in range(_FAR):
        if one is None:
            break
        if one.f_globals.get("__name__") in _CALLED and "config" in one.f_code.co_varnames:
            told: Any = one.f_locals.get("config")
            if isinstance(told, list):
                # Text models are called for a whole batch at once: nothing says which of them this is.
                same = all(one.get("configurable") == told[0].get("configurable") for one in told)
                told = told[0] if told and same else _NONE
            if isinstance(told, Mapping):
                return cast("RunnableConfig", told)
        one = one.f_back
    return None
