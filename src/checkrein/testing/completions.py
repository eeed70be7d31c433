"""The shapes of an OpenAI-compatible answer, whole and streamed: pure functions from a reply to JSON.

Shapes after the OpenAI API reference (chat completions, completions, embeddings, responses).
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

__all__ = ["Message", "chat", "complete", "embed", "read_reply", "respond", "strings_of"]

JSON = dict[str, Any]
_MAX_CHOICES: Final = 128
_MAX_DIMENSIONS: Final = 4096


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
        if keys <= {"name", "arguments", "id"} and "name" in keys:
            return (Message("", (_call(reply),), "tool_calls"),)
        if keys and keys <= {"text", "tool_calls", "finish_reason"}:
            calls = tuple(_call(one) for one in reply.get("tool_calls", ()))
            finish = reply.get("finish_reason") or ("tool_calls" if calls else "stop")
            return (Message(reply.get("text", ""), calls, finish),)
        raise TypeError(
            f"a reply with the keys {sorted(map(str, keys))} is none; write a string, `name` and `arguments`, "
            "`text`, `tool_calls` and `finish_reason`, or `choices`"
        )
    raise TypeError(f"`{type(reply).__name__}` is no reply; write a string, a mapping or a `Failure`")


def _call(told: Mapping[str, Any]) -> Mapping[str, str]:
    arguments = told.get("arguments", {})
    return {
        "id": told.get("id") or f"call_{uuid.uuid4().hex[:24]}",
        "name": told["name"],
        # A string goes out as it is: models do write arguments that are no JSON.
        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
    }


def strings_of(value: Any) -> Iterator[str]:
    """Every string of a JSON value, keys included, in order."""
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            todo += reversed([part for pair in one.items() for part in pair])
        elif isinstance(one, list):
            todo += reversed(one)


def _words(*values: Any) -> int:
    return sum(len(text.split()) for value in values for text in strings_of(value))


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def _choices(messages: Sequence[Message], count: int) -> list[Message]:
    return [messages[min(index, len(messages) - 1)] for index in range(count)]


def _count(body: Mapping[str, Any], key: str, default: int, largest: int) -> int:
    count = body.get(key)
    if count is None:
        return default
    if type(count) is not int or not 1 <= count <= largest:
        raise ValueError(f"`{key}` must be a whole number from 1 to {largest}")
    return count


def _head(body: Mapping[str, Any], prefix: str, kind: str) -> JSON:
    model = body.get("model", "")
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _usage(asked: int, messages: Sequence[Message]) -> JSON:
    answered = sum(
        _words(message.text, *(call["arguments"] for call in message.calls)) for message in messages
    )
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
        ValueError: the request is not valid.
    """
    choices = _choices(messages, _count(body, "n", 1, _MAX_CHOICES))
    usage = _usage(_words(body.get("messages")), choices)
    if body.get("stream"):
        head = _head(body, "chatcmpl", "chat.completion.chunk")
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
    return _head(body, "chatcmpl", "chat.completion") | {"choices": answers, "usage": usage}


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
    for piece in _pieces(message.text, size):
        yield choice({"content": piece})
    for number, call in enumerate(message.calls):
        yield choice({"tool_calls": [{"index": number} | _chat_call(call, "")]})
        for piece in _pieces(call["arguments"], size):
            yield choice({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    yield choice({}, message.finish)


def complete(body: Mapping[str, Any], messages: Sequence[Message], size: int) -> JSON | Iterator[JSON]:
    """Answer `/v1/completions`; arguments and errors as for `chat`."""
    prompt = body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and all(isinstance(one, str) for one in prompt) else 1
    if prompts > _MAX_CHOICES:
        raise ValueError(f"`prompt` must have at most {_MAX_CHOICES} members")
    choices = _choices(messages, prompts * _count(body, "n", 1, _MAX_CHOICES))
    if any(message.calls for message in choices):
        raise ValueError("`/v1/completions` has no tool calls; reply with text")
    usage = _usage(_words(prompt), choices)
    head = _head(body, "cmpl", "text_completion")

    def choice(index: int, text: str, finish: str | None) -> JSON:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}

    def stream(index: int, message: Message) -> Iterator[JSON]:
        for piece in _pieces(message.text, size):
            yield choice(index, piece, None)
        yield choice(index, "", message.finish)

    if body.get("stream"):
        streams = [stream(index, message) for index, message in enumerate(choices)]
        return _interleaved(head, streams, usage if _wants_usage(body) else None)
    answers = [choice(index, message.text, message.finish) for index, message in enumerate(choices)]
    return head | {"choices": answers, "usage": usage}


def embed(body: Mapping[str, Any]) -> JSON:
    """Answer `/v1/embeddings`: the same input has the same vector of length 1, another input another one.

    Raises:
        ValueError: the request is not valid.
    """
    asked = body.get("input")
    # A list of numbers is one text in tokens.
    inputs = asked if isinstance(asked, list) and asked and not isinstance(asked[0], int) else [asked]
    dimensions = _count(body, "dimensions", 8, _MAX_DIMENSIONS)
    data: list[JSON] = []
    for index, one in enumerate(inputs):
        raw = hashlib.shake_128(json.dumps(one).encode()).digest(dimensions)
        length = sum((byte - 127.5) ** 2 for byte in raw) ** 0.5
        vector = [(byte - 127.5) / length for byte in raw]
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        wanted = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": wanted})
    words = _words(asked)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "data": data, "model": body.get("model", ""), "usage": usage}


