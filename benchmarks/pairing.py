"""Measures calls in turn, so that a slower minute slows all of them, and says how far their ratios spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["IDLE", "Measured", "measured"]

IDLE: Final = 0.01
"""Seconds before each call when calls are rare, as they are in production: then every cache is cold."""

_BLOCK: Final = 50
_WARM: Final = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians of each call, block by block, in microseconds."""

    blocks: Sequence[Sequence[float]]

    def us(self, call: int) -> float:
        """The median of a call."""
        return statistics.median(self.blocks[call])

    def ratio(self, call: int) -> str:
        """A call beside the first: the median of the blocks' ratios, and where eight of ten blocks lie."""
        ratios = sorted(one / bare for one, bare in zip(self.blocks[call], self.blocks[0], strict=True))
        edge = len(ratios) // 10
        return f"{statistics.median(ratios):.2f} ({ratios[edge]:.2f} to {ratios[-1 - edge]:.2f})"


def measured(calls: Sequence[Callable[[], Any]], rounds: int, *, idle: float = 0.0) -> Measured:
    """Measure.

    Args:
        calls: asked in turn.
        rounds: how often each is asked.
        idle: seconds before each call.
    """
    size = min(_BLOCK, max(1, rounds // 10))
    blocks: list[list[float]] = [[] for _ in calls]
    _block(calls, min(_WARM, rounds), 0.0)
    for _ in range(rounds // size):
        for found, times in zip(blocks, _block(calls, size, idle), strict=True):
            found.append(statistics.median(times) / 1000)
    return Measured(blocks)


def _block(calls: Sequence[Callable[[], Any]], size: int, idle: float) -> list[list[int]]:
    times: list[list[int]] = [[] for _ in calls]
    for _ in range(size):
        for call, taken in zip(calls, times, strict=True):
            if idle:
                time.sleep(idle)
            start = time.perf_counter_ns()
            call()
            taken.append(time.perf_counter_ns() - start)
    return times
