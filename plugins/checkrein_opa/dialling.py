"""Opens connections: resolves the name, tries its addresses in turn and shakes hands, within one deadline."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from checkrein.errors import EngineFailure, FailureCause
from checkrein.flow import Flow

from .addressing import Address
from .connection import Connection, late
from .waiting import Await, Ready

__all__ = ["Dialler", "Lost"]

_PENDING: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})
# Used up here, not there: a flood of calls can do that, so it is never taken for an outage of OPA.
_USED_UP: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class Lost(Exception):  # noqa: N818 -- what happened, not what is wrong
    """The connection failed before an answer began: the question may be asked again."""


@dataclass(frozen=True, slots=True)
class _Place:
    family: int
    where: Any


class Dialler:
    """Opens connections to one address.

    Args:
        address: where.
        tls: by which to speak TLS, or None.
    """

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._tls = tls
        self._resolving: Future[list[_Place]] | None = None
        self._lock = threading.Lock()

    def dial(self, deadline: float) -> Flow[Connection]:
        """Open one.

        Raises:
            Lost: nobody answers there.
            EngineFailure: `timeout`; `engine_error` when this machine has no more sockets, or when the other
                end is not who it should be.
        """
        places = yield from self._resolve(deadline)
        for index, place in enumerate(places):
            # Each address has its share, so that a silent one leaves time for the others.
            share = monotonic() + max(0.0, deadline - monotonic()) / (len(places) - index)
            try:
                connection = yield from self._open(place, share)
            except (Lost, EngineFailure) as error:
                outage = isinstance(error, Lost) or error.cause is FailureCause.TIMEOUT
                if not outage or index == len(places) - 1:
                    raise
            else:
                return connection
        raise Lost("the name has no address")

    def _open(self, place: _Place, deadline: float) -> Flow[Connection]:
        connection: Connection | None = None
        done = False
        try:
            sock = socket.socket(place.family, socket.SOCK_STREAM)
        except OSError as error:
            raise _failed(error) from None
        try:
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield from _connect(sock, place.where, deadline)
            connection = Connection(sock, self._tls, self._address.host)
            yield from connection.handshake(deadline)
            done = True
        except ssl.SSLEOFError:
            raise Lost("the connection ended during the TLS handshake") from None
        except ssl.SSLError as error:
            raise EngineFailure(
                FailureCause.ENGINE_ERROR,
                f"TLS: `{error.reason or 'handshake failed'}`; check `url` and `tls`",
            ) from None
        except OSError as error:
            raise _failed(error) from None
        finally:
            if not done:
                sock.close()
        return connection

    def _resolve(self, deadline: float) -> Flow[list[_Place]]:
        if self._address.literal:
            return _look_up(self._address)
        with self._lock:
            future = self._resolving
            if future is None:
                future = self._resolving = Future()
                # The system's resolver knows no deadline: one thread at most hangs in it, never a caller.
                self._start(future)
        while not future.done():
            yield Await(future, deadline)
            if not future.done() and late(deadline):
                raise EngineFailure(FailureCause.TIMEOUT, "the name was not resolved within `timeout`")
        return future.result()

    def _start(self, future: Future[list[_Place]]) -> None:
        thread = threading.Thread(target=self._look_up_into, args=(future,), daemon=True)
        thread.name = "checkrein-opa-resolver"
        try:
            thread.start()
        except RuntimeError:
            self._resolving = None
            failure = EngineFailure(FailureCause.ENGINE_ERROR, "this machine starts no more threads")
            future.set_exception(failure)

    def _look_up_into(self, future: Future[list[_Place]]) -> None:
        try:
            future.set_result(_look_up(self._address))
        except Exception as error:  # noqa: BLE001 -- whoever waits is told
            future.set_exception(error)
        finally:
            with self._lock:
                self._resolving = None


def _look_up(address: Address) -> list[_Place]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Lost("the name does not resolve") from None
    return [_Place(family, where) for family, _, _, _, where in found]


def _connect(sock: socket.socket, where: Any, deadline: float) -> Flow[None]:
    code = sock.connect_ex(where)
    while code in _PENDING:
        yield Ready(sock, deadline, write=True)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            try:
                sock.getpeername()
            except OSError:
                if late(deadline):
                    raise EngineFailure(FailureCause.TIMEOUT, "no connection within `timeout`") from None
                code = errno.EINPROGRESS
    if code:
        raise OSError(code, "")


def _failed(error: OSError) -> Lost | EngineFailure:
    name = errno.errorcode.get(error.errno or 0, "unknown")
    if error.errno in _USED_UP:
        return EngineFailure(
            FailureCause.ENGINE_ERROR,
            f"this machine opens no more connections: `{name}`; lower `connections`",
        )
    return Lost(f"no connection: `{name}`")
