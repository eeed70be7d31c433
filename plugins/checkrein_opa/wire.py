"""Reads one answer off the wire: HTTP/1.1 as h11 understands it, less what h11 lets pass.

Strict, because a connection is used again: bytes that belong to no answer could be taken for the next one's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import h11

from checkrein.errors import EngineFailure, FailureCause

__all__ = ["MAX_BODY", "AnswerReader", "Response"]

MAX_BODY: Final = 8 * 1024 * 1024
"""Most bytes of an answer's body."""

_MAX_HEAD: Final = 32 * 1024
# With what frames the body: chunks of one byte each would be six times what they hold.
_MAX_ANSWER: Final = MAX_BODY + MAX_BODY // 8
_PROTOCOL: Final = b"HTTP/1."
_VERSIONS: Final = frozenset({b"1.0", b"1.1"})
# Controls, lines that do not end in CR LF, folded lines, a list of lengths: h11 makes something of each, and
# what stands between OPA and us may have made something else of it.
_ODD: Final = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?!\n)|\n[ \t]|\ncontent-length:[^\r\n]*,", re.IGNORECASE
)
# Which question was asked matters only to the answers of HEAD and CONNECT.
_ASKED: Final = (h11.Request(method="GET", target="/", headers=[("Host", "opa")]), h11.EndOfMessage())


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
        keep: whether the connection may be used again; counts once the answer is whole.
    """

    def __init__(self) -> None:
        self.keep = False
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        for event in _ASKED:
            self._http.send(event)
        self._status = 0
        self._heads = bytearray()
        self._body = bytearray()
        self._came = 0
        self._whole = False

    def feed(self, data: bytes) -> bool:
        """Take bytes; tell whether the answer is whole.

        Raises:
            EngineFailure: `invalid_answer`: this is no HTTP/1.1 answer, or more than one.
        """
        self._came += len(data)
        _fits(self._came, _MAX_ANSWER)
        self._http.receive_data(data)
        if not self._status:
            self._heads += data
            if not _PROTOCOL.startswith(bytes(self._heads[: len(_PROTOCOL)])):
                raise _invalid("what answers speaks no HTTP/1.1")
        try:
            self._advance()
        except h11.RemoteProtocolError:
            raise _invalid("what answers breaks the rules of HTTP/1.1") from None
        if not self._status:
            _bounded(self._heads)
        if self._whole and self._rest():
            raise _invalid("bytes follow the answer")
        return self._whole

    def end(self) -> bool:
        """The connection has ended; tell whether the answer is whole, as one without a length is now."""
        self._http.receive_data(b"")
        try:
            self._advance()
        except h11.RemoteProtocolError:  # too early
            return False
        self.keep = False
        return self._whole

    def response(self) -> Response:
        """The answer, once it is whole."""
        return Response(self._status, bytes(self._body))

    def _advance(self) -> None:
        while not self._whole:
            event = self._http.next_event()
            if isinstance(event, h11.Data):
                self._body += event.data
                _fits(len(self._body), MAX_BODY)
            elif isinstance(event, h11.Response):
                self._read_head(event)
            elif isinstance(event, h11.EndOfMessage):
                self._whole = True
                self.keep = self._http.their_state is h11.DONE
            elif not isinstance(event, h11.InformationalResponse):
                return

    def _read_head(self, head: h11.Response) -> None:
        self._status = head.status_code
        raw = bytes(self._heads).removesuffix(self._rest())
        _bounded(raw)
        headers = list(head.headers)
        fields = dict(headers)
        if _ODD.search(raw) or head.http_version not in _VERSIONS:
            raise _invalid("the head is no strict HTTP/1.1")
        if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in headers):
            raise _invalid("the body is compressed, though nobody asked for that")
        if b"transfer-encoding" in fields and (b"content-length" in fields or head.http_version == b"1.0"):
            raise _invalid("the head gives the body no one length")
        _fits(int(fields.get(b"content-length", b"0")), MAX_BODY)

    def _rest(self) -> bytes:
        """What has come and is not read."""
        return self._http.trailing_data[0]


def _bounded(heads: bytes | bytearray) -> None:
    if len(heads) > _MAX_HEAD:
        raise _invalid(f"the head is over `{_MAX_HEAD}` bytes")


def _fits(size: int, most: int) -> None:
    if size > most:
        raise _invalid(f"the answer is over `{MAX_BODY}` bytes")


def _invalid(problem: str) -> EngineFailure:
    return EngineFailure(FailureCause.INVALID_ANSWER, f"{problem}; check what answers at `url`")
