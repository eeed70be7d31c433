"""Lets nobody hear of what a retriever calls but the handlers that judge it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import tracing_v2_callback_var

from checkrein_langchain.handler.handler import PolicyCallbackHandler

__all__ = ["unheard"]


@contextmanager
def unheard(quiet: Any, handlers: Sequence[Any]) -> Iterator[None]:
    """Let nobody hear of what the retriever calls but handlers that judge it."""
    from langsmith import tracing_context  # noqa: PLC0415 -- its import costs as much as LangChain's own

    for handler in handlers:
        if isinstance(handler, PolicyCallbackHandler):
            quiet.handlers.append(handler)
            quiet.inheritable_handlers.append(handler)
    config: Any = {**(var_child_runnable_config.get() or {}), "callbacks": quiet.get_child()}
    around, tracer = var_child_runnable_config.set(config), tracing_v2_callback_var.set(None)
    try:
        with tracing_context(enabled=False):
            yield
    finally:
        tracing_v2_callback_var.reset(tracer)
        var_child_runnable_config.reset(around)
