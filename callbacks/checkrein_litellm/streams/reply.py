"""A reply to a denial in the APIs that LiteLLM passes on as bytes, whole and as a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from checkrein.ids import new_id
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.replies import reply_to, takes_text

from .sse import frame

__all__ = ["reply_stream", "reply_whole"]

_NO_TOKENS: Final[Mapping[str, int]] = {"input_tokens": 0, "output_tokens": 0}

JSON = dict[str, Any]


def reply_stream(denied: CallDenied, operation: str, data: Mapping[str, Any]) -> list[Any]:
    """The chunks of an ordinary answer that says what the exception would say.

    Args:
        denied: the denial.
        operation: what kind of call it was.
        data: the call's parameters.

    Returns:
        Nothing where no text can be an answer.
    """
    if not takes_text(data):
        return []
    made = _MADE.get(operation)
    if made is not None:
        _, events = made(str(denied), str(data.get("model") or ""))
        return [frame(event, event.get("type", "") if operation == "messages" else "") for event in events]
    reply = reply_to(denied, operation, {**data, "stream": True})
    return [] if reply is None else [reply]


def reply_whole(denied: CallDenied, operation: str, data: Mapping[str, Any]) -> JSON | None:
    """An ordinary answer that says what the exception would say, or None where no text can be one.

    Args:
        denied: the denial.
        operation: what kind of call it was.
        data: the call's parameters.
    """
    if not takes_text(data):
        return None
    made = _MADE.get(operation)
    if made is not None:
        return made(str(denied), str(data.get("model") or ""))[0]
    reply = reply_to(denied, operation, {**data, "stream": False})
    told: JSON | None = None if reply is None else reply.model_dump(mode="json", exclude_none=True)
    return told


def _messages(text: str, model: str) -> tuple[JSON, list[JSON]]:
    message: JSON = {
        "id": f"msg_{new_id()}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": dict(_NO_TOKENS),
    }
    block = {"type": "text", "text": ""}
    ended = {"stop_reason": "refusal", "stop_sequence": None}
    events: list[JSON] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 0}},
        {"type": "message_stop"},
    ]
    return {**message, **ended, "content": [{**block, "text": text}]}, events


def _responses(text: str, model: str) -> tuple[JSON, list[JSON]]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": f"msg_{new_id()}", "type": "message", "role": "assistant", "status": "incomplete"}
    begun: JSON = {
        "id": f"resp_{new_id()}",
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    whole = {**item, "content": [part]}
    ended = {
        **begun,
        "status": "incomplete",
        "incomplete_details": {"reason": "content_filter"},
        "output": [whole],
        "usage": {
            **_NO_TOKENS,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
    }
    at = {"output_index": 0}
    within = {"item_id": item["id"], "content_index": 0, **at}
    events: list[JSON] = [
        {"type": "response.created", "response": begun},
        {
            "type": "response.output_item.added",
            "item": {**item, "status": "in_progress", "content": []},
            **at,
        },
        {"type": "response.content_part.added", "part": {**part, "text": ""}, **within},
        {"type": "response.output_text.delta", "delta": text, "logprobs": [], **within},
        {"type": "response.output_text.done", "text": text, "logprobs": [], **within},
        {"type": "response.content_part.done", "part": part, **within},
        {"type": "response.output_item.done", "item": whole, **at},
        {"type": "response.incomplete", "response": ended},
    ]
    return ended, [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _generate_content(text: str, model: str) -> tuple[JSON, list[JSON]]:
    content = {"parts": [{"text": text}], "role": "model"}
    candidate = {"content": content, "finishReason": "SAFETY", "index": 0}
    answer: JSON = {"candidates": [candidate], "modelVersion": model, "responseId": new_id()}
    return answer, [answer]


_MADE: Final[Mapping[str, Callable[[str, str], tuple[JSON, list[JSON]]]]] = {
    "generate_content": _generate_content,
    "messages": _messages,
    "responses": _responses,
}
