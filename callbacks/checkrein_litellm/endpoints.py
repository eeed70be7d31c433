"""The endpoints that the guard governs: what LiteLLM calls them, and where their prompts stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from checkrein import Stage

__all__ = ["ENDPOINTS", "STAGES", "UNNAMED", "Endpoint"]

STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)
"""Where policy is asked about a call of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One kind of call.

    Args:
        operation: its name for policies.
        calls: LiteLLM's names of the call, in the proxy and at a deployment.
        content: the parameters that hold the prompt, in the order of the conversation.
        own: parameters that reach the provider here and belong to LiteLLM elsewhere.
        limits: the parameters that limit the answer; the first is written where the caller set none.
        answers: whether what comes back holds text that LiteLLM shows to a hook.
        streams: whether its stream can be held back.
        models: whether it may name several models at once.
        stored: whether the provider keeps an answer unless it is told otherwise.
        raw: whether the body goes to the provider as it is, in an API that nobody here knows.
    """

    operation: str
    calls: tuple[str, ...]
    content: tuple[str, ...]
    own: frozenset[str] = frozenset()
    limits: tuple[str, ...] = ()
    answers: bool = True
    streams: bool = False
    models: bool = False
    stored: bool = False
    raw: bool = False


_CHAT_LIMITS: Final = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "max_tokens_to_sample",
)
_METADATA: Final = frozenset({"metadata"})

_ALL: Final = (
    Endpoint(
        operation="chat",
        calls=("acompletion", "completion"),
        content=("messages",),
        limits=_CHAT_LIMITS,
        streams=True,
        models=True,
    ),
    Endpoint(
        operation="text_completion",
        calls=("atext_completion", "text_completion"),
        content=("prompt",),
        limits=_CHAT_LIMITS,
        streams=True,
    ),
    Endpoint(
        operation="messages",
        calls=("anthropic_messages", "aanthropic_messages"),
        content=("system", "messages"),
        own=_METADATA,
        limits=_CHAT_LIMITS,
        streams=True,
    ),
    Endpoint(
        operation="responses",
        calls=("aresponses", "responses"),
        content=("instructions", "input"),
        own=_METADATA,
        limits=("max_output_tokens",),
        streams=True,
        stored=True,
    ),
    Endpoint(
        operation="generate_content",
        calls=(
            "agenerate_content",
            "generate_content",
            "agenerate_content_stream",
            "generate_content_stream",
        ),
        content=("systemInstruction", "system_instruction", "contents"),
        limits=("generationConfig.maxOutputTokens", "config.maxOutputTokens", "config.max_output_tokens"),
        streams=True,
    ),
    Endpoint(operation="embeddings", calls=("aembedding", "embedding"), content=("input",), answers=False),
    # The hook gets the prompt as a message, and LiteLLM reads it back from there.
    Endpoint(
        operation="image_generation",
        calls=("aimage_generation", "image_generation"),
        content=("messages", "prompt"),
    ),
    Endpoint(operation="image_edit", calls=("aimage_edit", "image_edit"), content=("prompt",)),
    Endpoint(operation="moderation", calls=("amoderation", "moderation"), content=("input",), answers=False),
    Endpoint(operation="rerank", calls=("arerank", "rerank"), content=("query", "documents"), answers=False),
    Endpoint(operation="speech", calls=("aspeech", "speech"), content=("input",), answers=False),
    Endpoint(
        operation="transcription",
        calls=("atranscription", "transcription"),
        content=("prompt",),
        answers=False,
    ),
    Endpoint(
        operation="pass_through",
        calls=("pass_through_endpoint", "allm_passthrough_route"),
        content=(),
        own=_METADATA,
        answers=False,
        streams=True,
        raw=True,
    ),
)

ENDPOINTS: Final[Mapping[str, Endpoint]] = {call: one for one in _ALL for call in one.calls}
"""By LiteLLM's name of the call."""

UNNAMED: Final = Endpoint(operation="unknown", calls=(), content=("messages",))
"""Whatever else LiteLLM does for a call."""
