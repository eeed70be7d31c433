"""Gives the answer of a call out once it is judged: whole, as a held stream, or as a reply to a denial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from checkrein.flow import Flow
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.replies import reply_to
from checkrein_litellm.streams.reply import reply_stream

from .answer_stream import HeldStream
from .passage import Passage

__all__ = ["released", "replying"]

# The streams whose chunks have the same form in the SDK as in the proxy.
_STREAMED: Final = frozenset({"chat", "messages", "text_completion"})


def released(passage: Passage, data: Mapping[str, Any], answer: Any) -> Flow[Any]:
    """Judge an answer, or hold back its stream until that is done.

    Raises:
        CallDenied: it must not be given out.
    """
    passage.answering = True
    passage.stored = passage.stored and _is_stored(data)
    if data.get("stream") and not isinstance(answer, BaseModel | Mapping) and passage.judges_answers:
        return HeldStream(passage, answer, lambda denied: _replies(passage, denied, data))
    return (yield from passage.safely(passage.answered(answer), answer))


def _is_stored(data: Mapping[str, Any]) -> bool:
    """Whether LiteLLM's cache, if there is one, keeps the answer."""
    control = data.get("cache")
    refused = isinstance(control, Mapping) and control.get("no-store") is True
    return data.get("caching") is not False and not refused


def replying(passage: Passage, data: Mapping[str, Any], flow: Flow[Any]) -> Flow[Any]:
    """Answer a denial with a text, where the settings say so and a text can be an answer.

    Raises:
        CallDenied: the call is denied.
    """
    denied: CallDenied
    try:
        return (yield from flow)
    except CallDenied as error:
        denied = error
    replies = _replies(passage, denied, data)
    if not replies:
        # Anew: what led to it can hold what was denied.
        raise CallDenied(denied.decision)
    return HeldStream.of(passage, replies) if data.get("stream") else replies[0]


def _replies(passage: Passage, denied: CallDenied, data: Mapping[str, Any]) -> list[Any]:
    """The answer, or the chunks of one, that say what the denial says; empty where none can."""
    operation = passage.endpoint.operation
    if passage.pep.settings.denials.on_denied != "reply":
        return []
    if data.get("stream"):
        return reply_stream(denied, operation, data) if operation in _STREAMED else []
    reply = reply_to(denied, operation, data)
    return [] if reply is None else [reply]
