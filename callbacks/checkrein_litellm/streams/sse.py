"""Server-sent events that come as bytes: read strictly, as the HTML standard says, and written anew."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, Final, NamedTuple

from checkrein.errors import RequestError

__all__ = ["DONE", "Frame", "FrameReader", "frame"]

DONE: Final = "[DONE]"
"""The data of the frame that some APIs end a stream with."""

_BREAK: Final = re.compile(r"\r\n|\n|\r")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
# Told to the client's reader and never to whoever reads the events.
_UNTOLD: Final = frozenset({"id", "retry"})
# JSON writes a character in up to six, and a frame says more than its text.
_INFLATION: Final = 6
_BESIDE: Final = 64 * 1024


class Frame(NamedTuple):
    """One event.

    Args:
        name: its type; empty where none is told.
        data: a JSON object, or `DONE`.
    """

    name: str
    data: Any


class FrameReader:
    """Takes bytes as they come and gives out the events that are complete.

    Comments, ids and whatever else a client's reader keeps to itself is dropped: what leaves is written from
    what was read.

    Args:
        limit: bytes of text that a stream may hold; one event may be longer by what JSON adds.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit * _INFLATION + _BESIDE
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._begun = False
        self._after_return = False
        self._line: list[str] = []
        self._data: list[str] = []
        self._name = ""
        self._size = 0

    def take(self, chunk: bytes) -> list[Frame]:
        """Take bytes.

        Raises:
            RequestError: they are no UTF-8, no events, or one that is too long.
        """
        try:
            text = self._decoder.decode(chunk)
        except UnicodeDecodeError:
            raise RequestError("unsupported_answer", "the stream is no UTF-8") from None
        if not text:
            return []
        if not self._begun:
            text, self._begun = text.removeprefix("\ufeff"), True
        if self._after_return:
            text = text.removeprefix("\n")
        self._after_return = text.endswith("\r")
        first, *others = _BREAK.split(text)
        self._line.append(first)
        self._size += len(text)
        frames: list[Frame] = []
        for line in others:
            frames += self._take_line("".join(self._line))
            self._line = [line]
        if self._size > self._limit:
            raise RequestError("limit.text", "the stream is over the limit `limits.text`")
        return frames

    def close(self) -> None:
        """End the stream.

        Raises:
            RequestError: it broke off within an event.
        """
        if self._data or "".join(self._line).strip() or self._decoder.getstate()[0]:
            raise RequestError("unsupported_answer", "the stream broke off within an event")

    def _take_line(self, line: str) -> list[Frame]:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field and field not in _UNTOLD:
            raise RequestError("unsupported_answer", "the stream has a line that is no field of an event")
        return []

    def _dispatch(self) -> list[Frame]:
        data, name = "\n".join(self._data), self._name
        told = bool(self._data)
        self._data, self._name, self._size = [], "", 0
        return [Frame(name, data if data == DONE else _object(data))] if told else []


def frame(data: Any, name: str = "") -> bytes:
    """One event as bytes.

    Args:
        data: what it says: `DONE`, or a value that is written as JSON.
        name: its type, if it has one.

    Raises:
        RequestError: the type's name could be read as something else.
    """
    if name and not _NAME.fullmatch(name):
        raise RequestError("unsupported_answer", "the stream has an event without a proper name")
    told = data if data == DONE else json.dumps(data, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {told}\n\n".encode()


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise RequestError("limit.depth", "the stream is nested over the limit `limits.depth`") from None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RequestError("unsupported_answer", "the stream has an event that is no JSON object")
    return value


def _refuse(_: str) -> float:
    raise ValueError
