"""The transport of the test upstream: connections, framing, cutting and holding."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import Any, Final

from .exchange import Answer, Failure, UpstreamRequest, failure
from .traffic import Traffic

__all__ = ["Server"]

_MAX_BODY: Final = 16 * 1024 * 1024
_MAX_DIGITS: Final = len(str(_MAX_BODY))


class Server(socketserver.TCPServer):
    """A thread per connection, each of them known, so that `stop` ends them all without polling.

    Args:
        answer: called in the connection's thread.
        traffic: where everything is counted.
        silence: seconds until a silent connection is given up.
    """

    request_queue_size = 128

    def __init__(self, answer: Callable[[UpstreamRequest], Answer], traffic: Traffic, silence: float) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answer = answer
        self.traffic = traffic
        self.silence = silence
        self._stopping = False
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._accepting = threading.Thread(target=self._accept, name="upstream", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._accepting.start()

    def stop(self) -> None:
        """Free the port, cut every connection, end every thread.

        Raises:
            RuntimeError: an answer is still being thought up after 5 seconds.
        """
        self._stopping = True
        # Wakes the accepting thread, which then turns this connection away.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        self._accepting.join()
        self.server_close()
        for connection in self._connections.values():
            with suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)
        deadline = monotonic() + 5
        for thread in self._connections:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - monotonic()))
        if any(thread.is_alive() for thread in self._connections if thread is not threading.current_thread()):
            raise RuntimeError("a function given as `reply` does not return; let it end before `stop`")

    def verify_request(self, *_: Any) -> bool:
        """Turn away whoever comes while stopping."""
        return not self._stopping

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection its thread."""
        self._connections = {thread: one for thread, one in self._connections.items() if thread.is_alive()}
        thread = threading.Thread(
            target=self._talk, args=(request, client_address), name="upstream-connection", daemon=True
        )
        self._connections[thread] = request
        thread.start()

    def _accept(self) -> None:
        while not self._stopping:
            self.handle_request()

    def _talk(self, request: Any, client_address: Any) -> None:
        try:
            with suppress(OSError):  # the client left, or said nothing for too long
                self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)


class _Connection(BaseHTTPRequestHandler):
    """One client's connection: keep-alive, bounded in time and size."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.traffic = self.server.traffic
        self.connection.settimeout(self.server.silence)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output is its own."""

    def _serve(self) -> None:
        with self.traffic.one_answer():
            told = self.headers.get("Content-Length", "0")
            length = int(told) if told.isascii() and told.isdigit() and len(told) <= _MAX_DIGITS else None
            readable = length is not None and length <= _MAX_BODY and "Transfer-Encoding" not in self.headers
            # What is refused or never comes to its end has arrived all the same, and is remembered.
            try:
                raw = self.rfile.read(length) if readable else b""
            except OSError:
                self._remember(b"")
                raise
            request = self._remember(raw)
            if not readable:
                body = failure(413, f"a body has a Content-Length, of at most {_MAX_BODY} bytes").body
                self._send(413, body, {"Connection": "close"})
            elif len(raw) != length:
                raise ConnectionAbortedError
            else:
                self._answer(request)

    do_DELETE = do_GET = do_PATCH = do_POST = do_PUT = _serve  # noqa: N815 -- `http.server` names them

    def _remember(self, raw: bytes) -> UpstreamRequest:
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        request = UpstreamRequest(
            path=self.path,
            body=body if isinstance(body, dict) else {},
            headers={name.lower(): value for name, value in self.headers.items()},
            raw=raw,
        )
        self.traffic.remember(request)
        return request

    def _answer(self, request: UpstreamRequest) -> None:
        answer = self.server.answer(request)
        if isinstance(answer, Failure):
            default = failure(answer.status, "the test says so").body
            self._send(answer.status, default if answer.body is None else answer.body, answer.headers)
        elif isinstance(answer, bytes):
            self._begin(200, {"Content-Type": "audio/mpeg", "Content-Length": len(answer)})
            self._finish(answer)
        elif isinstance(answer, dict):
            self._send(200, answer, {})
        else:
            self._stream(answer)

    def _send(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        payload = json.dumps(body).encode()
        self._begin(status, {**headers, "Content-Type": "application/json", "Content-Length": len(payload)})
        if self.traffic.cut_after is None:
            self._finish(payload)
        else:
            self.wfile.write(payload[: len(payload) // 2])
            self.close_connection = True

    def _stream(self, events: Iterator[dict[str, Any]]) -> None:
        self._begin(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        number, event = 0, dict[str, Any]()
        for number, event in enumerate(events, start=1):
            if not self._let_through(number - 1):
                return
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.traffic.count(chunks=1)
            self.wfile.write(_chunk(f"{name}data: {json.dumps(event)}\n\n"))
        if self._let_through(number):
            # OpenAI's older APIs alone end so: what Anthropic and the responses say has a type.
            done = b"" if {"type", "candidates"} & event.keys() else _chunk("data: [DONE]\n\n")
            self._finish(done + b"0\r\n\r\n")

    def _begin(self, status: int, headers: Mapping[str, Any]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def _finish(self, data: bytes) -> None:
        self.traffic.count(completed=1)
        try:
            self.wfile.write(data)
        except OSError:
            self.traffic.count(completed=-1)
            raise

    def _let_through(self, sent: int) -> bool:
        """Cut or hold a stream that has come this far; whether it goes on."""
        if sent == self.traffic.cut_after:
            self.close_connection = True
            return False
        if sent == self.traffic.pause_after:
            self._hold()
        return True

    def _hold(self) -> None:
        deadline = monotonic() + self.server.silence
        # Short looks instead of a wait: both `resume` and the client's leaving end it.
        self.connection.settimeout(0.005)
        try:
            while not self.traffic.resumed.wait(0.005):
                gone = monotonic() > deadline
                with suppress(TimeoutError):
                    gone |= not self.connection.recv(1, socket.MSG_PEEK)
                if gone:
                    raise ConnectionAbortedError
        finally:
            self.connection.settimeout(self.server.silence)


def _chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)
