"""Puts one handler into every call of a process, whatever callbacks the call is made with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock, local
from types import FrameType
from typing import Any, Final, Protocol, cast

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseLLM
from langchain_core.tracers.context import register_configure_hook

__all__ = ["Tripping", "install", "is_installed"]

_TEXT_CALLS: Final = frozenset({BaseLLM.agenerate.__code__, BaseLLM.generate.__code__})
# `get`, LangChain's two functions that configure callbacks, the call, and before Python 3.12 a comprehension.
_FARTHEST: Final = 4


class Tripping(Protocol):
    """A handler that can be in every call."""

    def refuse_cached(self, model: BaseLLM) -> None:
        """Refuse a call of a text model whose answer may come from a cache, of which no handler is told."""


class _Looked(local):
    """Tells the first of the two times that LangChain asks for a handler, further up in the same function."""

    frame = 0
    at = 0

    def is_first(self, frame: FrameType) -> bool:
        """Whether it is not asked for a second time in this frame."""
        again = self.frame == id(frame) and frame.f_lasti > self.at
        self.frame, self.at = id(frame), frame.f_lasti
        return not again


class _Everywhere:
    """Stands where LangChain looks for a `ContextVar`: no context is without it, and none can unset it."""

    def __init__(self) -> None:
        self.handler: Tripping | None = None
        self.registered = False
        self.lock = Lock()
        self.looked = _Looked()

    def get(self) -> Tripping | None:
        """The handler; LangChain asks for it whenever it configures the callbacks of a call."""
        handler = self.handler
        if handler is not None:
            around = sys._getframe(1)  # noqa: SLF001 -- see `_cached_text_model`
            model = _cached_text_model(around)
            if model is not None and self.looked.is_first(around):
                handler.refuse_cached(model)
        return handler


_everywhere: Final = _Everywhere()


def install(handler: Tripping) -> Callable[[], None]:
    """Put a handler into every call of this process.

    Args:
        handler: a `BaseCallbackHandler`.

    Returns:
        A function that takes it out again.

    Raises:
        RuntimeError: there is one already.
    """
    with _everywhere.lock:
        if _everywhere.handler is not None:
            raise RuntimeError(
                f"a `{type(_everywhere.handler).__name__}` is installed already; call what its `install` "
                "returned first"
            )
        _everywhere.handler = handler
        if not _everywhere.registered:
            register_configure_hook(cast("Any", _everywhere), inheritable=True)
            _everywhere.registered = True

    def uninstall() -> None:
        with _everywhere.lock:
            if _everywhere.handler is handler:
                _everywhere.handler = None

    return uninstall


def is_installed() -> bool:
    """Whether a handler is in every call of this process."""
    return _everywhere.handler is not None


def _cached_text_model(frame: FrameType | None) -> BaseLLM | None:
    """The text model that is being called, if LangChain would look its answer up before it tells anybody."""
    for _ in range(_FARTHEST):
        if frame is None:
            return None
        if frame.f_code in _TEXT_CALLS:
            model: BaseLLM = frame.f_locals["self"]
            if model.cache is False or (model.cache is None and get_llm_cache() is None):
                return None
            return model
        frame = frame.f_back
    return None
