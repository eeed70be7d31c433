"""What a policy can do with a value: look up a name, call one of a few methods, make one for its own tests.

Every method is linear in the size of its value, and without effect. What is not here is refused: through
Python's own methods a policy would reach the whole process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .values import ABSENT, CONTEXT, TYPES, Text, Thing, context_of, plain

__all__ = ["Refusal", "call_method", "construct", "look_up"]


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


def call_method(value: Any, name: str, arguments: Sequence[Any], *, named: bool) -> Any:
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


_FOUND: Final = ("found", "found_current")
_TYPE_AND_ID: Final = 2
_MADE: Final = frozenset({"Subject", "Target", *TYPES})

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


def construct(tag: str, arguments: Sequence[Any], *, named: bool) -> Thing:
    """`new User("alice", {tier: "pro"})` in a policy, for its own tests.

    Raises:
        Refusal: the class cannot be made, or of other arguments.
    """
    if tag == CONTEXT:
        if named or len(arguments) != 1 or not isinstance(arguments[0], dict):
            raise _malformed(tag)
        content = plain(arguments[0])
        # A policy's test may say what was found without laying out findings; a request cannot.
        return context_of(content, {name: content[name] for name in _FOUND if name in content})
    if tag not in _MADE:
        raise Refusal("`{word}` is no class that a policy can make", tag)
    given = [plain(one) for one in arguments]
    properties = given.pop() if given and isinstance(given[-1], dict) else {}
    if tag in TYPES:
        given.insert(0, TYPES[tag])
    if named or len(given) != _TYPE_AND_ID or not all(isinstance(one, str) for one in given):
        raise _malformed(tag)
    return Thing(properties, tag, {"type": given[0], "id": given[1], "properties": properties})


def _malformed(tag: str) -> Refusal:
    return Refusal(
        '`{word}` is not made so; write `new User("id", {{...}})`, `new Subject("type", "id", {{...}})` or '
        "`new Context({{...}})`",
        tag,
    )


def _kind(value: Any) -> str:
    if isinstance(value, Thing):
        return "a thing with names"
    names = {str: "a string", Text: "a text", list: "a list", dict: "a dictionary", type(None): "nil"}
    return names.get(type(value), "a number or a boolean")
