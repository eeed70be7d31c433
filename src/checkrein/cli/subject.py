"""Reads `--as`: a subject on one line, `type:id,key=value,...`."""

from __future__ import annotations

import re
from typing import Any, Final

from checkrein.vocabulary import ANONYMOUS, Entity

__all__ = ["EXAMPLE", "parse_subject"]

EXAMPLE: Final = "user:alice,tier=free,roles=analyst|admin"

_WORDS: Final = {"true": True, "false": False}
# As JSON writes one, and inside 64 bits: `007` and a card number stay text.
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def parse_subject(written: str | None) -> Entity:
    """The subject that is written, or the anonymous one.

    Args:
        written: `type:id`, then properties; `true`, `false` and integers are read as such, `a|b` as a list
            (`a|` is a list of one).

    Raises:
        ValueError: it has another shape.
    """
    if written is None:
        return ANONYMOUS
    head, *pairs = written.split(",")
    kind, colon, name = head.partition(":")
    if not colon or not kind or not name:
        raise ValueError(f"`{head}` is no `type:id`; write for instance: {EXAMPLE}")
    properties: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"`{pair}` is no `key=value`; write for instance: {EXAMPLE}")
        if key in properties:
            raise ValueError(f"`{key}` is given twice; write for instance: {EXAMPLE}")
        properties[key] = _value(value)
    return Entity(type=kind, id=name, properties=properties)


def _value(written: str) -> Any:
    if "|" in written:
        return [_value(item) for item in written.removesuffix("|").split("|")]
    if written in _WORDS:
        return _WORDS[written]
    return int(written) if _INTEGER.fullmatch(written) else written
