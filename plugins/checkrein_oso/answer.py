"""What the rules `deny` and `obligation` handed out, as reasons and obligations: sorted, each once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from checkrein.errors import EngineFailure, FailureCause
from checkrein.vocabulary import Obligation, Reason

from .evaluation import UNBOUND
from .values import plain

__all__ = ["obligations_of", "reasons_of"]

_DENIED: Final = "denied"
_MAX_DEPTH: Final = 32


def reasons_of(values: Iterable[Any]) -> tuple[Reason, ...]:
    """Reasons from a string, its code, or `{code, message}`; one left open denies with the code `denied`.

    Raises:
        EngineFailure: `invalid_answer`. Its detail names keys and types and never a value.
    """
    found = {_reason(value) for value in values}
    return tuple(Reason(code=code, message=message) for code, message in sorted(found))


def obligations_of(values: Iterable[Any]) -> tuple[Obligation, ...]:
    """Obligations from `{type, properties?, id?}`.

    Raises:
        EngineFailure: `invalid_answer`. Its detail names keys and types and never a value.
    """
    found: dict[bytes, Obligation] = {}
    for value in values:
        obligation = _obligation(value)
        key = orjson.dumps(
            (obligation.type, obligation.properties, obligation.id or ""), option=orjson.OPT_SORT_KEYS
        )
        found[key] = obligation
    return tuple(found[key] for key in sorted(found))


def _reason(value: Any) -> tuple[str, str]:
    if value is UNBOUND:
        return _DENIED, ""
    given = plain(value)
    if isinstance(given, str):
        given = {"code": given}
    if not isinstance(given, Mapping):
        raise _invalid("a reason of `deny` must be a code or `{code, message}`")
    _only("a reason", given, {"code", "message"})
    code, message = given.get("code"), given.get("message", "")
    if not isinstance(code, str) or not code:
        raise _invalid("the `code` of a reason must be a string, not empty")
    if not isinstance(message, str):
        raise _invalid("the `message` of a reason must be a string")
    return code, message


def _obligation(value: Any) -> Obligation:
    given = plain(value)
    if not isinstance(given, Mapping):
        raise _invalid("an obligation must be `{type, properties}`")
    _only("an obligation", given, {"type", "properties", "id"})
    kind, properties, name = given.get("type"), given.get("properties", {}), given.get("id")
    if not isinstance(kind, str) or not kind:
        raise _invalid("the `type` of an obligation must be a string, not empty")
    if not isinstance(properties, Mapping):
        raise _invalid("the `properties` of an obligation must be a dictionary")
    if "id" in given and not isinstance(name, str):
        raise _invalid("the `id` of an obligation must be a string")
    _check_json(properties, _MAX_DEPTH)
    return Obligation(type=kind, properties=properties, id=name)


def _check_json(value: Any, depth: int) -> None:
    if isinstance(value, Mapping | list) and depth > 0:
        for one in value.values() if isinstance(value, Mapping) else value:
            _check_json(one, depth - 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _invalid("a number of an obligation is not finite")
    elif value is not None and not isinstance(value, str | bool | int):
        raise _invalid("a property of an obligation is left open, or nested too deep")


def _only(what: str, value: Mapping[str, Any], known: set[str]) -> None:
    if not value.keys() <= known:
        # The key itself is not shown: a policy can build keys from a prompt.
        raise _invalid(f"{what} may have the keys {', '.join(sorted(known))} alone; it has `{len(value)}`")


def _invalid(problem: str) -> EngineFailure:
    return EngineFailure(FailureCause.INVALID_ANSWER, problem)
