"""Ends a provider's stream that nobody reads on: what it goes on to say would be paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

__all__ = ["close_beneath", "stop"]

# Chunks that had come already, until there is something to wait for.
_MOST_READ_AWAY: Final = 1_000
# What LiteLLM's wrappers call that which they read from.
_BENEATH: Final = (
    "completion_stream",
    "http_response",
    "response",
    "response_iterator",
    "stream_iterator",
    "streaming_response",
)
_MOST_BENEATH: Final = 16


async def stop(pieces: AsyncIterator[Any]) -> None:
    """Let the provider know that nobody reads on.

    LiteLLM closes its own wrappers alone, and most of them not what they read from; a read that is cancelled
    ends the connection, as it does when a client leaves.

    Args:
        pieces: LiteLLM's stream, not at its end.
    """
    reading = asyncio.ensure_future(_read_away(pieces))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    if not reading.cancelled():
        reading.exception()


async def _read_away(pieces: AsyncIterator[Any]) -> None:
    for _ in range(_MOST_READ_AWAY):
        await anext(pieces)


def close_beneath(stream: Any) -> None:
    """Close a synchronous stream and what it reads from, down to the connection.

    LiteLLM's wrappers close nothing. Left to the garbage collector, a response is closed in the middle of
    whatever is running: under the lock of the connections to the same provider, that is for ever.

    Args:
        stream: LiteLLM's stream, at its end or not.
    """
    waiting, seen = [stream], list[Any]()
    while waiting and len(seen) < _MOST_BENEATH:
        one = waiting.pop()
        if any(one is other for other in seen):
            continue
        seen.append(one)
        close = getattr(one, "close", None)
        if callable(close):
            with suppress(Exception):  # of what is closed already, or reading right now
                close()
        beneath = (getattr(one, name, None) for name in _BENEATH)
        waiting += [other for other in beneath if other is not None]
