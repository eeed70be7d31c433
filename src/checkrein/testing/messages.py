"""The shapes of Anthropic's messages and Google's `generateContent`: pure functions from a reply to JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .completions import JSON, InvalidRequestError, Message, new_id, pieces, required, usage_of, words_in

__all__ = ["count_message_tokens", "generate_content", "message", "stream_content"]

_STOPS: Final = {"length": "max_tokens", "stop": "end_turn", "tool_calls": "tool_use"}
_FINISHES: Final = {"content_filter": "SAFETY", "length": "MAX_TOKENS"}


def message(body: Mapping[str, Any], messages: Sequence[Message], size: int) -> JSON | Iterator[JSON]:
    """Answer Anthropic's `/v1/messages` with the first choice; otherwise as for `chat`."""
    said = messages[0]
    required(body, "messages")
    if "max_tokens" not in body:
        raise InvalidRequestError("`max_tokens` is missing")
    usage = usage_of(words_in([body["messages"], body.get("system")]), [said])
    blocks: list[JSON] = []
    if said.text or not said.calls:
        blocks.append({"type": "text", "text": said.text})
    blocks += (
        {"type": "tool_use", "id": call["id"], "name": call["name"], "input": _read(call["arguments"])}
        for call in said.calls
    )
    answer: JSON = {
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": _STOPS.get(said.finish, said.finish),
        "stop_sequence": None,
        "usage": {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]},
    }
    return _message_events(answer, size) if body.get("stream") else answer


def count_message_tokens(body: Mapping[str, Any], *_: object) -> JSON:
    """Answer Anthropic's `/v1/messages/count_tokens`: words.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    return {"input_tokens": words_in([required(body, "messages"), body.get("system")])}


def generate_content(body: Mapping[str, Any], messages: Sequence[Message], _: int) -> JSON:
    """Answer Google's `models/NAME:generateContent`, whole, with the first choice.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    if "contents" not in body:
        raise InvalidRequestError("`contents` is missing")
    said = messages[0]
    usage = usage_of(words_in([body["contents"], body.get("systemInstruction")]), [said])
    parts: list[JSON] = [{"text": said.text}] if said.text or not said.calls else []
    parts += (
        {"functionCall": {"name": call["name"], "args": _read(call["arguments"])}} for call in said.calls
    )
    return {
        "candidates": [
            {
                "content": {"role": "model", "parts": parts},
                "finishReason": _FINISHES.get(said.finish, "STOP"),
                "index": 0,
            }
        ],
        "modelVersion": "test",
        "responseId": new_id("r"),
        "usageMetadata": {
            "promptTokenCount": usage["prompt_tokens"],
            "candidatesTokenCount": usage["completion_tokens"],
            "totalTokenCount": usage["total_tokens"],
        },
    }


def stream_content(body: Mapping[str, Any], messages: Sequence[Message], size: int) -> Iterator[JSON]:
    """Answer Google's `models/NAME:streamGenerateContent`; otherwise as for `generate_content`."""
    whole = generate_content(body, messages, size)
    (candidate,) = whole["candidates"]
    head = {key: whole[key] for key in ("modelVersion", "responseId")}
    parts = candidate["content"]["parts"]
    told = [{"text": one} for part in parts for one in pieces(part.get("text", ""), size)]
    told += [part for part in parts if "text" not in part]

    def events() -> Iterator[JSON]:
        for part in told:
            yield {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], **head}
        ended = {**candidate, "content": {"role": "model", "parts": [{"text": ""}]}}
        yield {**whole, "candidates": [ended]}

    return events()


def _message_events(answer: JSON, size: int) -> Iterator[JSON]:
    begun = answer | {"content": [], "stop_reason": None, "usage": answer["usage"] | {"output_tokens": 0}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(answer["content"]):
        is_text = block["type"] == "text"
        empty: JSON = {"text": ""} if is_text else {"input": {}}
        kind, key = ("text_delta", "text") if is_text else ("input_json_delta", "partial_json")
        told = block["text"] if is_text else json.dumps(block["input"])
        yield {"type": "content_block_start", "index": index, "content_block": block | empty}
        for piece in pieces(told, size):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: piece}}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    yield {
        "type": "message_delta",
        "delta": ended,
        "usage": {"output_tokens": answer["usage"]["output_tokens"]},
    }
    yield {"type": "message_stop"}


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        raise InvalidRequestError("arguments that are no JSON cannot be told in this API") from None
