"""Lets nobody hear of what a governed model, tool or retriever calls itself: it has not been judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from langchain_core.callbacks import BaseCallbackManager, CallbackManager
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import tracing_v2_callback_var

__all__ = ["Judging", "unheard", "unheard_piece", "without_streams"]

# Where LangGraph keeps the stream of the graph around, into which a graph inside would write as well.
_STREAM: Final = "__pregel_stream"


class Judging:
    """A callback handler that judges what it hears of: it goes on hearing of everything."""


@contextmanager
def unheard(quiet: Any = None, handlers: Sequence[Any] | None = None) -> Iterator[Any]:
    """Let only handlers that judge hear of what is called inside, trace nothing, and stream no subgraph.

    Args:
        quiet: the manager of a run that hears nothing yet; its handlers become those that judge.
        handlers: that would hear of it; by default those that the context hands down.

    Yields:
        The callbacks inside.
    """
    from langsmith import tracing_context  # noqa: PLC0415 -- its import costs as much as LangChain's own

    around: Any = var_child_runnable_config.get() or {}
    heard = _inherited(around.get("callbacks")) if handlers is None else handlers
    judging: list[Any] = [one for one in heard if isinstance(one, Judging)]
    if quiet is None:
        callbacks: Any = CallbackManager(handlers=judging, inheritable_handlers=[*judging])
    else:
        quiet.handlers.extend(judging)
        quiet.inheritable_handlers.extend(judging)
        callbacks = quiet.get_child()
    known = var_child_runnable_config.set(without_streams({**around, "callbacks": callbacks}))
    tracer = tracing_v2_callback_var.set(None)
    try:
        with tracing_context(enabled=False):
            yield callbacks
    finally:
        tracing_v2_callback_var.reset(tracer)
        var_child_runnable_config.reset(known)


def unheard_piece() -> AbstractContextManager[Any]:
    """As `unheard`, for each piece of a stream: it costs next to nothing where nobody would hear."""
    from langsmith.utils import tracing_is_enabled  # noqa: PLC0415 -- as above

    around: Any = var_child_runnable_config.get() or {}
    heard = _inherited(around.get("callbacks")) or _STREAM in (around.get("configurable") or ())
    traced = tracing_v2_callback_var.get() is not None or tracing_is_enabled()
    return unheard() if heard or traced else nullcontext()


def without_streams(config: Any) -> Any:
    """A config by which a graph inside writes into no stream of the graph around."""
    told = config.get("configurable") or {}
    if _STREAM not in told:
        return config
    return {**config, "configurable": {key: told[key] for key in told if key != _STREAM}}


def _inherited(callbacks: Any) -> Sequence[Any]:
    return callbacks.inheritable_handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or ()
