"""Remembers a bounded number of things by whole numbers; the oldest go."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["BoundedMap"]

T = TypeVar("T")


class BoundedMap(Generic[T]):
    """A bounded map that threads share, and that a forked process can go on with.

    Each operation is one of `OrderedDict`'s own, which no thread sees half done: a lock could be held by
    another thread at the moment of a fork, and nobody would ever give it back.

    Args:
        most: how many things are remembered.
    """

    __slots__ = ("_things", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._things: OrderedDict[int, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._things)

    def keep(self, key: int, thing: T) -> None:
        """Remember something, and let the oldest go if it is one too many."""
        self._things[key] = thing
        while len(self._things) > self.most:
            self._things.popitem(last=False)

    def get(self, key: int) -> T | None:
        """What is remembered."""
        return self._things.get(key)

    def pop(self, key: int) -> T | None:
        """What is remembered; from now on it is not."""
        return self._things.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._things.clear()
