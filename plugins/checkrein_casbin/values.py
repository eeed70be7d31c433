"""What a matcher may do with values, strictly: whatever Python would bend is an error, which denies.

A text is no truth, `true` is not `1`, an absent attribute is no value, a piece of a text is no member of it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn

from checkrein.errors import EngineFailure, FailureCause
from checkrein.findings import found_types

from .roles import RoleGraph

__all__ = ["ABSENT", "ARITHMETIC", "COMPARISONS", "FUNCTIONS", "Facts", "View", "fail", "shown"]


class _Absent:
    __slots__ = ()


ABSENT: Final = _Absent()
"""The value of what a request does not have."""

_COLLECTIONS: Final = (list, tuple, frozenset, set)


def fail(problem: str) -> NoReturn:
    """End the evaluation: an answer that cannot be trusted is none.

    Raises:
        EngineFailure: `engine_error`; the detail holds the policy's own words and no value of the request.
    """
    raise EngineFailure(FailureCause.ENGINE_ERROR, problem)


class Facts:
    """What is worked out at most once for a request, when a matcher asks for it.

    Args:
        document: the input document.
    """

    __slots__ = ("_document", "_found", "_roles")

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._roles: dict[tuple[int, str, str], frozenset[str]] = {}
        self._found: dict[str, frozenset[str]] = {}

    def has_role(self, graph: RoleGraph, name: str, role: str, domain: str) -> bool:
        """Whether a name has a role in a graph."""
        key = (id(graph), name, domain)
        roles = self._roles.get(key)
        if roles is None:
            roles = self._roles[key] = graph.roles(name, domain)
        return role in roles

    def found(self, name: str) -> frozenset[str]:
        """`found`: every type of finding; `found_current`: those in the turn being answered."""
        types = self._found.get(name)
        if types is None:
            context, current = self._document["context"], name == "found_current"
            types = self._found[name] = frozenset(found_types(context, current=current))
        return types


class View(Mapping[str, Any]):
    """A read-only look at an object of the request, for the operator's own functions; no `repr` shows it."""

    __slots__ = ("_value",)

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value

    def __getitem__(self, key: str) -> Any:
        return shown(self._value[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)


def shown(value: Any) -> Any:
    """A value as a function of the operator's own may see it: nothing of the request can be changed by it."""
    if isinstance(value, Mapping):
        return View(value)
    if isinstance(value, list | tuple):
        return tuple(shown(item) for item in value)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _unequal(left: Any, right: Any) -> bool:
    return not _equal(left, right)


def _member(left: Any, right: Any) -> bool:
    if not isinstance(right, _COLLECTIONS):
        fail("what follows `in` is no list; `contains(text, part)` looks for a part of a text")
    if isinstance(left, str):
        return left in right
    return any(_equal(left, item) for item in right)


def _not_member(left: Any, right: Any) -> bool:
    return not _member(left, right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:
        if (_is_number(left) and _is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
            return compare(left, right)
        return fail("what is compared by order must be two numbers or two texts")

    return ordered


def _numeric(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        if not (_is_number(left) and _is_number(right)):
            fail("only numbers can be calculated with")
        try:
            result = calculate(left, right)
            # What is infinite is over no limit and under every other: it would compare, and decide.
            finite = math.isfinite(result)
        except ArithmeticError:
            finite = False
        return result if finite else fail("a calculation has no result: divided by zero, or too large")

    return calculated


COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "Eq": _equal,
    "Gt": _ordered(operator.gt),
    "GtE": _ordered(operator.ge),
    "In": _member,
    "Lt": _ordered(operator.lt),
    "LtE": _ordered(operator.le),
    "NotEq": _unequal,
    "NotIn": _not_member,
}
"""By the name of the syntax node. There is no `is`."""

ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Add": _numeric(operator.add),
    "Div": _numeric(operator.truediv),
    "Mult": _numeric(operator.mul),
    "Sub": _numeric(operator.sub),
}
"""By the name of the syntax node. There is no power, no shift and nothing that repeats a text."""


def _texts(*values: Any) -> None:
    if not all(isinstance(value, str) for value in values):
        fail("a function of texts was given something else")


def _contains(text: Any, part: Any) -> bool:
    _texts(text, part)
    return part in text


def _starts_with(text: Any, part: Any) -> bool:
    _texts(text, part)
    return bool(text.startswith(part))


def _ends_with(text: Any, part: Any) -> bool:
    _texts(text, part)
    return bool(text.endswith(part))


def _lower(text: Any) -> str:
    _texts(text)
    return str(text.lower())


def _size(value: Any) -> int:
    if not isinstance(value, (str, *_COLLECTIONS)):
        fail("`size` is of a text or a list")
    return len(value)


def _overlaps(left: Any, right: Any) -> bool:
    if not isinstance(left, _COLLECTIONS) or not isinstance(right, _COLLECTIONS):
        fail("`overlaps` is of two lists")
    _texts(*left, *right)
    return not set(left).isdisjoint(right)


FUNCTIONS: Final[Mapping[str, tuple[Callable[..., Any], int]]] = {
    "contains": (_contains, 2),
    "endsWith": (_ends_with, 2),
    "lower": (_lower, 1),
    "overlaps": (_overlaps, 2),
    "size": (_size, 1),
    "startsWith": (_starts_with, 2),
}
"""What a matcher may call besides patterns and role graphs, and with how many arguments."""
