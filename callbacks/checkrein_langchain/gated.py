"""Tells callbacks which run of a tool or a retriever is governed already, so that none is judged twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from checkrein.enforcement import EnforcementPoint

__all__ = ["gated", "is_gated", "ungated"]

_gated: ContextVar[tuple[EnforcementPoint, str] | None] = ContextVar(
    "checkrein_langchain_gated", default=None
)


@contextmanager
def gated(pep: EnforcementPoint, kind: str) -> Iterator[None]:
    """Mark the runs of one kind that start inside: this enforcement point governs them.

    Args:
        pep: decides about them.
        kind: `tool` or `retriever`.
    """
    token = _gated.set((pep, kind))
    try:
        yield
    finally:
        _gated.reset(token)


@contextmanager
def ungated() -> Iterator[None]:
    """Mark nothing inside: what a tool calls is not governed because the tool is."""
    token = _gated.set(None)
    try:
        yield
    finally:
        _gated.reset(token)


def is_gated(pep: EnforcementPoint, kind: str) -> bool:
    """Whether this enforcement point governs the run that a callback is told of."""
    governed = _gated.get()
    return governed is not None and governed[0] is pep and governed[1] == kind
