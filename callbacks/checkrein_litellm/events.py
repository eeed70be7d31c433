"""A stream of the responses API, read as one answer: its events tell the same text several times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from checkrein import Origin

from .leaves import Leaf, leaves, member
from .surfaces import Surfaces, answer_surfaces

__all__ = ["event_surfaces", "whole_of"]

_NOT_SAID: Final = frozenset({"content_index", "item_id", "output_index", "sequence_number", "type"})
_ENDS: Final = ("response.completed", "response.failed", "response.incomplete")


def whole_of(events: Sequence[Any]) -> Any:
    """The answer that the last event holds; None where the stream broke off."""
    for event in reversed(events):
        kind = member(event, "type")
        if str(getattr(kind, "value", kind)) in _ENDS and member(event, "response") is not None:
            return member(event, "response")
    return None


def event_surfaces(events: Sequence[Any], max_depth: int, repeated: Collection[str]) -> Surfaces:
    """Read a stream: the answer at its end, and whatever its events say besides.

    Args:
        events: all of them.
        max_depth: longest path that is read.
        repeated: texts of the request, which the answer's events repeat.

    Raises:
        RequestError: it is nested over the limit.
    """
    whole = whole_of(events)
    surfaces = Surfaces() if whole is None else answer_surfaces(whole, max_depth, repeated)
    known = [segment.text for segment in surfaces.segments]
    for number, parts in enumerate(_said(events, whole, max_depth)):
        text = "".join(part.text for part in parts)
        if text not in repeated and not any(text in one for one in known):
            first = parts[0]._replace(path=("events", number, *parts[0].path))
            surfaces.add([[first, *parts[1:]]], "assistant", Origin.ASSISTANT)
    return surfaces


def _said(events: Sequence[Any], whole: Any, max_depth: int) -> Collection[list[Leaf]]:
    """What the events say: the pieces of one text together."""
    said: dict[tuple[Any, ...], list[Leaf]] = {}
    for number, event in enumerate(events):
        response = member(event, "response")
        if isinstance(response, BaseModel | Mapping):
            if response is not whole:
                told = answer_surfaces(response, max_depth)
                for segment in told.segments:
                    said[number, segment.path] = [Leaf(segment.path, None, "response", segment.text)]
            continue
        place = tuple(str(member(event, key)) for key in ("type", "item_id", "output_index", "content_index"))
        for key in dict(event):
            for leaf in () if key in _NOT_SAID else leaves(event, key, (str(key),), max_depth):
                at = (*place, leaf.path) if key == "delta" else (number, leaf.path)
                said.setdefault(at, []).append(leaf)
    return said.values()
