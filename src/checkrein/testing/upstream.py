"""A model provider for tests: a loopback server that speaks OpenAI's API, counts and remembers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from .completions import InvalidRequestError, Message, chat, complete, embed, read_reply, strings_of
from .exchange import Answer, Failure, UpstreamRequest, failure
from .media import draw, moderate, rerank, speak, transcribe
from .messages import count_message_tokens, generate_content, message, stream_content
from .responses import respond
from .serving import Server
from .traffic import Traffic

__all__ = ["Upstream"]

_Answerer = Callable[[Mapping[str, Any], Sequence[Message], int], Answer]

_ANSWERS: Final[Mapping[str, _Answerer]] = {
    "/v1/audio/speech": speak,
    "/v1/audio/transcriptions": transcribe,
    "/v1/chat/completions": chat,
    "/v1/completions": complete,
    "/v1/embeddings": embed,
    "/v1/images/edits": draw,
    "/v1/images/generations": draw,
    "/v1/messages": message,
    "/v1/messages/count_tokens": count_message_tokens,
    "/v1/moderations": moderate,
    "/v1/rerank": rerank,
    "/v1/responses": respond,
}
# Google's API names the model in the path.
_GENERATE: Final[Mapping[str, _Answerer]] = {
    ":generateContent": generate_content,
    ":streamGenerateContent": stream_content,
}
# What is sent there is a form with a file.
_FORMS: Final = frozenset({"/v1/audio/transcriptions", "/v1/images/edits"})

OneReply = str | Mapping[str, Any] | Failure
Reply = OneReply | Callable[[dict[str, Any]], OneReply]


class Upstream:
    """An OpenAI-compatible server on 127.0.0.1, for the clients that the code under test really uses.

        with Upstream(reply="The number is 123-45-6789.") as upstream:
            model = ChatOpenAI(base_url=upstream.url, api_key="none", model="gpt-4o")
            ...
        assert len(upstream.requests) == 1
        assert "secret" not in upstream.texts

    It answers `/v1/chat/completions` and `/v1/completions` (streamed or not, `n` choices), `/v1/responses`
    (streamed or not), `/v1/embeddings`, `/v1/images/generations`, `/v1/images/edits`, `/v1/moderations`,
    `/v1/rerank`, `/v1/audio/speech`, `/v1/audio/transcriptions` and `/v1/models`; Anthropic's `/v1/messages`
    (streamed or not) and its `count_tokens`; Google's `...:generateContent` and
    `...:streamGenerateContent`. Its tokens are words. A reply is

    * a string: the text;
    * `{"name": ..., "arguments": {...}}`: a tool call; arguments that are a string go out unchanged;
    * `{"text": ..., "tool_calls": [...], "finish_reason": ...}`: all of them, each optional;
    * `{"choices": [...]}`: one reply per choice, the last repeats;
    * `Failure(503)`: an HTTP error;
    * a function of the request's body that returns one of these; what it raises is raised again where the
      `with` ends, and the client sees status 400, which no client retries;
    * a list of all these: one per request, the last repeats.

    Embeddings, moderations, rerankings and speech have their own answer; of a reply they take the failure
    alone. Of images the reply is the revised prompt.

    Args:
        reply: what to answer; may be assigned later, too.
        models: the names that `/v1/models` lists; any name is answered.
        chunk_size: code points of text per event of a stream.
        timeout: seconds until a silent connection is given up.

    Raises:
        TypeError: `reply` is none of the above.
        ValueError: `chunk_size` is less than 1.
    """

    def __init__(
        self,
        reply: Reply | Sequence[Reply] = "ok",
        *,
        models: Sequence[str] = ("gpt-4o", "gpt-4o-mini"),
        chunk_size: int = 5,
        timeout: float = 30.0,
    ) -> None:
        if chunk_size < 1:
            raise ValueError(f"`chunk_size` is `{chunk_size}`; at least 1 is needed")
        self.reply = reply
        self.models = tuple(models)
        self.chunk_size = chunk_size
        self.timeout = timeout
        self._traffic = Traffic()
        self._server: Server | None = None
        self._url: str | None = None
        self._lifecycle = threading.Lock()
        self._errors: list[Exception] = []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._errors and error is None:
            raise self._errors[0]
        if self._errors and error is not None:
            error.add_note(f"the reply of the test raised {self._errors[0]!r}")

    @property
    def reply(self) -> Any:
        """What is answered; assigning starts a list anew."""
        return self._replies.told

    @reply.setter
    def reply(self, reply: Reply | Sequence[Reply]) -> None:
        self._replies = _Replies(reply)

    @property
    def url(self) -> str:
        """The base URL for clients: `http://127.0.0.1:PORT/v1`; after `stop` nothing listens there."""
        if self._url is None:
            raise RuntimeError("the upstream was not started; use `with Upstream() as upstream` or `start()`")
        return self._url

    @property
    def requests(self) -> list[UpstreamRequest]:
        """A copy of the requests so far, in the order in which they came."""
        with self._traffic.changed:
            return list(self._traffic.requests)

    @property
    def texts(self) -> str:
        """Every string in every body so far, a line each: `"secret" not in upstream.texts`.

        A body that is no JSON object is in it as it came.
        """
        return "\n".join(
            text
            for request in self.requests
            for text in strings_of(request.body or request.raw.decode(errors="replace"))
        )

    @property
    def completed(self) -> int:
        """How many answers were written to their end, streamed or not, errors included."""
        return self._traffic.completed

    @property
    def aborted(self) -> int:
        """How many answers were not, because the client closed the connection."""
        return self._traffic.aborted

    @property
    def chunks(self) -> int:
        """How many events of streams were written, `[DONE]` not counted."""
        return self._traffic.chunks

    def start(self) -> Self:
        """Listen on a free port; does nothing when it listens already."""
        with self._lifecycle:
            if self._server is None:
                self._errors.clear()
                self._server = Server(self._answer, self._traffic, self.timeout)
                self._url = f"http://127.0.0.1:{self._server.port}/v1"
                self._server.start()
        return self

    def stop(self) -> None:
        """Free the port, cut every connection, end every thread; may be called again.

        Raises:
            RuntimeError: a function given as `reply` does not return.
        """
        with self._lifecycle:
            server, self._server = self._server, None
        if server is not None:
            server.stop()

    def clear(self) -> None:
        """Forget the requests and count from zero; the reply stays."""
        self._traffic.clear()

    def fail(self, status: int = 500) -> None:
        """Answer every further request with an HTTP error, until `reply` is assigned."""
        self.reply = Failure(status)

    def hang_up_after(self, chunks: int | None) -> None:
        """Cut every further answer after so many events of a stream, or in the middle if it is none.

        Args:
            chunks: how many events are sent; None = answers are whole again.
        """
        self._traffic.cut_after = chunks

    def pause_after(self, chunks: int) -> None:
        """Hold every further stream after so many events, until `resume` or until the client leaves.

        A stream that its reader closes early is seen only this way: a short answer is otherwise written
        before anybody has read its beginning.

        Args:
            chunks: how many events are sent before.
        """
        self._traffic.resumed.clear()
        self._traffic.pause_after = chunks

    def resume(self) -> None:
        """Let held streams go on, and hold no more."""
        self._traffic.pause_after = None
        self._traffic.resumed.set()

    def wait(self, timeout: float = 10.0) -> None:
        """Block until no request is being answered: afterwards the counts stand still.

        Args:
            timeout: seconds.

        Raises:
            TimeoutError: one still is.
        """
        traffic = self._traffic
        with traffic.changed:
            if not traffic.changed.wait_for(lambda: traffic.answering == 0, timeout):
                raise TimeoutError(f"{traffic.answering} requests are still being answered")

    def _answer(self, request: UpstreamRequest) -> Answer:
        path = request.path.partition("?")[0]
        if path == "/v1/models":
            models = [{"id": one, "object": "model", "created": 0, "owned_by": "test"} for one in self.models]
            return {"object": "list", "data": models}
        answer = _GENERATE.get(path[path.rfind(":") :]) if ":" in path else _ANSWERS.get(path)
        if answer is None:
            return failure(404, f"no such path: {path}")
        try:
            messages = self._reply_to(request)
            if isinstance(messages, Failure):
                return messages
            return answer(request.body, messages, self.chunk_size)
        except InvalidRequestError as error:
            return failure(400, str(error))
        except Exception as error:  # noqa: BLE001 -- the test's own function: raised where the `with` ends
            self._errors.append(error)
            return failure(400, f"the reply of the test raised `{type(error).__name__}`")

    def _reply_to(self, request: UpstreamRequest) -> Failure | Sequence[Message]:
        if not request.body and request.path.partition("?")[0] not in _FORMS:
            raise InvalidRequestError("the body must be a JSON object")
        reply = self._replies.next()
        if callable(reply):
            # Read anew: what the test's function does to the body leaves the record alone.
            reply = reply(json.loads(request.raw) if request.body else {})
        return reply if isinstance(reply, Failure) else read_reply(reply)


class _Replies:
    """Hands out replies, one per request; the last repeats."""

    def __init__(self, told: Reply | Sequence[Reply]) -> None:
        replies: Sequence[Any] = told if isinstance(told, list | tuple) else (told,)
        if not replies:
            raise TypeError("an empty list is no reply; give it at least one")
        for one in replies:
            if not callable(one) and not isinstance(one, Failure):
                read_reply(one)
        self.told = told
        self._last = replies[-1]
        self._left = iter(tuple(replies))
        self._lock = threading.Lock()

    def next(self) -> Reply:
        with self._lock:
            reply: Reply = next(self._left, self._last)
        return reply
