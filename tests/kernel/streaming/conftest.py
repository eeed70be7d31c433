"""Streams that are played through a gate, in both drivers."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(params=["sync", "async"])
def play(request):
    """`play(gate, deltas, **finish)`: what left at every step; without `finish=False`, the end too."""

    def through(gate, deltas, *, finish=True, **end):
        if request.param == "sync":
            left = [dict(gate.feed(one)) for one in deltas]
            return [*left, dict(gate.finish(**end))] if finish else left
        return asyncio.run(awaited(gate, deltas, finish, end))

    async def awaited(gate, deltas, finish, end):
        left = [dict(await gate.afeed(one)) for one in deltas]
        return [*left, dict(await gate.afinish(**end))] if finish else left

    return through
