"""Ends a provider's stream that nobody reads on: what it goes on to say would be paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

__all__ = ["stop"]

# Chunks that had come already, until there is something to wait for.
_MOST_READ_AWAY: Final = 1_000


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
