"""What a policy sees of a request: read-only values without one Python attribute behind them.

A subject, a resource, the context and everything nested in them are `Thing`s: a name is looked up in data and
nowhere else, so `__class__` is a key like any other, and absent. Strings, numbers, booleans and lists are Polar's
own, handed over by value. The text of a call stays here as `Text`: it can be megabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

from checkrein.vocabulary import EMPTY

__all__ = [
    "ABSENT",
    "BASES",
    "CONTEXT",
    "Refusal",
    "Text",
    "Thing",
    "call_method",
    "construct",
    "context_of",
    "look_up",
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
_TYPES: Final = {tag: type_ for type_, tag in (*_SUBJECTS.items(), *_RESOURCES.items())}
_TEXTS: Final = frozenset({"prompt", "completion", "result"})
_WRITERS: Final = frozenset({"user", "tool", "retrieved"})
_TAGS: Final = {
    str: ("String",),
    bool: ("Boolean",),
    int: ("Integer",),
    float: ("Float",),
    list: ("List",),
    dict: ("Dictionary",),
}


class Refusal(Exception):  # noqa: N818 -- an answer to a policy that asks for what is not to be had
    """A policy asks for what it cannot have.

    Args:
        problem: what and why, without any value of the request; `{word}` in it is filled in.
        word: the name that it asked for: shown only if the policy itself holds it.

    Attributes:
        file: the policy file where it asks, if known.
        line: the line there.
    """

    def __init__(self, problem: str, word: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.word = word
        self.file: str | None = None
        self.line: int | None = None


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
        return sorted({finding["type"] for finding in self.rest.get("findings", ())})

    @cached_property
    def _found_current(self) -> list[str]:
        return sorted(
            {
                finding["type"]
                for finding in self.rest.get("findings", ())
                if finding["current"] and finding["origin"] in _WRITERS
            }
        )


def subject_of(entity: Mapping[str, Any]) -> Thing:
    """The subject of a document."""
    return Thing(entity["properties"], _SUBJECTS.get(entity["type"], "Subject"), entity)


def resource_of(entity: Mapping[str, Any]) -> Thing:
    """The resource of a document."""
    return Thing(entity["properties"], _RESOURCES.get(entity["type"], "Target"), entity)


def context_of(context: Mapping[str, Any]) -> Thing:
    """The context of a document."""
    return _ContextThing(context, CONTEXT)


def look_up(value: Any, name: str) -> Any:
    """`value.name` in a policy.

    Raises:
        Refusal: there is no such name. Polar would take a missing value for "does not hold", so that
            `not s.suspended = true` held for whoever has no such property, and so would every misspelling.
    """
    if isinstance(value, Thing):
        found = value.find(name)
        if found is not ABSENT:
            return found
        raise Refusal('`{word}` is absent here; write `.get("{word}")` where it may be', name)
    if name == "length" and isinstance(value, str | list):
        return len(value)
    if name == "length" and isinstance(value, Text):
        return len(value.value)
    raise Refusal(f"`{{word}}` is no name of {_kind(value)}", name)


def call_method(value: Any, name: str, arguments: Sequence[Any], named: Mapping[str, Any] | None) -> Any:
    """`value.name(...)` in a policy: linear in the size of the value, and without effect.

    Raises:
        Refusal: there is no such method, or it takes other arguments.
    """
    methods = _METHODS.get(type(value), _NONE) if not isinstance(value, Thing) else _THING_METHODS
    method = methods.get(name)
    if method is None:
        offered = f"has {', '.join(f'`{one}`' for one in sorted(methods))}" if methods else "has none"
        raise Refusal(f"`{{word}}` is no method here; {_kind(value)} {offered}", name)
    takes, function = method
    if named or len(arguments) not in takes or not all(isinstance(one, str) for one in arguments[:1]):
        raise Refusal("`{word}` is called with other arguments than it takes", name)
    return function(value, *arguments)


def _get(value: Thing | dict[str, Any], name: str, default: Any = None) -> Any:
    found = value.find(name) if isinstance(value, Thing) else value.get(name, ABSENT)
    return default if found is ABSENT else found


def _pairs(value: Thing | dict[str, Any]) -> list[list[Any]]:
    return [[name, _get(value, name)] for name in _names(value)]


def _names(value: Thing | dict[str, Any]) -> list[str]:
    return value.names() if isinstance(value, Thing) else sorted(value)


def _string(value: Any) -> str:
    if isinstance(value, Text):
        return value.value
    if isinstance(value, str):
        return value
    raise Refusal("a method of a string is given what is no string")


_Method = tuple[tuple[int, ...], Callable[..., Any]]
_NONE: Final[Mapping[str, _Method]] = {}
_THING_METHODS: Final[Mapping[str, _Method]] = {
    "get": ((1, 2), _get),
    "items": ((0,), _pairs),
    "keys": ((0,), _names),
}
_STRING_METHODS: Final[Mapping[str, _Method]] = {
    "contains": ((1,), lambda value, part: part in _string(value)),
    "endswith": ((1,), lambda value, part: _string(value).endswith(part)),
    "lower": ((0,), lambda value: type(value)(value.lower())),
    "startswith": ((1,), lambda value, part: _string(value).startswith(part)),
    "strip": ((0,), lambda value: type(value)(value.strip())),
    "upper": ((0,), lambda value: type(value)(value.upper())),
}
_TEXT_METHODS: Final[Mapping[str, _Method]] = {
    **_STRING_METHODS,
    "lower": ((0,), lambda text: Text(text.value.lower())),
    "strip": ((0,), lambda text: Text(text.value.strip())),
    "upper": ((0,), lambda text: Text(text.value.upper())),
}
_METHODS: Final[Mapping[type, Mapping[str, _Method]]] = {
    str: _STRING_METHODS,
    Text: _TEXT_METHODS,
    dict: _THING_METHODS,
}


def construct(tag: str, arguments: Sequence[Any], named: Mapping[str, Any] | None) -> Thing:
    """`new User("alice", {tier: "pro"})` in a policy, for its own tests.

    Raises:
        Refusal: the class cannot be made, or of other arguments.
    """
    if tag not in BASES or BASES[tag] == (tag,) and tag != CONTEXT and tag != "Target":
        raise Refusal("`{word}` is no class that a policy can make", tag)
    given = [plain(one) for one in arguments]
    properties = given.pop() if given and isinstance(given[-1], dict) else {}
    if tag == CONTEXT:
        strings: list[Any] = []
    elif tag in _TYPES:
        strings = [_TYPES[tag], *given] if tag != "Anonymous" or given else ["anonymous", "anonymous"]
    else:
        strings = given
    wanted = 0 if tag == CONTEXT else 2
    if named or (tag == CONTEXT and given) or len(strings) != wanted or not all(isinstance(one, str) for one in strings):
        raise Refusal(
            '`{word}` is not made so; write `new User("id", {{...}})`, `new Subject("type", "id", {{...}})` or '
            "`new Context({{...}})`",
            tag,
        )
    if tag == CONTEXT:
        # A policy's test may say what was found without laying out findings; a request cannot.
        stated = {name: properties[name] for name in ("found", "found_current") if name in properties}
        return _ContextThing(properties, CONTEXT, stated)
    return Thing(properties, tag, {"type": strings[0], "id": strings[1], "properties": properties})


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
    """Whether Polar's `=` holds between values of which one at least lives here: `true` is not `1`, as in Polar."""
    left, right = plain(left), plain(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(one, right[name]) for name, one in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _kind(value: Any) -> str:
    if isinstance(value, Thing):
        return "a thing with names"
    names = {str: "a string", Text: "a text", list: "a list", dict: "a dictionary", type(None): "nil"}
    return names.get(type(value), "a number or a boolean")
