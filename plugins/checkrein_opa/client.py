"""Asks over kept connections: on which one, and what is asked again."""

from __future__ import annotations

import errno
import ssl
from collections import deque
from time import monotonic

from checkrein.errors import EngineFailure, FailureCause
from checkrein.flow import Flow

from .addressing import Address
from .connection import Connection, late
from .dialling import Dialler, Lost
from .places import Places
from .wire import AnswerReader, Response

__all__ = ["Client"]


class Client:
    """Sends requests and gives back whole answers.

    Between two questions a connection belongs to nobody, so threads and event loops share them all.

    Args:
        address: where to ask.
        tls: by which to speak TLS, or None.
        connections: most connections at once.
        retries: how often a question is asked again when a new connection fails before an answer began.
    """

    def __init__(
        self, address: Address, tls: ssl.SSLContext | None, *, connections: int, retries: int
    ) -> None:
        self._dialler = Dialler(address, tls)
        self._retries = retries
        self._idle: deque[Connection] = deque()
        self._closed = False
        self._answered_at = 0.0
        self._places = Places(connections)

    def ask(self, request: bytes, deadline: float) -> Flow[Response]:
        """Send a request and receive its answer.

        Args:
            request: head and body.
            deadline: by `time.monotonic`, over all tries.

        Raises:
            EngineFailure: there is no whole answer.
        """
        yield from self._enter(deadline)
        try:
            response = yield from self._ask(request, deadline)
        finally:
            self._places.leave()
        self._answered_at = monotonic()
        return response

    def close(self) -> None:
        """Close every idle connection, and the others when they are given back; may be called again."""
        self._closed = True
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took the last one
                break

    def _ask(self, request: bytes, deadline: float) -> Flow[Response]:
        tries, kept = self._retries + 1, True
        while True:
            connection = self._take() if kept else None
            kept = connection is not None
            try:
                if connection is None:
                    connection = yield from self._dial(deadline)
                return (yield from self._exchange(connection, request, deadline))
            except Lost as lost:
                if not kept:
                    tries -= 1
                # A kept connection that was closed meanwhile is replaced, by a new one and not by its like.
                kept = False
                if tries == 0:
                    raise EngineFailure(FailureCause.UNREACHABLE, str(lost)) from None
                if late(deadline):
                    raise EngineFailure(FailureCause.TIMEOUT, f"{lost}, and no time to try again") from None

    def _dial(self, deadline: float) -> Flow[Connection]:
        connection = yield from self._dialler.dial(deadline)
        if connection.speaks_unasked():
            connection.close()
            raise EngineFailure(
                FailureCause.INVALID_ANSWER, "what answers speaks before it is asked; check `url`"
            )
        return connection

    def _exchange(self, connection: Connection, request: bytes, deadline: float) -> Flow[Response]:
        began = whole = done = False
        try:
            yield from connection.send(request, deadline)
            reader = AnswerReader()  # made while OPA thinks
            while not whole:
                data = yield from connection.receive(deadline)
                began = began or bool(data)
                whole = reader.feed(data) if data else reader.end()
                if not data and not whole:
                    raise _cut(began, "the connection ended before the answer did")
            done = reader.keep and not connection.spoiled
        except ssl.SSLError as error:
            raise EngineFailure(
                FailureCause.ENGINE_ERROR, f"TLS: `{error.reason or 'failed'}`; check `url` and `tls`"
            ) from None
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            raise _cut(began, f"the connection failed before the answer ended: `{name}`") from None
        finally:
            if done:
                self._give_back(connection)
            else:
                connection.close()
        return reader.response()

    def _take(self) -> Connection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.reusable():
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        connection.rest()
        self._idle.append(connection)
        self._prune()
        if self._closed:
            self.close()

    def _prune(self) -> None:
        """Close what has not been used since the last rush."""
        while True:
            try:
                oldest = self._idle.popleft()
            except IndexError:
                return
            if not oldest.stale():
                self._idle.appendleft(oldest)
                return
            oldest.close()

    def _enter(self, deadline: float) -> Flow[None]:
        started = monotonic()
        if (yield from self._places.enter(deadline)):
            return
        if self._answered_at >= started:
            # OPA answers, only not all of this at once: a flood of calls, which must not open anything.
            raise EngineFailure(
                FailureCause.ENGINE_ERROR, "no free connection within `timeout`; raise `connections`"
            )
        raise EngineFailure(FailureCause.TIMEOUT, "no answer to anybody within `timeout`")


def _cut(began: bool, problem: str) -> Lost | EngineFailure:  # noqa: FBT001 -- whether an answer did
    return EngineFailure(FailureCause.UNREACHABLE, problem) if began else Lost(problem)
