"""One connection to OPA, in the clear or by TLS: never blocks, and belongs to no thread and no event loop."""

from __future__ import annotations

import socket
import ssl
from time import monotonic
from typing import Final

from checkrein.errors import EngineFailure, FailureCause
from checkrein.flow import Flow

from .waiting import Ready

__all__ = ["GRACE", "MAX_IDLE", "Connection", "late"]

MAX_IDLE: Final = 30.0
"""Seconds after which an unused connection is not used again: what stands between may have forgotten it."""

GRACE: Final = 1.0
"""Seconds after the first look past a deadline for which what is there is still read: it had come by then.

Whoever sends without a pause would be read from for ever otherwise.
"""

_PIECE: Final = 65536


class Connection:
    """A connected socket.

    Args:
        sock: connected and not blocking.
        tls: by which to speak TLS, or None.
        host: the name that the certificate must have.

    Attributes:
        spoiled: the other end spoke or ended before its turn: not to be used again.
    """

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext | None = None, host: str = "") -> None:
        self.sock = sock
        self.spoiled = False
        self._used_at = monotonic()
        self._late_at: float | None = None
        self._came = b""
        self._ended = False
        self._tls: ssl.SSLObject | None = None
        if tls is not None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def handshake(self, deadline: float) -> Flow[None]:
        """Agree on keys, where it speaks TLS.

        Raises:
            EngineFailure: `timeout`.
            OSError: the connection failed, or (`ssl.SSLError`) the other end is not who it should be.
        """
        while self._tls is not None:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                yield from self._write(self._outgoing.read(), deadline)
                yield from self._wait(deadline)
            except ssl.SSLError:
                # The other end is told why, if it still listens.
                yield from self._write(self._outgoing.read(), deadline)
                raise
            else:
                yield from self._write(self._outgoing.read(), deadline)
                return

    def send(self, data: bytes, deadline: float) -> Flow[None]:
        """Send; stops early, `spoiled`, when the other end speaks or ends before it has heard everything.

        Raises:
            EngineFailure: `timeout`.
        """
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        yield from self._write(data, deadline)

    def receive(self, deadline: float) -> Flow[bytes]:
        """Receive what comes next; nothing (`b""`) once the other end has ended.

        Raises:
            EngineFailure: `timeout`.
            OSError: the connection failed.
        """
        while not self._came and not self._ended:
            yield from self._wait(deadline)
        came, self._came = self._came, b""
        return came

    def reusable(self) -> bool:
        """Whether nothing has happened since its last answer: no end, no byte that nobody asked for."""
        if self._came or self._ended or self.stale():
            return False
        try:
            return self._peek() is None
        except OSError:
            return False

    def stale(self) -> bool:
        """Whether it was not used for longer than `MAX_IDLE`."""
        return monotonic() - self._used_at > MAX_IDLE

    def speaks_unasked(self) -> bool:
        """Whether a new connection, in the clear, has bytes that can be no answer."""
        try:
            return self._tls is None and bool(self._peek())
        except OSError:
            return False  # asking will say why

    def rest(self) -> None:
        """Remember that it was used just now."""
        self._used_at = monotonic()
        self._late_at = None

    def close(self) -> None:
        """Close this process's end; may be called again."""
        self.sock.close()

    def _peek(self) -> bytes | None:
        """A byte that is there, nothing (`b""`) at the end, or None."""
        try:
            return self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None

    def _write(self, data: bytes, deadline: float) -> Flow[None]:
        left = memoryview(data)
        while left:
            try:
                left = left[self.sock.send(left) :]
            except BlockingIOError:
                yield Ready(self.sock, deadline, write=True)
                # Who refuses a large question answers before it has been sent.
                if self._listen():
                    self.spoiled = True
                    return
                _not_late(deadline)
            except OSError:
                # Its answer may still be there to read; if none is, reading says why.
                self.spoiled = True
                return

    def _wait(self, deadline: float) -> Flow[None]:
        """Wait for something to read, and read it."""
        yield Ready(self.sock, deadline)
        if not self._listen() or self._lingers(deadline):
            _not_late(deadline)

    def _lingers(self, deadline: float) -> bool:
        """Whether it has been read from for long since its deadline."""
        if not late(deadline):
            return False
        if self._late_at is None:
            self._late_at = monotonic()
            return False
        return monotonic() - self._late_at >= GRACE

    def _listen(self) -> bool:
        """Read what is there; tell whether the other end has spoken or ended."""
        try:
            raw = self.sock.recv(_PIECE)
        except BlockingIOError:
            return False
        if self._tls is None:
            self._came += raw
            self._ended = not raw
            return True
        if raw:
            self._incoming.write(raw)
        else:
            self._incoming.write_eof()
            self._ended = True
        return self._decrypt(self._tls) or self._ended

    def _decrypt(self, tls: ssl.SSLObject) -> bool:
        if tls.version() is None:
            return True  # still shaking hands: the bytes are for `do_handshake`
        pieces = []
        try:
            while piece := tls.read(_PIECE):
                pieces.append(piece)
            self._ended = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self._ended = True
        self._came += b"".join(pieces)
        return bool(pieces)


def late(deadline: float) -> bool:
    """Whether a deadline has passed."""
    return monotonic() >= deadline


def _not_late(deadline: float) -> None:
    if late(deadline):
        raise EngineFailure(FailureCause.TIMEOUT, "no answer within `timeout`")
