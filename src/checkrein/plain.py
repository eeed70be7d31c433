"""Copies what hosts hand over in plain JSON values; refuses what JSON or an engine would bend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from .errors import RequestError

__all__ = ["encodable", "plain"]

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1


def plain(value: Any, depth: int) -> Any:
    """A copy of a value in plain JSON values.

    Args:
        value: what a host handed over.
        depth: how many levels of lists and objects it may have.

    Raises:
        RequestError: `limit.depth`, `limit.encoding`, `limit.number` or `limit.type`.
    """
    # What nearly every value is comes first, by identity: this runs for every value of every request.
    kind = type(value)
    if kind is str:
        return value if value.isascii() else encodable(value)
    if value is None or kind is bool:
        return value
    if kind is dict:
        return _mapping(value, depth)
    if kind is list or kind is tuple:
        if depth <= 0:
            raise _too_deep()
        return [item if type(item) is str and item.isascii() else plain(item, depth - 1) for item in value]
    return _number(value) if isinstance(value, int | float) else _other(value, depth)


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    if depth <= 0:
        raise _too_deep()
    copy: dict[str, Any] = {}
    for key, item in value.items():
        name = key if type(key) is str and key.isascii() else _key(key)
        kind = type(item)
        if (kind is str and item.isascii()) or (kind is int and _LEAST <= item <= _MOST):
            copy[name] = item
        elif kind is dict:
            copy[name] = _mapping(item, depth - 1)
        else:
            copy[name] = plain(item, depth - 1)
    return copy


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise RequestError("limit.type", "a key of the request is no string")
    return encodable(key)


def _number(value: float) -> float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RequestError("limit.number", "a number is not finite")
        return float(value)
    if not _LEAST <= value <= _MOST:
        raise RequestError("limit.number", "a number is outside 64 bits")
    return int(value)


def _other(value: Any, depth: int) -> Any:
    """Relatives of the plain types: enumerations, read-only mappings, sets of names."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return _mapping(value, depth)
    if isinstance(value, list | tuple):
        return plain([*value], depth)
    if isinstance(value, set | frozenset) and all(isinstance(item, str) for item in value):
        return [encodable(item) for item in sorted(value)]
    raise RequestError("limit.type", f"a value of type `{type(value).__name__}` is no JSON")


def encodable(value: str) -> str:
    """A text as a plain `str` that UTF-8 has room for.

    Raises:
        RequestError: `limit.encoding`.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RequestError("limit.encoding", "a value holds a lone surrogate") from None
    return str(value)


def _too_deep() -> RequestError:
    return RequestError("limit.depth", "the request is nested over the limit `limits.depth`")
