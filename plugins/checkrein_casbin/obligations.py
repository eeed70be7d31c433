"""Reads the obligation of a policy row: `redact types=us_ssn|email`, one spelling and no other.

A type, then its properties as `name=value`, parted by single spaces. A list is parted by `|` (`types`,
`names` and `approvers` are always lists); a whole number, a decimal, `true` and `false` are themselves;
anything else is a text. `replace text=` takes the rest of the line. What no enforcement point could carry out
is an error when the policy is loaded.
"""

from __future__ import annotations

import re
from typing import Any, Final

from checkrein.obligations import ObligationProblem, allowed_at, merge
from checkrein.vocabulary import Obligation, Stage

__all__ = ["read_obligation"]

_LISTS: Final = frozenset({"approvers", "names", "types"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,18}")
_TEXT: Final = "replace text="


def read_obligation(text: str) -> Obligation:
    """Read an obligation.

    Args:
        text: for instance `limit_tokens max_tokens=256` or `no_store`.

    Raises:
        ValueError: it is not written so, or no enforcement point could carry it out.
    """
    if text.startswith(_TEXT) and len(text) > len(_TEXT):
        return _known(Obligation(type="replace", properties={"text": text.removeprefix(_TEXT)}))
    kind, *pairs = text.split(" ")
    properties: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value or not _NAME.fullmatch(name) or name in properties:
            raise ValueError(
                f"`{pair}` is no property; write `type name=value`, for instance `redact types=us_ssn|email`"
            )
        properties[name] = _list(name, value) if name in _LISTS else _scalar(value)
    return _known(Obligation(type=kind, properties=properties))


def _list(name: str, value: str) -> list[str]:
    items = value.split("|")
    if not all(items) or len(set(items)) != len(items):
        raise ValueError(f"`{name}={value}` has an empty item, or one twice")
    return items


def _scalar(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    if _INTEGER.fullmatch(value):
        return int(value)
    return float(value) if _DECIMAL.fullmatch(value) else value


def _known(obligation: Obligation) -> Obligation:
    kind = obligation.type
    stages = [stage for stage in Stage if kind in allowed_at(stage)]
    if not stages:
        known = sorted(frozenset().union(*(allowed_at(stage) for stage in Stage)))
        raise ValueError(f"`{kind}` is no obligation; these are: {', '.join(known)}")
    try:
        merge(
            [obligation],
            stage=stages[0],
            supports=frozenset({kind}),
            detected=frozenset(obligation.properties.get("types", ())),
        )
    except ObligationProblem as problem:
        raise ValueError(f"{problem.detail}; its properties are not the ones of a `{kind}`") from None
    return obligation
