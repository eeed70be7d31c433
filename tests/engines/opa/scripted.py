"""A server that does what a test tells it to with each question: resets, half answers, nonsense, silence."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self


def answer(body: bytes, *, status: str = "200 OK", version: str = "1.1", headers: str = "") -> bytes:
    """A well-formed answer."""
    head = f"HTTP/{version} {status}\r\nContent-Type: application/json\r\n{headers}"
    return head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@dataclass
class Call:
    """One question, or (`request` empty) a connection before its first byte is read.

    Args:
        number: which question of the server it is, from 1.
        connection: on which connection it came, from 1.
        request: its head and body.
    """

    number: int
    connection: int
    request: bytes
    sock: socket.socket
    stop: threading.Event = field(repr=False)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def drip(self, data: bytes, pause: float) -> int:
        """Send byte by byte; tell how many left."""
        for sent, byte in enumerate(data):
            if self.stop.wait(pause):
                return sent
            try:
                self.sock.sendall(bytes([byte]))
            except OSError:
                return sent
        return len(data)

    def close(self) -> None:
        """End the connection in order."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """End the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang(self) -> None:
        """Say nothing more until the server stops."""
        self.stop.wait(60)


class ScriptedServer:
    """Runs a script for each question.

    Args:
        script: what to do with a question; it may end the connection.
        greet: what to do with a new connection before anything is read.
    """

    def __init__(
        self, script: Callable[[Call], object], greet: Callable[[Call], object] | None = None
    ) -> None:
        self._script = script
        self._greet = greet
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self.questions: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            self._run(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, connection: int) -> None:
        try:
            if self._greet is not None:
                self._greet(Call(0, connection, b"", sock, self._stop))
            while sock.fileno() >= 0 and (request := self._read(sock)):
                with self._lock:
                    self.questions.append(request)
                    number = len(self.questions)
                self._script(Call(number, connection, request, sock, self._stop))
        except OSError:
            pass
        finally:
            self._open.discard(sock)
            sock.close()

    def _read(self, sock: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            piece = sock.recv(65536)
            if not piece:
                return b""
            request += piece
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")),
            0,
        )
        while len(body) < length:
            piece = sock.recv(65536)
            if not piece:
                return b""
            body += piece
        return head + b"\r\n\r\n" + body


TRUE = b'{"result":true}'
PERMIT = answer(TRUE)


def permits(call: Call) -> None:
    """Permit whatever is asked."""
    call.send(PERMIT)


def says(data: bytes) -> Callable[[Call], None]:
    """What sends these bytes whatever is asked."""
    return lambda call: call.send(data)
