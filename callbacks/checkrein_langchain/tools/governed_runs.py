"""Tells callbacks which run of a tool or a retriever is governed already, so that none is judged twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from checkrein.enforcement import EnforcementPoint

__all__ = ["governed", "is_governed", "ungoverned"]

_governed: ContextVar[tuple[EnforcementPoint, str] | None] = ContextVar(
    "checkrein_langchain_governed", default=None
)


@contextmanager
def governed(pep: EnforcementPoint, kind: str) -> Iterator[None]:
    """Mark the runs of one kind that start inside: this enforcement point governs them.

    Args:
        pep: decides about them.
        kind: `tool` or `retriever`.
    """
    token = _governed.set((pep, kind))
    try:
        yield
    finally:
        _governed.reset(token)


@contextmanager
def ungoverned() -> Iterator[None]:
    """Mark nothing inside: what a tool calls is not governed because the tool is."""
    token = _governed.set(None)
    try:
        yield
    finally:
        _governed.reset(token)


def is_governed(pep: EnforcementPoint, kind: str) -> bool:
    """Whether this enforcement point governs the run that a callback is told of."""
    marked = _governed.get()
    return marked is not None and marked[0] is pep and marked[1] == kind
