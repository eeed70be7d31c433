"""Runs asynchronous code for a synchronous caller, wherever that is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

__all__ = ["outside_of_loops"]

T = TypeVar("T")


def outside_of_loops(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run to the end on a new event loop; in another thread where the caller is on a loop already.

    Args:
        function: makes the coroutine.
    """
    if not _on_a_loop():
        return _run(function)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(copy_context().run, _run, function).result()


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    # Not `asyncio.run`: it would cancel what LiteLLM leaves to be done after the call.
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(function())
    finally:
        loop.close()
        asyncio.set_event_loop(None)
