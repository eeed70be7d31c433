"""The shapes of an OpenAI-compatible answer, whole and streamed: pure functions from a reply to JSON.

Shapes after the OpenAI API reference (chat completions, completions, embeddings).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import struct
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "JSON",
    "InvalidRequestError",
    "Message",
    "chat",
    "complete",
    "embed",
    "new_id",
    "pieces",
    "read_reply",
    "required",
    "strings_of",
    "usage_of",
    "words_in",
]

JSON = dict[str, Any]
_MAX_CHOICES: Final = 128
_MAX_DIMENSIONS: Final = 4096
_MAX_INPUTS: Final = 2048


class InvalidRequestError(ValueError):
    """The request is one that the real API refuses, too."""


@dataclass(frozen=True, slots=True)
class Message:
    """One choice of an answer: text, tool calls (`id`, `name`, `arguments`), and why it ended."""

    text: str
    calls: tuple[Mapping[str, str], ...]
    finish: str


def read_reply(reply: Any) -> tuple[Message, ...]:
    """Read what a test wrote: one message per choice.

    Raises:
        TypeError: it is no reply.
    """
    if isinstance(reply, str):
        return (Message(reply, (), "stop"),)
    if isinstance(reply, Mapping):
        keys = set(reply)
        if keys == {"choices"} and reply["choices"]:
            return tuple(message for one in reply["choices"] for message in read_reply(one))
        if "name" in keys:
            return (Message("", (_call(reply),), "tool_calls"),)
        text = reply.get("text", "")
        if keys and keys <= {"text", "tool_calls", "finish_reason"} and isinstance(text, str):
            calls = tuple(_call(one) for one in reply.get("tool_calls", ()))
            return (Message(text, calls, reply.get("finish_reason") or ("tool_calls" if calls else "stop")),)
        raise TypeError(
            f"no reply has the keys {sorted(map(str, keys))}: write `name` and `arguments`, or `text`, "
            "`tool_calls` and `finish_reason`, or `choices`"
        )
    raise TypeError(f"`{type(reply).__name__}` is no reply; write a string, a mapping or a `Failure`")


def _call(told: Mapping[str, Any]) -> Mapping[str, str]:
    if not set(told) <= {"name", "arguments", "id"} or not isinstance(told.get("name"), str):
        raise TypeError(
            f"no tool call has the keys {sorted(map(str, told))}: write `name`, `arguments` and `id`"
        )
    arguments = told.get("arguments", {})
    return {
        "id": told.get("id") or new_id("call_"),
        "name": told["name"],
        # A string goes out as it is: models do write arguments that are no JSON.
        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
    }


def strings_of(value: Any, *, keys: bool = True) -> Iterator[str]:
    """Every string of a JSON value, in order; with the keys of its objects or without."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            todo += reversed([part for pair in one.items() for part in (pair if keys else pair[1:])])
        elif isinstance(one, list):
            todo += reversed(one)


def words_in(value: Any) -> int:
    """How many words the strings of a JSON value have: what counts as a token here."""
    return sum(len(text.split()) for text in strings_of(value, keys=False))


def required(body: Mapping[str, Any], key: str) -> Any:
    """The value of a key that the request must have, beside `model`.

    Raises:
        InvalidRequestError: one of the two is missing.
    """
    for name in ("model", key):
        if name not in body:
            raise InvalidRequestError(f"`{name}` is missing")
    return body[key]


def pieces(text: str, size: int) -> Iterator[str]:
    """The text in pieces of so many code points."""
    return (text[start : start + size] for start in range(0, len(text), size))


def _choices(messages: Sequence[Message], count: int) -> list[Message]:
    return [messages[min(index, len(messages) - 1)] for index in range(count)]


def _count(body: Mapping[str, Any], key: str, default: int, largest: int) -> int:
    count = body.get(key)
    if count is None:
        return default
    if type(count) is not int or not 1 <= count <= largest:
        raise InvalidRequestError(f"`{key}` must be a whole number from 1 to {largest}")
    return count


def new_id(prefix: str) -> str:
    """An id that no other answer has."""
    return f"{prefix}{uuid.uuid4().hex[:24]}"


def _head(body: Mapping[str, Any], prefix: str, kind: str) -> JSON:
    return {"id": new_id(prefix), "object": kind, "created": int(time.time()), "model": body["model"]}


