"""The shapes of images, moderations, audio and rerankings: pure functions from a reply to JSON or bytes."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .completions import JSON, InvalidRequestError, Message, new_id, required, strings_of, words_in

__all__ = ["draw", "moderate", "rerank", "speak", "transcribe"]

# A picture of one pixel, over and over: what stands there is longer than any word.
_PICTURE: Final = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
_SOUND: Final = b"ID3" + bytes(61)


def draw(_: Mapping[str, Any], messages: Sequence[Message], __: int) -> JSON:
    """Answer `/v1/images/generations` and `/v1/images/edits`; the reply is the revised prompt."""
    picture = {"b64_json": _PICTURE, "revised_prompt": messages[0].text}
    return {"created": int(time.time()), "data": [picture]}


def moderate(body: Mapping[str, Any], *_: object) -> JSON:
    """Answer `/v1/moderations`: nothing is flagged.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    asked = body.get("input")
    if asked is None:
        raise InvalidRequestError("`input` is missing")
    result = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.0}}
    count = len(asked) if isinstance(asked, list) else 1
    return {"id": new_id("modr-"), "model": body.get("model", "test"), "results": [result] * count}


def rerank(body: Mapping[str, Any], *_: object) -> JSON:
    """Answer `/v1/rerank`: the documents in their order.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    documents = required(body, "documents")
    results = [{"index": index, "relevance_score": 1 / (index + 1)} for index in range(len(documents))]
    words = words_in([body.get("query"), documents])
    units = {"billed_units": {"total_tokens": words}, "tokens": {"input_tokens": words}}
    return {"id": new_id("rr"), "results": results, "meta": units, "usage": {"total_tokens": words}}


def speak(body: Mapping[str, Any], *_: object) -> bytes:
    """Answer `/v1/audio/speech`: a sound, always the same.

    Raises:
        InvalidRequestError: the request is not valid.
    """
    if not list(strings_of(required(body, "input"))):
        raise InvalidRequestError("`input` must be text")
    return _SOUND


def transcribe(_: Mapping[str, Any], messages: Sequence[Message], __: int) -> JSON:
    """Answer `/v1/audio/transcriptions`; the reply is what was said."""
    return {"text": messages[0].text}
