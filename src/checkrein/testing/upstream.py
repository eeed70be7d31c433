"""A model provider for tests: a loopback server that speaks OpenAI's API, counts and remembers."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from time import monotonic
from types import TracebackType
from typing import Any, Final

from .completions import chat, complete, embed, read_reply, respond, strings_of

__all__ = ["Failure", "Upstream", "UpstreamRequest"]

_MAX_BODY: Final = 16 * 1024 * 1024
_ANSWERS: Final = {"/v1/chat/completions": chat, "/v1/completions": complete, "/v1/responses": respond}


@dataclass(frozen=True, slots=True)
class Failure:
    """A reply that is an HTTP error.

    Args:
        status: the status code, for instance 503.
        body: the JSON body; by default an error in OpenAI's shape.
        headers: further headers, for instance `{"retry-after": "0"}`.
    """

    status: int = 500
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """A request that reached the upstream.

    Args:
        path: for instance `/v1/chat/completions`, with its query.
        body: the JSON object that was sent; empty when it was none.
        headers: by lower-case name.
        raw: the body as it came.
    """

    path: str
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    raw: bytes = field(repr=False)


OneReply = str | Mapping[str, Any] | Failure
Reply = OneReply | Callable[[dict[str, Any]], OneReply]


class Upstream:
    """An OpenAI-compatible server on 127.0.0.1, for the clients that the code under test really uses.

        with Upstream(reply="The number is 123-45-6789.") as upstream:
            model = ChatOpenAI(base_url=upstream.url, api_key="none")
            ...
        assert len(upstream.requests) == 1
        assert "secret" not in upstream.texts

    It answers `/v1/chat/completions` and `/v1/completions` (streamed or not, `n` choices),
    `/v1/responses` (streamed or not), `/v1/embeddings` and `/v1/models`. Its tokens are words. A reply is

    * a string: the text;
    * `{"name": ..., "arguments": {...}}`: a tool call; arguments that are a string go out unchanged;
    * `{"text": ..., "tool_calls": [...], "finish_reason": ...}`: all of them, each optional;
    * `{"choices": [...]}`: one reply per choice, the last repeats;
    * `Failure(503)`: an HTTP error;
    * a function of the request's body that returns one of these; what it raises is raised where the `with`
      ends, and the client sees status 400;
    * a list of all these: one per request, the last repeats.

    Args:
        reply: what to answer; may be assigned later, too.
        models: the names that `/v1/models` lists; any name is answered.
        chunk_size: code points of text per event of a stream.
        timeout: seconds until a silent connection is given up.

    Raises:
        TypeError: `reply` is none of the above.
    """

    def __init__(
        self,
        reply: Reply | Sequence[Reply] = "ok",
        *,
        models: Sequence[str] = ("gpt-4o", "gpt-4o-mini"),
        chunk_size: int = 5,
        timeout: float = 30.0,
    ) -> None:
        self.reply = reply
        self.models = tuple(models)
        self.chunk_size = chunk_size
        self.timeout = timeout
        self._server: _Server | None = None
        self._url: str | None = None
        self._idle = threading.Condition()
        self._lifecycle = threading.RLock()
        self._answering = 0
        self._cut_after: int | None = None
        self._pause_after: int | None = None
        self._resumed = threading.Event()
        self._errors: list[Exception] = []
        self.clear()

    def __enter__(self) -> Upstream:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self._errors:
            raise self._errors[0]

    @property
    def reply(self) -> Any:
        """What is answered; assigning starts a list anew."""
        return self._reply

    @reply.setter
    def reply(self, reply: Reply | Sequence[Reply]) -> None:
        replies = tuple(reply) if isinstance(reply, list | tuple) else (reply,)
        if not replies:
            raise TypeError("an empty list is no reply; give it at least one")
        for one in replies:
            if not callable(one) and not isinstance(one, Failure):
                read_reply(one)
        # One assignment: a request that is being answered sees the old list or the new one.
        self._reply, self._replies = reply, _Replies(replies)

    @property
    def url(self) -> str:
        """The base URL for clients: `http://127.0.0.1:PORT/v1`; after `stop` nothing listens there."""
        if self._url is None:
            raise RuntimeError("the upstream was not started; use `with Upstream() as upstream` or `start()`")
        return self._url

    @property
    def requests(self) -> list[UpstreamRequest]:
        """A copy of the requests so far, in the order in which they came."""
        with self._idle:
            return list(self._requests)

    @property
    def texts(self) -> str:
        """Every string in every body so far, a line each: `"secret" not in upstream.texts`."""
        return "\n".join(text for request in self.requests for text in strings_of(request.body))

    def start(self) -> Upstream:
        """Listen on a free port; on a started upstream nothing happens."""
        with self._lifecycle:
            if self._server is None:
                self._server = _Server(self)
                self._url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
                self._server.start()
        return self

    def stop(self) -> None:
        """Cut every connection, free the port and end every thread; may be called again."""
        with self._lifecycle:
            server, self._server = self._server, None
        if server is not None:
            server.stop()

    def clear(self) -> None:
        """Forget the requests and count from zero."""
        with self._idle:
            self._requests: list[UpstreamRequest] = []
            self.completed = self.aborted = self.chunks = 0

    def fail(self, status: int = 500) -> None:
        """Answer every further request with an HTTP error, until `reply` is assigned."""
        self.reply = Failure(status)

    def hang_up_after(self, chunks: int | None) -> None:
        """Cut every further answer after this many events of a stream, or in the middle if it is none.

        Args:
            chunks: how many events are sent; None = answers are whole again.
        """
        self._cut_after = chunks

    def pause_after(self, chunks: int) -> None:
        """Hold every further stream after this many events until `resume`, or until the client leaves."""
        self._resumed.clear()
        self._pause_after = chunks

    def resume(self) -> None:
        """Let held streams go on, and hold no more."""
        self._pause_after = None
        self._resumed.set()

    def wait(self, timeout: float = 10.0) -> None:
        """Block until no request is being answered: afterwards the counts stand still.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: one still is.
        """
        with self._idle:
            if not self._idle.wait_for(lambda: self._answering == 0, timeout):
                raise TimeoutError(f"{self._answering} requests are still being answered")

    @contextmanager
    def _answers_one(self) -> Iterator[None]:
        with self._idle:
            self._answering += 1
        try:
            yield
        except OSError:
            with self._idle:
                self.aborted += 1
            raise
        finally:
            with self._idle:
                self._answering -= 1
                self._idle.notify_all()

    def _remember(self, request: UpstreamRequest) -> None:
        with self._idle:
            self._requests.append(request)

    def _count(self, *, chunks: int = 0, completed: int = 0) -> None:
        with self._idle:
            self.chunks += chunks
            self.completed += completed

    def _answer(self, request: UpstreamRequest) -> Any:
        """A `Failure`, a JSON value or an iterator of events."""
        path = request.path.partition("?")[0]
        if path == "/v1/models":
            models = [{"id": one, "object": "model", "created": 0, "owned_by": "test"} for one in self.models]
            return {"object": "list", "data": models}
        if path not in _ANSWERS and path != "/v1/embeddings":
            return _failure(404, f"no such path: {path}")
        if not request.body:
            return _failure(400, "the body must be a JSON object")
        body = dict(request.body)
        try:
            reply = self._replies.next()
            reply = reply(body) if callable(reply) else reply
            messages = () if isinstance(reply, Failure) else read_reply(reply)
        except Exception as error:  # noqa: BLE001 -- the test's own function: raised again where the `with` ends
            self._errors.append(error)
            return _failure(400, f"the reply of the test raised `{type(error).__name__}`")
        if isinstance(reply, Failure):
            return reply
        try:
            return (
                embed(body) if path == "/v1/embeddings" else _ANSWERS[path](body, messages, self.chunk_size)
            )
        except ValueError as error:
            return _failure(400, str(error))


def _failure(status: int, message: str) -> Failure:
    code = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}.get(status)
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 -- HTTP
    return Failure(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})


class _Replies:
    def __init__(self, replies: Sequence[Reply]) -> None:
        self._left = iter(replies)
        self._last = replies[-1]
        self._lock = threading.Lock()

    def next(self) -> Reply:
        with self._lock:
            return next(self._left, self._last)


class _Server(socketserver.TCPServer):
    """A thread per connection, each of them known, so that `stop` ends them without polling."""

    request_queue_size = 128

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.upstream = upstream
        self._stopping = False
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._accepting = threading.Thread(target=self._accept, name="upstream", daemon=True)

    def start(self) -> None:
        self._accepting.start()

    def stop(self) -> None:
        self._stopping = True
        # Wakes the accepting thread; `verify_request` turns this connection away.
        with suppress(OSError):
            socket.create_connection(self.server_address[:2], timeout=1).close()
        self._accepting.join()
        self.server_close()
        deadline = monotonic() + 5
        for thread, connection in self._connections.items():
            with suppress(OSError):  # it may have ended by itself
                connection.shutdown(socket.SHUT_RDWR)
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - monotonic()))

    def verify_request(self, *_: Any) -> bool:
        return not self._stopping

    def process_request(self, request: Any, client_address: Any) -> None:
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
    server: _Server

    def setup(self) -> None:
        self.upstream = self.server.upstream
        self.timeout = self.upstream.timeout
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output is its own."""

    def do_GET(self) -> None:
        with self.upstream._answers_one():
            self._answer(b"")

    def do_POST(self) -> None:
        with self.upstream._answers_one():
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()):
                self.close_connection = True
                self._send(_failure(411, "a body needs a Content-Length"))
            elif len(length) > 9 or int(length) > _MAX_BODY:
                self.close_connection = True
                self._send(_failure(413, f"a body has at most {_MAX_BODY} bytes"))
            else:
                raw = self.rfile.read(int(length))
                if len(raw) < int(length):
                    raise ConnectionAbortedError
                self._answer(raw)

    def _answer(self, raw: bytes) -> None:
        try:
            body = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            body = {}
        request = UpstreamRequest(
            path=self.path,
            body=body if isinstance(body, dict) else {},
            headers={name.lower(): value for name, value in self.headers.items()},
            raw=raw,
        )
        self.upstream._remember(request)
        answer = self.upstream._answer(request)
        if isinstance(answer, Failure | dict):
            self._send(answer)
        else:
            self._stream(answer, done=not request.path.startswith("/v1/responses"))

    def _send(self, answer: Failure | dict[str, Any]) -> None:
        failure = answer if isinstance(answer, Failure) else Failure(200, answer)
        told = failure if failure.body is not None else _failure(failure.status, "the test says so")
        payload = json.dumps(told.body).encode()
        self.send_response(failure.status)
        for name, value in failure.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.upstream._cut_after is not None:
            self.wfile.write(payload[: len(payload) // 2])
            self.close_connection = True
            return
        # Counted first: whoever has the whole answer finds it counted.
        self.upstream._count(completed=1)
        self.wfile.write(payload)

    def _stream(self, events: Iterator[dict[str, Any]], *, done: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        for sent, event in enumerate(events):
            if sent == self.upstream._cut_after:
                self.close_connection = True
                return
            if sent == self.upstream._pause_after:
                self._hold()
            name = "" if done else f"event: {event['type']}\n"
            self.upstream._count(chunks=1)
            self._write(f"{name}data: {json.dumps(event)}\n\n")
        if self.upstream._cut_after is not None and self.upstream._cut_after > sent:
            self.close_connection = True
            return
        self.upstream._count(completed=1)
        self._write("data: [DONE]\n\n" if done else "", last=True)

    def _write(self, text: str, *, last: bool = False) -> None:
        data = text.encode()
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self.wfile.write(chunk + (b"0\r\n\r\n" if last else b""))

    def _hold(self) -> None:
        deadline = monotonic() + self.upstream.timeout
        self.connection.settimeout(0.005)
        try:
            while not self.upstream._resumed.is_set():
                with suppress(TimeoutError):
                    if not self.connection.recv(1, socket.MSG_PEEK) or monotonic() > deadline:
                        raise ConnectionAbortedError
        finally:
            self.connection.settimeout(self.upstream.timeout)
