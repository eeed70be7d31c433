"""What the streams of all endpoints have in common: events, some of them text that flows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel

from checkrein_litellm.text.leaves import Leaf, Path, leaves, member
from checkrein_litellm.text.tokens import OF_AN_ANSWER, Places, drop, holders, strays

__all__ = ["Event", "Piece", "Shape", "Step", "dropped", "faithful", "number_of", "own", "put", "says"]

_DEPTH: Final = 32

Step = tuple[Path, str | None]
"""A path, and what is new of its text; None where it is complete."""

Piece = tuple[Hashable | None, Leaf]
"""A text, and what makes it the piece of a longer one: pieces with the same key belong together."""


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One event of a stream.

    Args:
        data: as it came.
        steps: its text that flows, in order.
        more: whether it says anything besides.
        after: whether that comes after the text: an end does.
    """

    data: Any
    steps: tuple[Step, ...] = ()
    more: bool = True
    after: bool = False


class Shape(Protocol):
    """How the stream of an endpoint is read and written; one for each stream."""

    def read(self, chunk: Any) -> Sequence[Event]:
        """The events of a chunk.

        Raises:
            RequestError: it is none of this endpoint's.
        """

    def close(self) -> None:
        """End the stream.

        Raises:
            RequestError: it broke off within an event.
        """

    def rest(self, event: Event) -> Any:
        """What an event says besides the text that flows: a copy of its own."""

    def silent(self, rest: Any) -> bool:
        """Whether it may leave before the end, as far as its kind goes: it frames a text, or repeats one."""

    def told(self, rest: Any, max_depth: int) -> Iterator[Piece]:
        """Every string in it."""

    def saying(self, event: Event, path: Path, text: str) -> Any:
        """An event that says a text, and nothing else.

        Args:
            event: the last that said something of it.
            path: which text.
            text: what is said.
        """

    def written(self, data: Any) -> Any:
        """An event as it leaves."""

    def outcome(self, events: Sequence[Any]) -> Sequence[Any]:
        """What tells the usage, and why the answer ended."""


def own(data: Any) -> Any:
    """A copy: LiteLLM keeps the chunk as well, to log and to cache it."""
    return data.model_copy(deep=True) if isinstance(data, BaseModel) else deepcopy(data)


def put(container: Any, key: Any, value: Any) -> None:
    """Set a member of a mapping, a list or a model."""
    if isinstance(container, BaseModel):
        setattr(container, key, value)
    else:
        container[key] = value


def number_of(holder: Any, key: str, place: int = 0) -> int:
    """The number that something gives itself, or its place."""
    number = member(holder, key)
    return number if type(number) is int else place


def says(found: Iterable[Leaf]) -> Iterator[Leaf]:
    """The strings that are text, or stand for something that is none."""
    return (leaf for leaf in found if leaf.kind or leaf.content or (leaf.content is None and leaf.is_text))


def dropped(value: Any, places: Places = OF_AN_ANSWER) -> None:
    """Empty every list of tokens in a value.

    Args:
        value: an event.
        places: where tokens stand in it.
    """
    for path, holder in list(holders(value, places)):
        drop(holder, path[-1])


def faithful(value: Any, places: Places = OF_AN_ANSWER) -> Any:
    """An event whose tokens say its text and no more: nobody would judge what else they say.

    Args:
        value: an event.
        places: where tokens stand in it.

    Raises:
        RequestError: it is nested deeper than any event.
    """
    if not any(strays(holder, path[-1], _said(holder, path[-1])) for path, holder in holders(value, places)):
        return value
    value = own(value)
    dropped(value, places)
    return value


def _said(holder: Any, tokens: Any) -> list[str]:
    """What is said beside tokens: text by text, and in one."""
    keys = [key for key in (holder if not isinstance(holder, BaseModel) else dict(holder)) if key != tokens]
    said = [leaf.text for key in keys for leaf in leaves(holder, key, (key,), _DEPTH)]
    return [*said, "".join(said)]
