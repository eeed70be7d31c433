"""Gives the answer of a call out once it is judged: whole, as a held stream, or as a reply to a denial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from checkrein.flow import Flow

from .denial import CallDenied
from .held import HeldStream
from .passage import Passage
from .replies import reply_to

__all__ = ["released", "replying"]


def released(passage: Passage, data: Mapping[str, Any], answer: Any) -> Flow[Any]:
    """Judge an answer, or hold back its stream until that is done.

    Raises:
        CallDenied: it must not be given out.
    """
    passage.answering = True
    passage.stored = passage.stored and _is_stored(data)
    if data.get("stream") and not isinstance(answer, BaseModel | Mapping) and passage.judges_answers:
        return HeldStream(passage, answer, lambda denied: _reply(passage, denied, data))
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
    reply = _reply(passage, denied, data)
    if reply is None:
        # Anew: what led to it can hold what was denied.
        raise CallDenied(denied.decision)
    return HeldStream.of(passage, reply) if data.get("stream") else reply


def _reply(passage: Passage, denied: CallDenied, data: Mapping[str, Any]) -> Any:
    if passage.pep.settings.denials.on_denied != "reply":
        return None
    return reply_to(denied, passage.endpoint.operation, data)
