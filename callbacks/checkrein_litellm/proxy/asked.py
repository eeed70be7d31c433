"""What is asked about a request, and what of an answer to it can be carried out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from checkrein import Entity, Stage
from checkrein_litellm.endpoints import Endpoint
from checkrein_litellm.text.request_fields import max_tokens_of, tool_names

from .calls import Call

__all__ = ["TEXT_CHANGES", "Asked", "context_of", "prompt_as_message"]

TEXT_CHANGES: Final = frozenset({"redact", "replace"})
"""The obligations that change texts."""

_BEFORE: Final = frozenset({"limit_tokens", "no_store", "remove_tools", "set_parameters"})
# What can be written into an API that nobody here knows.
_RAW: Final = frozenset({"remove_tools"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, or one at each of several stages.

    Args:
        model: the model group that is asked about.
        stages: when.
        endpoint: what kind of call it is.
        keys: the parameters beside the messages that are read.
        routable: whether another model could still be called instead.
        deployment: what is asked about instead of the group, once it is chosen.
    """

    model: str
    stages: tuple[Stage, ...]
    endpoint: Endpoint
    keys: tuple[str, ...]
    routable: bool = field(default=False, kw_only=True)
    deployment: Entity | None = field(default=None, kw_only=True)

    def supports(self, stage: Stage) -> frozenset[str]:
        """The obligations that can be carried out there."""
        supported = _RAW if self.endpoint.raw else _BEFORE
        if self.routable and not self.endpoint.raw:
            supported |= {"route"}
        return supported | TEXT_CHANGES if stage.has_text else supported


def context_of(call: Call, data: Mapping[str, Any], endpoint: Endpoint, tokens: int | None) -> dict[str, Any]:
    """What policies see of a request besides its text.

    Args:
        call: the call.
        data: the request.
        endpoint: what kind of call it is.
        tokens: about how many tokens its texts have, or None.
    """
    estimated = {"prompt_tokens": tokens, "max_tokens": max_tokens_of(data, endpoint)}
    context: dict[str, Any] = {
        "tools": tool_names(data),
        "estimated": {name: count for name, count in estimated.items() if count is not None},
    }
    if call.usage:
        context["usage"] = dict(call.usage)
    return context


@contextmanager
def prompt_as_message(data: MutableMapping[str, Any], endpoint: Endpoint) -> Iterator[None]:
    """Keep a picture's prompt in one place: LiteLLM tells it twice, and reads it from the message."""
    told_twice = endpoint.operation == "image_generation" and "messages" in data
    prompt = data.pop("prompt", None) if told_twice else None
    try:
        yield
    finally:
        if prompt is not None:
            data["prompt"] = data["messages"][0]["content"]