def usage_of(asked: int, messages: Sequence[Message]) -> JSON:
    """The `usage` of an answer.

    Args:
        asked: words of the request.
        messages: the choices.
    """
    answered = sum(words_in([one.text, *(call["arguments"] for call in one.calls)]) for one in messages)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _interleaved(head: JSON, streams: Sequence[Iterator[JSON]], usage: JSON | None) -> Iterator[JSON]:
    """One chunk per event, the choices in turn: a reader that mixes them up is found out."""
    extra = {} if usage is None else {"usage": None}
    for step in itertools.zip_longest(*streams):
        for choice in step:
            if choice is not None:
                yield head | {"choices": [choice]} | extra
    if usage is not None:
        yield head | {"choices": [], "usage": usage}


def _wants_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


def chat(body: Mapping[str, Any], messages: Sequence[Message], size: int) -> JSON | Iterator[JSON]:
    """Answer `/v1/chat/completions`: one JSON value, or the events of a stream.

    Args:
        body: the request.
        messages: the choices; the last repeats.
        size: code points per chunk.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    choices = _choices(messages, _count(body, "n", 1, _MAX_CHOICES))
    usage = usage_of(words_in(required(body, "messages")), choices)
    if body.get("stream"):
        head = _head(body, "chatcmpl-", "chat.completion.chunk")
        streams = [_chat_stream(index, message, size) for index, message in enumerate(choices)]
        return _interleaved(head, streams, usage if _wants_usage(body) else None)
    answers = []
    for index, message in enumerate(choices):
        said: JSON = {"role": "assistant", "content": message.text or None, "refusal": None}
        if message.calls:
            said["tool_calls"] = [_chat_call(call, call["arguments"]) for call in message.calls]
        else:
            said["content"] = message.text
        answers.append({"index": index, "message": said, "logprobs": None, "finish_reason": message.finish})
    return _head(body, "chatcmpl-", "chat.completion") | {"choices": answers, "usage": usage}


def _chat_call(call: Mapping[str, str], arguments: str) -> JSON:
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": call["name"], "arguments": arguments},
    }


def _chat_stream(index: int, message: Message, size: int) -> Iterator[JSON]:
    def choice(delta: JSON, finish: str | None = None) -> JSON:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}

    yield choice({"role": "assistant", "content": None if message.calls else ""})
    for piece in pieces(message.text, size):
        yield choice({"content": piece})
    for number, call in enumerate(message.calls):
        yield choice({"tool_calls": [{"index": number} | _chat_call(call, "")]})
        for piece in pieces(call["arguments"], size):
            yield choice({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield choice({}, message.finish)


def complete(body: Mapping[str, Any], messages: Sequence[Message], size: int) -> JSON | Iterator[JSON]:
    """Answer `/v1/completions`; arguments and errors as for `chat`."""
    prompt = required(body, "prompt")
    prompts = len(prompt) if isinstance(prompt, list) and all(isinstance(one, str) for one in prompt) else 1
    if prompts > _MAX_CHOICES:
        raise InvalidRequestError(f"`prompt` must have at most {_MAX_CHOICES} members")
    choices = _choices(messages, prompts * _count(body, "n", 1, _MAX_CHOICES))
    if any(message.calls for message in choices):
        raise InvalidRequestError("`/v1/completions` has no tool calls; reply with text")
    usage = usage_of(words_in(prompt), choices)
    head = _head(body, "cmpl-", "text_completion")

    def choice(index: int, text: str, finish: str | None) -> JSON:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}

    def stream(index: int, message: Message) -> Iterator[JSON]:
        for piece in pieces(message.text, size):
            yield choice(index, piece, None)
        yield choice(index, "", message.finish)

    if body.get("stream"):
        streams = [stream(index, message) for index, message in enumerate(choices)]
        return _interleaved(head, streams, usage if _wants_usage(body) else None)
    answers = [choice(index, message.text, message.finish) for index, message in enumerate(choices)]
    return head | {"choices": answers, "usage": usage}


def embed(body: Mapping[str, Any], *_: object) -> JSON:
    """Answer `/v1/embeddings`: the same input has the same vector of length 1, another input another one.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    asked = required(body, "input")
    # A list of numbers is one text in tokens.
    inputs = asked if isinstance(asked, list) and not (asked and isinstance(asked[0], int)) else [asked]
    if len(inputs) > _MAX_INPUTS:
        raise InvalidRequestError(f"`input` must have at most {_MAX_INPUTS} members")
    dimensions = _count(body, "dimensions", 8, _MAX_DIMENSIONS)
    data: list[JSON] = []
    for index, one in enumerate(inputs):
        raw = hashlib.shake_128(json.dumps(one).encode()).digest(dimensions)
        length = sum((byte - 127.5) ** 2 for byte in raw) ** 0.5
        vector = [(byte - 127.5) / length for byte in raw]
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        wanted = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": wanted})
    words = words_in(asked)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}
