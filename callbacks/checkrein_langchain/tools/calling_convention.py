"""How LangChain calls a tool and takes its errors, done again for the tool inside a governed one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from inspect import signature
from typing import Any, Final, get_type_hints

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException

import checkrein
from checkrein_langchain.text.tool_outputs import as_content

__all__ = ["PASSING", "RedactedToolError", "Telling", "chain_of", "wanted", "without_deltas"]

_LONGEST_CHAIN: Final = 16

# LangGraph's errors are its control flow: an interrupt of a tool, a command to its parent.
PASSING: tuple[type[Exception], ...] = (checkrein.PolicyDenied,)
try:
    from langgraph.errors import GraphBubbleUp
except ImportError:  # LangGraph is optional
    pass
else:
    PASSING = (checkrein.PolicyDenied, GraphBubbleUp)


class RedactedToolError(ToolException):
    """What a tool raised, as far as policy lets it be told."""

    def __init__(self, content: Any) -> None:
        super().__init__(content if isinstance(content, str) else as_content(content))
        self.content = content


class Telling:
    """How a tool tells of its own errors, but for those that were redacted: they are told as they are."""

    def __init__(self, flag: Any) -> None:
        self.flag = flag

    def __call__(self, error: ToolException) -> Any:
        """What to tell of an error."""
        if isinstance(error, RedactedToolError):
            return error.content
        if callable(self.flag):
            return self.flag(error)
        if isinstance(self.flag, str):
            return self.flag
        return error.args[0] if error.args else "Tool execution error"


def wanted(method: Callable[..., Any], config: RunnableConfig, manager: Any) -> dict[str, Any]:
    """What LangChain would pass to a tool besides its arguments.

    Args:
        method: of the tool.
        config: of the call.
        manager: of the run.
    """
    managers, configs = _names(getattr(method, "__func__", method))
    return {**dict.fromkeys(managers, manager), **dict.fromkeys(configs, config)}


@lru_cache(maxsize=256)
def _names(function: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """By what names a function wants the manager of its run, and its config."""
    managers = ("run_manager",) if "run_manager" in signature(function).parameters else ()
    try:
        hints = get_type_hints(function)
    except Exception:  # noqa: BLE001 -- annotations of other people's code may name what is not there
        hints = {}
    return managers, tuple(
        name
        for name, kind in hints.items()
        if kind is RunnableConfig or RunnableConfig in getattr(kind, "__args__", ())
    )


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from or in: traces show all of them."""
    one: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if one is None:
            return
        yield one
        one = one.__cause__ or one.__context__


@contextmanager
def without_deltas() -> Iterator[None]:
    """Withhold what a tool streams of its output while it runs: nobody has judged it."""
    # Where LangGraph's runner is not loaded, nobody streams.
    runner = sys.modules.get("langgraph.pregel._tools")
    writer: ContextVar[Any] | None = getattr(runner, "_tool_call_writer", None)
    if writer is None:
        yield
        return
    token = writer.set(None)
    try:
        yield
    finally:
        writer.reset(token)
