"""Reads one HTTP/1.1 answer from bytes, whoever brings them (RFC 9112); what is not exactly one is refused.

Strict, because a connection is used again: bytes that belong to no answer could be taken for the next one's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from checkrein.errors import EngineFailure, FailureCause

__all__ = ["MAX_BODY", "AnswerReader", "Response"]

MAX_BODY: Final = 8 * 1024 * 1024
"""Most bytes of an answer's body."""

_MAX_HEAD: Final = 32 * 1024
_MAX_LINE: Final = 256
_PROTOCOL: Final = b"HTTP/1."
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e]*)?")
_EMPTY: Final = frozenset({204, 304})
_SWITCHED: Final = 101
_FINAL: Final = 200


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer.

    Args:
        status: its status code.
        body: its body; kept out of `repr`, because a policy may echo a prompt.
    """

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Response(status={self.status})"


class AnswerReader:
    """Feeds on bytes until an answer is whole.

    Attributes:
        began: whether anything has come.
        keep: whether the connection may be used again; counts once the answer is whole.
    """

    def __init__(self) -> None:
        self.began = False
        self.keep = False
        self._status = 0
        self._buffer = bytearray()
        self._body = bytearray()
        self._left = 0
        self._seen = 0
        self._whole = False
        self._step: Callable[[], bool] = self._head

    def feed(self, data: bytes) -> bool:
        """Take bytes; tell whether the answer is whole.

        Raises:
            EngineFailure: `invalid_answer`: this is no HTTP/1.1 answer, or more than one.
        """
        self.began = True
        self._buffer += data
        while not self._whole and self._step():
            pass
        if self._whole and self._buffer:
            raise _invalid("bytes follow the answer")
        return self._whole

    def end(self) -> bool:
        """The connection has ended; tell whether the answer is whole, as one without a length is now."""
        if self._step == self._rest:
            self._finish(self._buffer)
        return self._whole

    def response(self) -> Response:
        """The answer, once it is whole."""
        return Response(self._status, bytes(self._body))

    def _head(self) -> bool:
        buffer = self._buffer
        if not _PROTOCOL.startswith(bytes(buffer[: len(_PROTOCOL)])):
            raise _invalid("what answers speaks no HTTP/1.1")
        end = buffer.find(b"\r\n\r\n", max(0, self._seen - 3))
        self._seen = len(buffer)
        if end < 0:
            first = buffer.find(b"\n")
            if first > 0 and buffer[first - 1 : first] != b"\r":
                raise _invalid("the head's lines do not end in CR LF")
        if end > _MAX_HEAD or (end < 0 and len(buffer) > _MAX_HEAD):
            raise _invalid(f"the head is over `{_MAX_HEAD}` bytes")
        if end < 0:
            return False
        status, *lines = bytes(buffer[:end]).split(b"\r\n")
        del buffer[: end + 4]
        self._seen = 0
        self._read_head(status, [_field(line) for line in lines])
        return True

    def _read_head(self, line: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        match = _STATUS.fullmatch(line)
        if not match or match[2] == b"%d" % _SWITCHED:
            raise _invalid("the status line is none, or switches protocols")
        self._status = int(match[2])
        if self._status < _FINAL:
            return  # an interim answer; the real one follows
        tokens = {
            token.strip().lower() for value in _all(fields, b"connection") for token in value.split(b",")
        }
        self.keep = match[1] == b"1" and b"close" not in tokens
        lengths, codings = {*_all(fields, b"content-length")}, _all(fields, b"transfer-encoding")
        if any(one.lower() != b"identity" for one in _all(fields, b"content-encoding")):
            raise _invalid("the body is compressed, though nobody asked for that")
        if len(lengths) > 1 or (lengths and codings) or (codings and codings[0].lower() != b"chunked"):
            raise _invalid("the head gives the body no one length")
        if len(codings) > 1 or not all(_LENGTH.fullmatch(one) for one in lengths):
            raise _invalid("the head gives the body no one length")
        if self._status in _EMPTY:
            self._finish(b"")
        elif codings:
            self._step = self._chunk_size
        elif lengths:
            self._left = int(lengths.pop())
            self._fits(self._left)
            self._step = self._counted
        else:
            self.keep = False
            self._step = self._rest

    def _counted(self) -> bool:
        if len(self._buffer) < self._left:
            return False
        self._finish(self._buffer[: self._left])
        del self._buffer[: self._left]
        return True

    def _rest(self) -> bool:
        self._fits(len(self._buffer))
        return False

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK.fullmatch(line)
        if not match:
            raise _invalid("a chunk has no size")
        self._left = int(match[1], 16)
        self._fits(len(self._body) + self._left)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        if len(self._buffer) < self._left + 2:
            return False
        if self._buffer[self._left : self._left + 2] != b"\r\n":
            raise _invalid("a chunk is longer than its size")
        self._body += self._buffer[: self._left]
        del self._buffer[: self._left + 2]
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            self._seen += len(line)
            _field(line)
            if self._seen > _MAX_HEAD:
                raise _invalid(f"the trailer is over `{_MAX_HEAD}` bytes")
        else:
            self._finish(self._body)
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, _MAX_LINE + 2)
        if end < 0:
            if len(self._buffer) > _MAX_LINE:
                raise _invalid(f"a line of the body's framing is over `{_MAX_LINE}` bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _fits(self, size: int) -> None:
        if size > MAX_BODY:
            raise _invalid(f"the answer is over `{MAX_BODY}` bytes")

    def _finish(self, body: bytes | bytearray) -> None:
        if body is self._buffer:
            self._buffer = bytearray()
        self._body = bytearray(body)
        self._whole = True


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise _invalid("a header field is none")
    return name.lower(), value.strip(b" \t")


def _all(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


def _invalid(problem: str) -> EngineFailure:
    return EngineFailure(FailureCause.INVALID_ANSWER, f"{problem}; check what answers at `url`")
