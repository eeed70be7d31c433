"""What a policy sees of a request: read-only values without one Python attribute behind them.

A subject, a resource, the context and everything nested in them are `Thing`s: a name is looked up in data and
nowhere else, so `__class__` is a key like any other, and absent. Strings, numbers, booleans and lists are
Polar's own, handed over by value. The text of a call stays here as `Text`: it can be megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from checkrein.findings import found_types
from checkrein.vocabulary import EMPTY

__all__ = [
    "ABSENT",
    "BASES",
    "CONTEXT",
    "TYPES",
    "Text",
    "Thing",
    "context_of",
    "plain",
    "resource_of",
    "same",
    "subject_of",
    "tags_of",
]

ABSENT: Final = object()
CONTEXT: Final = "Context"

# Polar's own `Actor` and `Resource` are unions of what is declared: `Principal` and `Target` are declared so.
BASES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Principal": ("Principal",),
        "Subject": ("Subject", "Principal"),
        "User": ("User", "Subject", "Principal"),
        "Anonymous": ("Anonymous", "Subject", "Principal"),
        "Target": ("Target",),
        "Model": ("Model", "Target"),
        "Retriever": ("Retriever", "Target"),
        "Tool": ("Tool", "Target"),
        CONTEXT: (CONTEXT,),
        "Boolean": ("Boolean",),
        "Dictionary": ("Dictionary",),
        "Float": ("Float",),
        "Integer": ("Integer",),
        "List": ("List",),
        "String": ("String",),
    }
)
"""Every class that a policy can specialise on, with its bases, nearest first."""

_SUBJECTS: Final = {"user": "User", "anonymous": "Anonymous"}
_RESOURCES: Final = {"model": "Model", "retriever": "Retriever", "tool": "Tool"}
TYPES: Final[Mapping[str, str]] = {tag: type_ for type_, tag in (*_SUBJECTS.items(), *_RESOURCES.items())}
"""The entity type that a class stands for, where it stands for one."""

_TEXTS: Final = frozenset({"prompt", "completion", "result"})
_TAGS: Final = {
    str: ("String",),
    bool: ("Boolean",),
    int: ("Integer",),
    float: ("Float",),
    list: ("List",),
    dict: ("Dictionary",),
}


class Thing:
    """A value with names.

    Args:
        tag: its class in Polar.
        own: names that nothing of the request can shadow.
        rest: every other name.
    """

    __slots__ = ("own", "rest", "tag")

    def __init__(
        self, rest: Mapping[str, Any], tag: str = "Dictionary", own: Mapping[str, Any] = EMPTY
    ) -> None:
        self.tag = tag
        self.own = own
        self.rest = rest

    def find(self, name: str) -> Any:
        """The value of a name, or `ABSENT`."""
        value = self.own.get(name, ABSENT)
        return self.rest.get(name, ABSENT) if value is ABSENT else value

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted({*self.own, *self.rest})


class Text:
    """The text of a call; compared as a string, and searched by its methods."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value


class _ContextThing(Thing):
    """The context, with `found` and `found_current` beside what the request says."""

    __slots__ = ("__dict__",)

    def find(self, name: str) -> Any:
        if name in self.own:
            return self.own[name]
        if name == "found":
            return self._found
        if name == "found_current":
            return self._found_current
        value = self.rest.get(name, ABSENT)
        if name in _TEXTS and isinstance(value, dict) and isinstance(value.get("text"), str):
            return Thing(value, own={"text": Text(value["text"])})
        return value

    def names(self) -> list[str]:
        return sorted({"found", "found_current", *self.rest})

    @cached_property
    def _found(self) -> list[str]:
        return found_types(self.rest, current=False)

    @cached_property
    def _found_current(self) -> list[str]:
        return found_types(self.rest, current=True)


def subject_of(entity: Mapping[str, Any]) -> Thing:
    """The subject of a document."""
    return Thing(entity["properties"], _SUBJECTS.get(entity["type"], "Subject"), entity)


def resource_of(entity: Mapping[str, Any]) -> Thing:
    """The resource of a document."""
    return Thing(entity["properties"], _RESOURCES.get(entity["type"], "Target"), entity)


def context_of(context: Mapping[str, Any], stated: Mapping[str, Any] = EMPTY) -> Thing:
    """The context of a document.

    Args:
        context: what the document says.
        stated: values of `found` and `found_current`, instead of those that follow from the findings.
    """
    return _ContextThing(context, CONTEXT, stated)


def tags_of(value: Any) -> tuple[str, ...]:
    """The classes that a value is of, nearest first."""
    if isinstance(value, Thing):
        return BASES[value.tag]
    if isinstance(value, Text):
        return ("String",)
    return _TAGS.get(type(value), ())


def plain(value: Any) -> Any:
    """The JSON value behind what a policy hands out."""
    if isinstance(value, Thing):
        return {**value.rest, **{name: plain(one) for name, one in value.own.items()}}
    if isinstance(value, Text):
        return value.value
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


def same(left: Any, right: Any) -> bool:
    """Whether `=` holds between values of which one at least lives here; as in Polar, `true` is not `1`."""
    left, right = plain(left), plain(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(one, right[name]) for name, one in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
