"""Every way of calling LiteLLM's functions and its router: what is said, and to which models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bypass_counting import ANSWER, PROMPT

from checkrein.testing import Failure, Upstream

SAID = [{"role": "user", "content": PROMPT}]
SAID_AGAIN = [{"role": "user", "content": f"again, {PROMPT}"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
AS_CALL = {"name": "look", "arguments": json.dumps({"query": ANSWER}, ensure_ascii=False)}
PICTURE = b"\x89PNG\r\n\x1a\n"
# The client of OpenAI waits no longer before it tries again.
BROKEN = Failure(500, headers={"retry-after-ms": "1"})
TOO_LONG = Failure(
    400,
    {
        "error": {
            "message": "This model's maximum context length is 9 tokens",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    },
)
# How LiteLLM reaches what both the functions and the router know by these names.
MODELS: Mapping[str, str] = {
    "gpt-4o": "openai/gpt-4o",
    "gpt-4o-mini": "openai/gpt-4o-mini",
    "claude": "anthropic/claude",
    "completer": "text-completion-openai/completer",
    "gemini": "gemini/gemini",
    "listener": "openai/whisper-1",
    "painter": "openai/gpt-image-1",
    "ranker": "hosted_vllm/ranker",
}
# The router's own: a group, a model of it, and a deployment's id. No router waits where another one is left.
DEPLOYMENTS = (
    *((name, name, f"id-{name}") for name in MODELS),
    ("gpt-4o-pair", "gpt-4o", "id-one"),
    ("gpt-4o-pair", "gpt-4o", "id-two"),
    ("gpt-4o-sick", "gpt-4o", "id-sick"),
    ("gpt-4o-short", "gpt-4o", "id-short"),
)
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "completion": {"model": "gpt-4o", "messages": SAID},
    "text_completion": {"model": "completer", "prompt": PROMPT},
    "responses": {"model": "gpt-4o", "input": PROMPT},
    "anthropic_messages": {"model": "claude", "messages": SAID, "max_tokens": 50},
    "generate_content": {"model": "gemini", "contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
    "embedding": {"model": "gpt-4o", "input": [PROMPT]},
    "image_generation": {"model": "gpt-4o", "prompt": PROMPT},
    "image_edit": {"model": "painter", "prompt": PROMPT, "image": PICTURE},
    "moderation": {"model": "gpt-4o", "input": PROMPT},
    "rerank": {"model": "ranker", "query": PROMPT, "documents": ["one", PROMPT]},
    "speech": {"model": "gpt-4o", "input": PROMPT, "voice": "alloy"},
    "transcription": {"model": "listener", "prompt": PROMPT, "file": ("a.wav", b"RIFF")},
    "abatch_completion": {"models": ["gpt-4o", "gpt-4o-mini"], "messages": SAID},
    "abatch_completion_fastest_response": {"model": "gpt-4o, gpt-4o-mini", "messages": SAID},
    "abatch_completion_one_model_multiple_requests": {"model": "gpt-4o", "messages": [SAID, SAID]},
    "aadapter_completion": {"adapter_id": "one", "model": "gpt-4o", "messages": SAID},
}
SAYING_NOTHING = frozenset({"embedding", "moderation", "rerank", "speech"})


@dataclass(frozen=True, slots=True)
class Way:
    """A way of calling.

    Args:
        call: LiteLLM's name of it, without the `a` of the asynchronous one.
        options: parameters beside the usual ones.
        replies: what the provider answers, request by request.
        cached: whether somebody who may have the answer has it first, and LiteLLM keeps it.
        denied: whether it cannot be governed, and every call of it is denied.
    """

    call: str
    options: Mapping[str, Any] = field(default_factory=dict)
    replies: Any = ANSWER
    cached: bool = False
    denied: bool = False

    @property
    def streams(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.options.get("stream"))

    @property
    def answers(self) -> bool:
        """Whether the answer says anything."""
        return self.call not in SAYING_NOTHING

    def streamed(self) -> Way:
        """The same, with an answer that comes in pieces."""
        return replace(self, options={**self.options, "stream": True})


def _with_streams(ways: Mapping[str, Way]) -> dict[str, Way]:
    return {
        name: one
        for way, plain_one in ways.items()
        for name, one in ((way, plain_one), (f"{way}, streamed", plain_one.streamed()))
    }


_HERE = {"messages": SAID_AGAIN, "model": "gpt-4o-mini"}
_COMMON = {
    **_with_streams(
        {
            "chat": Way("completion"),
            "chat, n=2": Way("completion", {"n": 2}),
            "chat, tool call": Way("completion", {"tools": [TOOL]}, AS_CALL),
            "chat, cache hit": Way("completion", {"caching": True}, cached=True),
            "chat, client fallbacks": Way("completion", {"fallbacks": ["gpt-4o-mini"]}, [BROKEN, ANSWER]),
            "completions": Way("text_completion"),
            "responses": Way("responses"),
        }
    ),
    "embeddings": Way("embedding"),
    "images": Way("image_generation"),
}
_ASYNC = {
    **_with_streams({"messages": Way("anthropic_messages")}),
    "generateContent": Way("generate_content"),
    "generateContent, streamed": Way("generate_content", {"stream": True}, denied=True),
}
_LESSER = {
    "image edits": Way("image_edit"),
    "moderations": Way("moderation"),
    "rerank": Way("rerank"),
    "speech": Way("speech"),
    "transcriptions": Way("transcription"),
}
SDK = {
    **_COMMON,
    **_LESSER,
    **_with_streams(
        {
            "chat, retry": Way("completion", {"max_retries": 1}, [BROKEN, ANSWER]),
            "chat, longer context": Way(
                "completion", {"context_window_fallback_dict": {"gpt-4o": "gpt-4o-mini"}}, [TOO_LONG, ANSWER]
            ),
            "chat, client fallbacks with a prompt": Way(
                "completion", {"fallbacks": [_HERE]}, [BROKEN, ANSWER]
            ),
            "chat, models in the call": Way("completion", {"model_list": [{"model": "gpt-4o"}]}, denied=True),
            "chat, body in the call": Way("completion", {"extra_body": {"messages": SAID}}, denied=True),
        }
    ),
}
_ROUTED = {
    **_COMMON,
    **_with_streams(
        {
            "chat, retry": Way("completion", {"model": "gpt-4o-pair", "num_retries": 1}, [BROKEN, ANSWER]),
            "chat, fallback": Way("completion", {"model": "gpt-4o-sick"}, [BROKEN, ANSWER]),
            "chat, longer context": Way("completion", {"model": "gpt-4o-short"}, [TOO_LONG, ANSWER]),
            "chat, client fallbacks with a prompt": Way(
                "completion", {"fallbacks": [_HERE]}, [BROKEN, ANSWER]
            ),
            "chat, deployment id": Way("completion", {"model": "id-gpt-4o"}),
            "chat, alias": Way("completion", {"model": "best"}),
        }
    ),
}
SDK_ASYNC = {**SDK, **_ASYNC}
# The synchronous router calls LiteLLM by the name of the group: the provider is known by that alone.
_BRIDGED = _with_streams({"completions": Way("text_completion", {"model": "gpt-4o"})})
ROUTER = {**_ROUTED, **_BRIDGED}
ROUTER_ASYNC = {
    **_ROUTED,
    **_ASYNC,
    **_LESSER,
    "several models": Way("abatch_completion"),
    "fastest of several models": Way("abatch_completion_fastest_response"),
    "fastest of several models, streamed": Way("abatch_completion_fastest_response", {"stream": True}),
    "several prompts": Way("abatch_completion_one_model_multiple_requests"),
    "adapter": Way("aadapter_completion", denied=True),
}


def reached(name: str, upstream: Upstream) -> dict[str, Any]:
    """How LiteLLM reaches a model.

    Args:
        name: one of `MODELS`.
        upstream: the provider.
    """
    base = upstream.url.removesuffix("/v1") if name == "claude" else upstream.url
    return {"model": MODELS[name], "api_base": base, "api_key": "k"}
