"""Odd requests: what callers and models can put into a call, in each of the places where they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

__all__ = ["CANARY", "NOT_THE_OWNER", "NOT_THE_TIER", "PLACES", "odd_requests"]

CANARY: Final = "canary-5f1e77d0"
"""A word that no failure may ever show; it stands in every odd value that can hold one."""

_OWNER: Final = {"type": "User", "id": "owner"}
_SYNTAX: Final[Mapping[str, Any]] = {
    "__entity": _OWNER,
    "__extn": {"fn": "decimal", "arg": "1.0"},
    "__expr": 'User::"owner"',
    "__proto__": {"tier": "pro"},
    "__class__": "User",
}


def _nested(depth: int, leaf: Any) -> Any:
    for level in range(depth):
        leaf = [leaf] if level % 2 else {"in": leaf}
    return leaf


_TEXTS: Final[tuple[str, ...]] = (
    "",
    " ",
    CANARY,
    f"{CANARY} \u00e9\u0130\u0131\ufb01 \u05d0\u202e \U0001f40e",
    f"{CANARY}\x00{CANARY}",
    f"{CANARY}\r\n\t\x0b\x1b\x7f\u2028\u0085",
    f"{CANARY}\"'`\\",
    f'{CANARY}" || true || "',
    f'{CANARY}", "allow": true, "x": "',
    f"{CANARY}}}) {{permit}}",
    f"user:{CANARY}::user:owner",
    f'User::"{CANARY}"',
    f"{CANARY}, allow, p, user:owner",
    f"{CANARY}/../{CANARY}%2f%00",
    f"${{{CANARY}}} {{{{{CANARY}}}}} %s {{0}}",
    "*",
    ".*",
    "true",
    "null",
    "__entity",
    "\\u0022",
    "\\",
    "owner",
    "pro",
    f"{CANARY} " * 4_000,
)
_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    0.1,
    -0.0,
    1e-320,
    1.7976931348623157e308,
    [],
    {},
    [None],
    {"": ""},
    {".": {"a.b": {"subject.properties.tier": "pro"}}},
    {CANARY: CANARY},
    {f"{CANARY}\n\"'\\": 1},
    *({key: value} for key, value in _SYNTAX.items()),
    [{"__entity": _OWNER}],
    {"in": [{"in": {"__entity": _OWNER}}]},
    _nested(28, CANARY),
    _nested(190, CANARY),
    [[index, str(index)] for index in range(500)],
    {f"key {index}": index for index in range(500)},
    {"type": "user", "id": "owner", "tier": "pro"},
    {"properties": {"tier": "pro", "suspended": False}},
)
_KEYS: Final[tuple[str, ...]] = (
    *(text for text in _TEXTS if text not in {"owner", "pro"} and len(text) < 1_000),  # noqa: PLR2004 -- a key is short
    *_SYNTAX,
    "subject",
    "subject.properties.tier",
    "properties",
    "properties.tier",
    "Tier",
    "tier ",
    "id",
    "type",
    "input",
    "data",
    "self",
    "principal",
    "parents",
    "groups",
)

NOT_THE_OWNER: Final[tuple[str, ...]] = (
    "Owner",
    "OWNER",
    " owner",
    "owner ",
    "owner\n",
    "owner\x00",
    "\x00owner",
    "owner\x00x",
    '"owner"',
    "'owner'",
    'owner"',
    "owner\\",
    "own\\u0065r",
    "owner,",
    "owner, *",
    "owner::",
    "user:owner",
    "User::owner",
    'User::"owner"',
    "o\u200bwner",
    "\uff4fwner",
    "ow\u200dner",
    "owne\u0433",
    "owner/",
    "*",
    "",
)
"""Ids that are not `owner`, and that somebody careless would take for it."""

NOT_THE_TIER: Final[tuple[Any, ...]] = (
    "Pro",
    " pro",
    "pro\n",
    "pro\x00",
    'pro"',
    '"pro"',
    "pro', 'x",
    "p\\u0072o",
    "\uff50ro",
    "*",
    "",
    None,
    True,
    0,
    1.5,
    ["pro"],
    ["pro", "free"],
    [["pro"]],
    {"pro": "pro"},
    {"tier": "pro"},
    {"__extn": {"fn": "pro", "arg": "pro"}},
    {"__entity": {"type": "pro", "id": "pro"}},
)
"""Values of `tier` that are neither `free` nor `pro`."""

_Odd = Callable[[AccessRequest], Iterator[AccessRequest]]


def _with(entity: Entity, key: str, value: Any) -> Entity:
    # What the suite's policy reads stays: an odd value beside it must change nothing.
    return replace(entity, properties={key: value, **entity.properties})


def _subject_ids(plain: AccessRequest) -> Iterator[AccessRequest]:
    for text in _TEXTS:
        if text != "owner":
            yield replace(plain, subject=replace(plain.subject, id=text))


def _resource_ids(plain: AccessRequest) -> Iterator[AccessRequest]:
    for text in _TEXTS:
        yield replace(plain, resource=replace(plain.resource, id=text))


def _types(plain: AccessRequest) -> Iterator[AccessRequest]:
    for text in (*_TEXTS, "User", "user:owner", "Group", "Action", "action", "User::User", "in", "__user"):
        yield replace(plain, subject=replace(plain.subject, type=text))
        yield replace(plain, resource=replace(plain.resource, type=text))


def _property_values(plain: AccessRequest) -> Iterator[AccessRequest]:
    for value in (*_VALUES, *_TEXTS):
        for key in ("note", "groups"):
            yield replace(plain, subject=_with(plain.subject, key, value))
        for key in ("family", "size"):
            yield replace(plain, resource=_with(plain.resource, key, value))


def _property_keys(plain: AccessRequest) -> Iterator[AccessRequest]:
    for key in _KEYS:
        for value in ("owner", {"tier": "pro"}):
            yield replace(plain, subject=_with(plain.subject, key, value))
            yield replace(plain, resource=_with(plain.resource, key, value))


def _context(plain: AccessRequest) -> Iterator[AccessRequest]:
    keys = ("found", "found_current", "tool", "usage", "environment", "tools", "estimated", "model")
    for index, value in enumerate((*_VALUES, *_TEXTS)):
        for key in ("note", *keys[index % 4 :: 4]):
            yield replace(plain, context={**plain.context, key: value})
    for key in keys:
        for value in (None, [], {}, "owner", {"us_ssn": False}):
            yield replace(plain, context={**plain.context, key: value})
    for key in _KEYS:
        yield replace(plain, context={**plain.context, key: {"tier": "pro"}})


def _arguments(plain: AccessRequest) -> Iterator[AccessRequest]:
    for value in (*_VALUES, *_TEXTS, *({key: CANARY} for key in _KEYS)):
        yield replace(plain, context={**plain.context, "tool": {"arguments": {"query": value}}})
        yield replace(plain, context={**plain.context, "tool": {"arguments": value}})


def _segments(plain: AccessRequest) -> Iterator[AccessRequest]:
    for text in _TEXTS:
        more = Segment(path=("more",), role="system", origin=Origin.SYSTEM, text=text)
        yield replace(plain, segments=(more, *plain.segments))
        yield replace(plain, segments=(replace(more, role=text[:100], text=CANARY), *plain.segments))


def _actions(plain: AccessRequest) -> Iterator[AccessRequest]:
    for text in (*_TEXTS, "Invoke_model", "invoke_model\n", 'Action::"invoke_model"'):
        yield replace(plain, action=text or " ")


PLACES: Final[Mapping[str, _Odd]] = {
    "actions": _actions,
    "context": _context,
    "property keys": _property_keys,
    "property values": _property_values,
    "resource ids": _resource_ids,
    "segments": _segments,
    "subject ids": _subject_ids,
    "tool arguments": _arguments,
    "types": _types,
}
"""Where an odd value can stand."""


def odd_requests(place: str, plain: AccessRequest) -> Iterator[AccessRequest]:
    """The odd twins of a plain request: none of them may be permitted where the plain one is not.

    Args:
        place: one of `PLACES`.
        plain: the plain request.
    """
    # Beside the odd value, the canary stands wherever text can.
    secret = replace(plain, context={**plain.context, "trace": CANARY})
    if plain.stage is not Stage.TOOL_CALL and plain.segments:
        said = Segment(path=("canary",), role="system", origin=Origin.SYSTEM, text=CANARY)
        secret = replace(secret, segments=(said, *secret.segments))
    yield from PLACES[place](secret)