def respond(body: Mapping[str, Any], messages: Sequence[Message], size: int) -> JSON | Iterator[JSON]:
    """Answer `/v1/responses` with the first choice; otherwise as for `chat`."""
    message = messages[0]
    usage = _usage(_words(body.get("input"), body.get("instructions")), [message])
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(message.finish)
    items: list[JSON] = []
    if message.text or not message.calls:
        items.append(
            {
                "id": f"msg_{uuid.uuid4().hex}",
                "type": "message",
                "role": "assistant",
                "status": "incomplete" if reason else "completed",
                "content": [_text_part(message.text)],
            }
        )
    for call in message.calls:
        items.append(
            {
                "id": f"fc_{uuid.uuid4().hex}",
                "type": "function_call",
                "status": "completed",
                "call_id": call["id"],
                "name": call["name"],
                "arguments": call["arguments"],
            }
        )
    begun: JSON = {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "model": body.get("model", ""),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "usage": None,
    }
    ended = begun | {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": items,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }
    if body.get("stream"):
        events = _response_events(begun, ended, size)
        return (event | {"sequence_number": number} for number, event in enumerate(events))
    return ended


def _text_part(text: str) -> JSON:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_events(begun: JSON, ended: JSON, size: int) -> Iterator[JSON]:
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(ended["output"]):
        at = {"output_index": index}
        if item["type"] == "message":
            blank, events = {"content": []}, _text_events(item, index, size)
        else:
            blank, events = {"arguments": ""}, _argument_events(item, index, size)
        added = item | blank | {"status": "in_progress"}
        yield {"type": "response.output_item.added", "item": added} | at
        yield from events
        yield {"type": "response.output_item.done", "item": item} | at
    yield {"type": f"response.{ended['status']}", "response": ended}


def _text_events(item: JSON, index: int, size: int) -> Iterator[JSON]:
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.content_part.added", "part": _text_part("")} | at
    for piece in _pieces(part["text"], size):
        yield {"type": "response.output_text.delta", "delta": piece, "logprobs": []} | at
    yield {"type": "response.output_text.done", "text": part["text"], "logprobs": []} | at
    yield {"type": "response.content_part.done", "part": part} | at


def _argument_events(item: JSON, index: int, size: int) -> Iterator[JSON]:
    at = {"item_id": item["id"], "output_index": index}
    for piece in _pieces(item["arguments"], size):
        yield {"type": "response.function_call_arguments.delta", "delta": piece} | at
    told = {"name": item["name"], "arguments": item["arguments"]}
    yield {"type": "response.function_call_arguments.done"} | told | at
