"""The shapes of OpenAI's responses API, whole and streamed: pure functions from a reply to JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .completions import JSON, Message, new_id, pieces, required, usage_of, words_in

__all__ = ["respond"]

_NO_TEXT: Final[JSON] = {"content": []}
_NO_ARGUMENTS: Final[JSON] = {"arguments": ""}


def respond(body: Mapping[str, Any], messages: Sequence[Message], size: int) -> JSON | Iterator[JSON]:
    """Answer `/v1/responses` with the first choice; otherwise as for `chat`."""
    message = messages[0]
    usage = usage_of(words_in([required(body, "input"), body.get("instructions")]), [message])
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(message.finish)
    items: list[JSON] = []
    if message.text or not message.calls:
        items.append(
            {
                "id": new_id("msg_"),
                "type": "message",
                "role": "assistant",
                "status": "incomplete" if reason else "completed",
                "content": [_text_part(message.text)],
            }
        )
    items += (
        {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "completed",
            "call_id": call["id"],
            "name": call["name"],
            "arguments": call["arguments"],
        }
        for call in message.calls
    )
    begun: JSON = {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "model": body["model"],
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
        is_text = item["type"] == "message"
        added = item | {"status": "in_progress"} | (_NO_TEXT if is_text else _NO_ARGUMENTS)
        yield {"type": "response.output_item.added", "item": added} | at
        yield from (_text_events if is_text else _argument_events)(item, index, size)
        yield {"type": "response.output_item.done", "item": item} | at
    yield {"type": f"response.{ended['status']}", "response": ended}


def _text_events(item: JSON, index: int, size: int) -> Iterator[JSON]:
    at = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.content_part.added", "part": _text_part("")} | at
    for piece in pieces(part["text"], size):
        yield {"type": "response.output_text.delta", "delta": piece, "logprobs": []} | at
    yield {"type": "response.output_text.done", "text": part["text"], "logprobs": []} | at
    yield {"type": "response.content_part.done", "part": part} | at


def _argument_events(item: JSON, index: int, size: int) -> Iterator[JSON]:
    at = {"item_id": item["id"], "output_index": index}
    for piece in pieces(item["arguments"], size):
        yield {"type": "response.function_call_arguments.delta", "delta": piece} | at
    told = {"name": item["name"], "arguments": item["arguments"]}
    yield {"type": "response.function_call_arguments.done"} | told | at
