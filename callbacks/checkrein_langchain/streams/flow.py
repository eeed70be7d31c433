"""Drives a flow that gives chunks out on its way: blocking or awaited, and never past its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from langchain_core.outputs import ChatGenerationChunk

from checkrein.flow import Step

from .steps import Source

__all__ = ["Give", "StreamFlow", "arun_stream", "run_stream"]


@dataclass(slots=True)
class Give:
    """Let a chunk leave."""

    chunk: ChatGenerationChunk


StreamFlow = Generator[Step | Give, Any, None]
"""A flow that gives chunks out among its steps."""


def run_stream(flow: StreamFlow) -> Iterator[ChatGenerationChunk]:
    """Drive a flow to its end, blocking, and yield what it gives.

    However it ends, and whoever abandons it, the stream that it reads is closed.
    """
    source: Source | None = None
    try:
        step = next(flow)
        while True:
            if isinstance(step, Give):
                yield step.chunk
                step = next(flow)
                continue
            if isinstance(step, Source):
                source = step
            try:
                result = step.perform()
            except Exception as error:  # noqa: BLE001 -- the flow decides
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration:
        return
    finally:
        flow.close()
        if source is not None:
            source.close()


async def arun_stream(flow: StreamFlow) -> AsyncGenerator[ChatGenerationChunk, None]:
    """As `run_stream`; a cancellation passes by the flow and closes it."""
    source: Source | None = None
    try:
        step = next(flow)
        while True:
            if isinstance(step, Give):
                yield step.chunk
                step = next(flow)
                continue
            if isinstance(step, Source):
                source = step
            try:
                result = await step.aperform()
            except Exception as error:  # noqa: BLE001 -- the flow decides
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration:
        return
    finally:
        flow.close()
        if source is not None:
            await source.aclose()
