"""The answer that a stream of the responses API ends with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .leaves import member

__all__ = ["whole_of"]

_ENDS: Final = ("response.completed", "response.failed", "response.incomplete")


def whole_of(events: Sequence[Any]) -> Any:
    """The answer that the last event holds; None where the stream broke off."""
    for event in reversed(events):
        kind = member(event, "type")
        if str(getattr(kind, "value", kind)) in _ENDS and member(event, "response") is not None:
            return member(event, "response")
    return None
