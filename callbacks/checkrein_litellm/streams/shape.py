"""What the streams of all endpoints have in common: events, some of them text that flows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, MutableMapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel

from checkrein_litellm.text.leaves import Leaf, Path, member

__all__ = ["LOGPROBS", "Event", "Piece", "Shape", "Step", "dropped", "number_of", "own", "put", "says"]

LOGPROBS: Final = frozenset({"logprobs", "logprobsResult"})
"""Where an answer says its text once more, token by token."""

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


def dropped(value: Any) -> None:
    """Empty every list of tokens in a value."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, list):
            todo += one
        if not isinstance(one, BaseModel | MutableMapping):
            continue
        for key, child in list(one.items() if isinstance(one, MutableMapping) else one):
            if key in LOGPROBS and child:
                put(one, key, [] if isinstance(child, list) else None)
            else:
                todo.append(child)
