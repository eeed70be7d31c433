"""One core, two drivers: flows yield steps, `run` and `arun` are the only code that knows about await.

A flow is a generator. It yields a step wherever it would wait and is sent what the step came to, or has the
step's exception thrown in. (The shape of httpx's `auth_flow`.)
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, TypeVar

__all__ = ["Flow", "Step", "arun", "run"]

T = TypeVar("T")


class Step(Protocol):
    """Something that a flow waits for."""

    def perform(self) -> Any:
        """Do it, blocking the calling thread."""

    async def aperform(self) -> Any:
        """Do it without blocking the event loop."""


Flow = Generator[Step, Any, T]


def run(flow: Flow[T]) -> T:
    """Drive a flow to its end, blocking.

    Exceptions of a step are thrown into the flow; `BaseException`s that are no `Exception` pass by it,
    and the flow is closed.
    """
    try:
        step = next(flow)
        while True:
            try:
                result = step.perform()
            except Exception as error:  # noqa: BLE001 -- the flow decides
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()


async def arun(flow: Flow[T]) -> T:
    """Drive a flow to its end on the running event loop; a cancellation passes by the flow and closes it."""
    try:
        step = next(flow)
        while True:
            try:
                result = await step.aperform()
            except Exception as error:  # noqa: BLE001 -- the flow decides
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()
