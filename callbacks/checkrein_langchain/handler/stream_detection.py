"""Tells whether a call that is about to start will stream, and whether a tool's output goes out as an event.

LangChain tells a callback neither that nor who else listens, and a callback that learns of a stream by its
first token has let others see that token. The frames of the call know: they are looked at, nothing in them is
changed, and where they are not what we know (another version, a model with a way of its own) the answer is
None: then the first token is what gives the stream away.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import FrameType, SimpleNamespace
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager

__all__ = ["note_start", "streams", "tells_events"]

_ASYNC_STARTS: Final = frozenset(
    {AsyncCallbackManager.on_chat_model_start.__code__, AsyncCallbackManager.on_llm_start.__code__}
)
_STARTS: Final = _ASYNC_STARTS | {
    CallbackManager.on_chat_model_start.__code__,
    CallbackManager.on_llm_start.__code__,
}
_ASYNC_TOOL_STARTS: Final = frozenset(
    {AsyncCallbackManager.on_retriever_start.__code__, AsyncCallbackManager.on_tool_start.__code__}
)
_TOOL_STARTS: Final = _ASYNC_TOOL_STARTS | {
    CallbackManager.on_retriever_start.__code__,
    CallbackManager.on_tool_start.__code__,
}
_EVENTS: Final = "langchain_core.tracers.event_stream"
_MODELS: Final = frozenset(
    {"langchain_core.language_models.chat_models", "langchain_core.language_models.llms"}
)
_STREAMS: Final = frozenset(
    {"BaseChatModel.astream", "BaseChatModel.stream", "BaseLLM.astream", "BaseLLM.stream"}
)
_CALLS: Final = frozenset({"BaseChatModel.agenerate", "BaseChatModel.generate"})
_TEXT_CALLS: Final = frozenset({"BaseLLM.agenerate", "BaseLLM.generate"})
_FARTHEST: Final = 16

# In asynchronous calls a handler runs in another thread: what was seen in the caller's goes with the context.
_seen: ContextVar[bool | None] = ContextVar("checkrein_langchain_streams", default=None)
_heard: ContextVar[bool] = ContextVar("checkrein_langchain_events", default=False)


def note_start(frame: FrameType) -> None:
    """Look at an asynchronous call, if one is starting in this frame or the one around it."""
    around = frame.f_back
    if frame.f_code in _ASYNC_STARTS or (around is not None and around.f_code in _ASYNC_STARTS):
        _seen.set(_look(frame))
    for one in (frame, around):
        if one is not None and one.f_code in _ASYNC_TOOL_STARTS:
            _heard.set(_as_events(one))


def streams(frame: FrameType) -> bool | None:
    """Whether the call streams that a handler is told of; None when nothing tells.

    Args:
        frame: the handler's own.
    """
    if any(one.f_code in _STARTS for one in _around(frame)):
        return _look(frame)
    return _seen.get()


def tells_events(frame: FrameType) -> bool:
    """Whether what a tool or a retriever gives back goes out as an event, before a handler can judge it.

    Args:
        frame: the handler's own.
    """
    starts = (one for one in _around(frame) if one.f_code in _TOOL_STARTS)
    start = next(starts, None)
    return _heard.get() if start is None else _as_events(start)


def _as_events(start: FrameType) -> bool:
    return any(type(one).__module__ == _EVENTS for one in start.f_locals["self"].handlers)


def _around(frame: FrameType) -> list[FrameType]:
    frames: list[FrameType] = []
    one: FrameType | None = frame
    while one is not None and len(frames) < _FARTHEST:
        frames.append(one)
        one = one.f_back
    return frames


def _look(frame: FrameType) -> bool | None:
    handlers: list[Any] = []
    for one in _around(frame):
        name = one.f_code.co_qualname
        if one.f_code in _STARTS:
            handlers = one.f_locals["self"].handlers
        elif one.f_globals.get("__name__") not in _MODELS:
            continue
        elif name in _STREAMS or "_stream_v3." in name:
            return True
        elif name in _CALLS:
            return _would_stream(one.f_locals, handlers, async_api=name.endswith(".agenerate"))
        elif name in _TEXT_CALLS:
            return bool(getattr(one.f_locals["self"], "streaming", False))
    return None


def _would_stream(call: Any, handlers: list[Any], *, async_api: bool) -> bool | None:
    """LangChain streams a plain call, too, where the model or somebody who listens asks for it."""
    model, options = call["self"], dict(call.get("kwargs") or {})
    listening: Any = SimpleNamespace(handlers=handlers)
    try:
        return bool(
            model._should_stream(async_api=async_api, run_manager=listening, **options)  # noqa: SLF001 -- asked as LangChain asks
            or model._should_use_protocol_streaming(async_api=async_api, run_manager=listening, **options)  # noqa: SLF001 -- the same
        )
    except Exception:  # noqa: BLE001 -- a model may raise anything; then the first token tells
        return None
