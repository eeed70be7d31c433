"""Encodes an event as one line of JSON, whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

__all__ = ["MAX_RECORD", "encode"]

MAX_RECORD: Final = 256 * 1024
"""The most bytes of a record that shows no text."""

_DEEPEST: Final = 32
_LONGEST: Final = 16 * 1024
# The most bytes that a code point takes in JSON, and the code points that a value takes besides its own.
_BYTES: Final = 6
_NODE: Final = 8
# JSON leaves these raw, but viewers break lines at them, terminals obey them and eyes are misled by them.
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def encode(event: Mapping[str, Any], text: int = 0) -> bytes:
    """Encode an event.

    What JSON has no place for (lone surrogates, numbers over 64 bits, foreign types, deep nesting) is
    replaced, and the event marked `replaced`; what is over the bound is cut from the event's end, marked
    `truncated`.

    Args:
        event: the event; its first keys are the last to be cut.
        text: code points of the call's text in it, for which the bound of a record without text makes room.

    Returns:
        UTF-8 with a line end, the only one in it.
    """
    bound = MAX_RECORD + _BYTES * text
    try:
        line = _line(event)
    except orjson.JSONEncodeError:
        mark = "replaced"
    else:
        if len(line) <= bound:
            return line
        mark = "truncated"
    return _line({**_Bounded(bound)(event), mark: True})


def _line(event: Mapping[str, Any]) -> bytes:
    line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    if line.isascii() and b"\x7f" not in line:
        return line
    return _UNSAFE.sub(lambda hit: f"\\u{ord(hit[0]):04x}", line.decode()).encode()


class _Bounded:
    """Copies a value in plain JSON; every value and every code point takes from what is left."""

    def __init__(self, size: int) -> None:
        self._left = size // _BYTES - 2 * _NODE

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self._left -= _NODE
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return value
        if isinstance(value, Mapping) and depth <= _DEEPEST:
            items = ((self(key), item) for key, item in value.items() if self._left > 0)
            return {str(key): self(item, depth + 1) for key, item in items}
        if isinstance(value, list | tuple | set | frozenset) and depth <= _DEEPEST:
            return [self(item, depth + 1) for item in value if self._left > 0]
        words = value if isinstance(value, str) else f"<{type(value).__name__}>"
        words = words[: max(0, min(_LONGEST, self._left))]
        self._left -= len(words)
        return words.encode("utf-8", "replace").decode()
