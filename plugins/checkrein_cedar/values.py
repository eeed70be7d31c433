"""Turns JSON values into Cedar's, and refuses what Cedar would read as syntax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from functools import partial
from typing import Any, Final

import orjson

from checkrein.errors import EngineFailure, FailureCause
from checkrein.findings import found_types

from .needs import Need

__all__ = ["cedar_value", "context_of", "refuse_syntax"]

_PLACES: Final = Decimal("0.0001")
_DECIMAL_END: Final = 9.2e14  # Cedar's decimal is a 64-bit integer of ten-thousandths
_TEXTS: Final = frozenset({"prompt", "completion", "result"})


def refuse_syntax(document: Mapping[str, Any]) -> None:
    """Refuse a request with a key that starts with `__`, anywhere.

    In Cedar's JSON, `{"__entity": {...}}` is an entity and `{"__extn": {...}}` a call: in tool arguments, a
    model could write itself a principal.

    Raises:
        EngineFailure: `request_rejected`.
        TypeError: the document is no strict JSON.
    """
    context = {
        # The text can be megabytes, and is no key.
        key: {**value, "text": ""} if key in _TEXTS and isinstance(value, dict) else value
        for key, value in document["context"].items()
    }
    values = (document["subject"], document["resource"], document["action"], context)
    # In JSON, a string that starts with `__` looks the same whether it is a key: look closer only then.
    if b'"__' in orjson.dumps(values) and _has_syntax(values):
        raise EngineFailure(FailureCause.REQUEST_REJECTED, "a key of the request starts with `__`")


def _has_syntax(value: Any) -> bool:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if any(key.startswith("__") for key in node):
                return True
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node
    return False


def cedar_value(value: Any) -> Any:
    """A JSON value as Cedar's JSON has it: floats are decimals, null is left out, a list is a set.

    Args:
        value: anything but null.

    Raises:
        EngineFailure: `request_rejected` for what Cedar has no value for.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool:
        return value
    if kind is dict or isinstance(value, Mapping):
        return {key: cedar_value(item) for key, item in value.items() if item is not None}
    if kind is list or kind is tuple:
        return [cedar_value(item) for item in value if item is not None]
    if kind is float:
        return {"__extn": {"fn": "decimal", "arg": _decimal(value)}}
    raise EngineFailure(
        FailureCause.REQUEST_REJECTED, f"a value of type `{kind.__name__}` has no like in Cedar"
    )


def _decimal(value: float) -> str:
    # Comparing in this order is false for what is no number, too.
    if not -_DECIMAL_END <= value <= _DECIMAL_END:
        raise EngineFailure(FailureCause.REQUEST_REJECTED, "a number is outside Cedar's decimals")
    # `repr` gives the shortest number that means this float: 0.1 must not become 0.1001.
    return f"{Decimal(repr(value)).quantize(_PLACES, ROUND_CEILING) + 0:f}"


def context_of(context: Mapping[str, Any], need: Need) -> dict[str, Any]:
    """The context that Cedar gets: what the policies look at, and the sets that Cedar cannot make itself.

    Cedar has no way to ask whether some finding is current; so `found` is the set of the types found in the
    whole text, `found_current` in the turn being answered by whoever the model answers (in a completion or a
    call of a tool: in all of it), and `uninspected_kinds` the kinds of what nobody could look into.

    Args:
        context: the input document's.
        need: what the policies look at.

    Raises:
        EngineFailure: `request_rejected` for what Cedar has no value for.
    """
    facts = dict(context)
    for key, derive in _DERIVED.items():
        # Always ours: a host's own key of the same name must not stand in for it.
        facts[key] = derive(context) if need.whole or key in need.keys else None
    projected: dict[str, Any] = _needed(facts, need)
    return projected


def _uninspected_kinds(context: Mapping[str, Any]) -> list[str]:
    uninspected = context.get("uninspected")
    if not isinstance(uninspected, list):
        return []
    kinds = [one.get("kind") if isinstance(one, Mapping) else None for one in uninspected]
    # What has no kind must be seen by a policy that permits none but these or those.
    return sorted({kind if isinstance(kind, str) else "unknown" for kind in kinds})


_DERIVED: Final[Mapping[str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "found": partial(found_types, current=False),
    "found_current": partial(found_types, current=True),
    "uninspected_kinds": _uninspected_kinds,
}


def _needed(value: Any, need: Need) -> Any:
    if need.whole:
        return cedar_value(value)
    if not isinstance(value, Mapping):
        # No policy reads it, or one reads below it and errs: whatever stands here, as long as something does.
        return True
    return {key: _needed(value[key], below) for key, below in need.keys.items() if value.get(key) is not None}
