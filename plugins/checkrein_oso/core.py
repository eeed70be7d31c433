"""The Polar virtual machine behind its C interface: loads sources, starts queries, hands out events.

The Python layers of `oso` over this interface cannot decide on untrusted text: policies reach any attribute
through them (`"".__class__.__base__.__subclasses__()`), `debug()` waits on standard input, and `print()` and
every error show the values at hand. So this module speaks to `_polar_lib` itself, as `polar/ffi.py` of oso
0.27.3 does: every pointer that the library gives is given back exactly once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from _polar_lib import ffi, lib

__all__ = ["PANIC", "Core", "PolarError", "Query", "Source", "place_in"]

PANIC: Final = "Unknown"
"""The kind of error that a panic of the library becomes."""

_PLACE: Final = re.compile(r" at line (?P<line>\d+), column \d+(?: (?:of|in) file (?P<file>[^\n]+?\.polar))?")

Source = tuple[str, str]
"""The name of a policy file, as messages show it, and its text."""


class PolarError(Exception):
    """What the library answered instead of a result.

    Args:
        kind: its name of the error, for instance `QueryTimeout`.
        message: its words, while loading; those of an evaluation quote the values at hand and are not kept.
        file: the policy file that it names, or None.
        line: the line there, from 1, or None.
    """

    def __init__(self, kind: str, message: str, file: str | None, line: int | None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.message = message
        self.file = file
        self.line = line


class Core:
    """One knowledge base with its rules. For one thread at a time.

    Args:
        classes: the names that policies can specialise on, each with the ids of itself and of its bases.
        constants: the names of instances, with their ids.

    Attributes:
        sound: whether nothing in the library ever panicked; what did may hold a lock for ever.
    """

    def __init__(self, classes: Mapping[str, Sequence[int]], constants: Mapping[str, int]) -> None:
        self.sound = True
        self._pointer = ffi.gc(lib.polar_new(), lib.polar_free)
        for name, identity in constants.items():
            self._constant(
                name, {"instance_id": identity, "repr": None, "class_repr": None, "class_id": None}
            )
        for name, (identity, *_) in classes.items():
            self._constant(
                name, {"instance_id": identity, "repr": None, "class_repr": None, "class_id": identity}
            )
        for name, order in classes.items():
            _value(lib.polar_register_mro(self._pointer, _text(name.encode()), _json(order)))

    def _constant(self, name: str, instance: Mapping[str, Any]) -> None:
        term = {"value": {"ExternalInstance": instance}}
        _value(lib.polar_register_constant(self._pointer, _text(name.encode()), _json(term)))

    def load(self, sources: Iterable[Source]) -> list[str]:
        """Load every file at once; a knowledge base loads but once.

        Returns:
            The library's warnings.

        Raises:
            PolarError: a file does not load.
        """
        files = [{"src": text, "filename": name} for name, text in sources]
        result = lib.polar_load(self._pointer, _json(files))
        warnings = _messages(lib.polar_next_polar_message, self._pointer)
        _value(result, loading=True)
        return warnings

    def query(self, term: bytes) -> Query:
        """Start a query.

        Args:
            term: the predicate as the library's JSON.

        Raises:
            PolarError: it is none.
        """
        return Query(_value(lib.polar_new_query_from_term(self._pointer, _text(term), 0)))

    def next_inline_query(self) -> Query | None:
        """The next `?=` of the files, or None after the last."""
        pointer = lib.polar_next_inline_query(self._pointer, 0)
        return None if pointer == ffi.NULL else Query(pointer)


class Query:
    """A running query. For one thread at a time."""

    def __init__(self, pointer: Any) -> None:
        self._pointer = ffi.gc(pointer, lib.query_free)

    def next_event(self) -> tuple[str, Any]:
        """What the machine wants next, or what it found: the name of the event and its data.

        Raises:
            PolarError: the evaluation ended in an error.
        """
        event = orjson.loads(_string(_value(lib.polar_next_query_event(self._pointer))))
        ((kind, data),) = event.items()
        return kind, data

    def answer(self, call: int, term: Mapping[str, Any] | None) -> None:
        """Give the value of what was looked up, called or iterated; None is the end of it."""
        _value(lib.polar_call_result(self._pointer, call, _json(term)))

    def answer_question(self, call: int, *, holds: bool) -> None:
        """Answer yes or no."""
        _value(lib.polar_question_result(self._pointer, call, int(holds)))

    def fail(self, call: int) -> None:
        """Say that there is no value, so that the next event is an error with its place in the policy."""
        _value(lib.polar_application_error(self._pointer, _text(b"refused")))
        self.answer(call, None)

    def source(self) -> str:
        """The query in the policy's own words, with its place."""
        return _string(_value(lib.polar_query_source_info(self._pointer))).decode()

    def discard_messages(self) -> None:
        """Throw away what the policy printed: it would keep prompts in memory."""
        _messages(lib.polar_next_query_message, self._pointer)


def place_in(text: str) -> tuple[str | None, int | None]:
    """The last place that a text of the library names: file and line."""
    found = None
    for found in _PLACE.finditer(text):  # noqa: B007 -- the last is the innermost
        pass
    return (found["file"], int(found["line"])) if found else (None, None)


def _value(result: Any, *, loading: bool = False) -> Any:
    """The pointer in a result; the result itself is given back."""
    value, error = result.result, result.error
    # Every result type is two pointers, and one function frees them all.
    lib.result_free(ffi.cast("polar_CResult_c_void *", result))
    if error != ffi.NULL:
        raise _error(orjson.loads(_string(error)), loading=loading)
    return value


def _error(answer: Mapping[str, Any], *, loading: bool) -> PolarError:
    ((kind, body),) = answer["kind"].items()
    if isinstance(body, dict) and len(body) == 1:
        (kind,) = body
    elif isinstance(body, str):
        kind = body
    message = str(answer["formatted"])
    return PolarError(str(kind), message if loading else "", *place_in(message))


def _string(pointer: Any) -> bytes:
    text: bytes = ffi.string(pointer)
    lib.string_free(pointer)
    return text


def _text(encoded: bytes) -> Any:
    return ffi.new("char[]", encoded)


def _json(value: Any) -> Any:
    # JSON writes a NUL as an escape: the text ends where C thinks that it ends.
    return ffi.new("char[]", orjson.dumps(value))


def _messages(take: Any, pointer: Any) -> list[str]:
    found: list[str] = []
    while (message := _value(take(pointer))) != ffi.NULL:
        found.append(str(orjson.loads(_string(message))["msg"]))
    return found
