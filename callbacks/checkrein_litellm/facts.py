"""What LiteLLM knows of a call: deployments and their prices, tokens, the key's budget, the endpoint."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import litellm
from litellm.litellm_core_utils.default_encoding import encoding
from litellm.proxy._types import UserAPIKeyAuth
from pydantic import BaseModel

from .deployments import entity_of, id_of, shared
from .text.leaves import member

__all__ = [
    "answering_model",
    "called_deployment",
    "called_model",
    "deployments",
    "environment",
    "model_name",
    "model_properties",
    "only_deployment",
    "outcome_of",
    "prompt_tokens",
    "router",
    "usage_of",
    "warm",
]

# Counted on the event loop up to here, in a thread up to there, and not at all beyond: unknown stays unknown.
_INLINE_CHARACTERS: Final = 32_000
_COUNTED_CHARACTERS: Final = 1_000_000
# LiteLLM has its own way with long texts, some of which a tokenizer takes very long for.
_SHORT_CHARACTERS: Final = 4_000
# In the words of each API.
_TOKEN_COUNTS: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt_tokens": ("prompt_tokens", "input_tokens", "promptTokenCount"),
    "completion_tokens": ("completion_tokens", "output_tokens", "candidatesTokenCount"),
    "total_tokens": ("total_tokens", "totalTokenCount"),
}


def router() -> Any:
    """The proxy's router, or None outside of a proxy."""
    return getattr(sys.modules.get("litellm.proxy.proxy_server"), "llm_router", None)


def deployments(model: str) -> list[Mapping[str, Any]]:
    """What the proxy would call under this name: a model group, an alias, a wildcard or a deployment's id."""
    active = router()
    if active is None:
        return []
    named = active.get_model_list(model_name=model)
    if named:
        return list(named)
    one = active.get_deployment(model_id=model)
    return [] if one is None else [one.model_dump()]


def model_name(model: str) -> str:
    """The name that policies see: of an alias or a deployment's id the model group, else the name itself."""
    active = router()
    if active is None:
        return model
    alias = active.get_model_from_alias(model=model)
    if alias:
        return str(alias)
    one = active.get_deployment(model_id=model)
    return model if one is None else _group(one.model_name, one.model_info.model_dump(), model)


def called_model(kwargs: Mapping[str, Any]) -> str:
    """The model group that is really called, as the router wrote it down for a deployment.

    Args:
        kwargs: of the deployment hook.
    """
    buckets = [kwargs.get(name) for name in ("metadata", "litellm_metadata")]
    noted = [one for one in buckets if isinstance(one, Mapping) and one.get("deployment")]
    # Beside the authentication are LiteLLM's own notes; on some endpoints the other bucket is the caller's.
    own = [one for one in noted if isinstance(one.get("user_api_key_auth"), UserAPIKeyAuth)]
    metadata = next(iter([*own, *noted]), {})
    model = str(kwargs.get("model") or "")
    deployment = str(metadata.get("deployment") or "")
    # A bridge to another endpoint calls the same deployment without its provider's prefix.
    if deployment != model and not (model and deployment.endswith(f"/{model}")):
        # Whoever changed the model after the router chose it did not change the router's notes.
        return model
    group = str(metadata.get("deployment_model_name") or model)
    info = metadata.get("model_info")
    return _group(group, info if isinstance(info, Mapping) else {}, str(metadata.get("model_group") or model))


def answering_model(answer: Any) -> str | None:
    """The model group of the deployment that an answer comes from, where LiteLLM tells."""
    hidden = getattr(answer, "_hidden_params", None)
    deployment = hidden.get("model_id") if isinstance(hidden, Mapping) else None
    return model_name(deployment) if isinstance(deployment, str) else None


def model_properties(model: str) -> dict[str, Any]:
    """What policies see of a model group: what its deployments share, and the dearest of their prices."""
    return shared([entity_of(model, one).properties for one in deployments(model)])


def only_deployment(model: str, kwargs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The deployment that is really called, where its model group has no other; else None.

    Args:
        model: the model group, by its own name.
        kwargs: of the deployment hook.
    """
    info = kwargs.get("model_info")
    named = deployments(model)
    if len(named) != 1 or named[0].get("model_name") != model or not isinstance(info, Mapping):
        return None
    return named[0] if id_of(named[0]) == info.get("id") else None


def called_deployment(kwargs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The deployment that is really called, or None where no router chose one.

    Args:
        kwargs: of the deployment hook.
    """
    # Unlike the metadata, this is the router's own in every call.
    info = kwargs.get("model_info")
    model_id = info.get("id") if isinstance(info, Mapping) else None
    active = router()
    if active is None or not isinstance(model_id, str):
        return None
    one = active.get_deployment(model_id=model_id)
    return {"litellm_params": kwargs, "model_info": info} if one is None else one.model_dump()


async def prompt_tokens(texts: list[str]) -> int | None:
    """About how many tokens the prompt has (cl100k), or None where counting would take too long."""
    text = "\n".join(texts)
    if len(text) > _COUNTED_CHARACTERS:
        return None
    if len(text) > _INLINE_CHARACTERS:
        return await asyncio.to_thread(_count, text)
    return _count(text)


def warm() -> None:
    """Load the tokenizer now: the first count takes half a second, which no caller should wait for."""
    _count("warm")


def outcome_of(answers: Sequence[Any]) -> tuple[dict[str, int], str | None]:
    """What the provider told of its answer, as far as it did.

    Args:
        answers: the answer, or the chunks of one; the last that tells counts.

    Returns:
        `prompt_tokens`, `completion_tokens` and `total_tokens`, and why the first choice ended.
    """
    tokens: dict[str, int] = {}
    finish: str | None = None
    for answer in answers:
        for name in ("usage", "usageMetadata"):
            usage = member(answer, name)
            if isinstance(usage, Mapping | BaseModel):
                tokens = _tokens(usage) or tokens
        finish = _finish(answer) or finish
    return tokens, finish


def _tokens(usage: Mapping[str, Any] | BaseModel) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, keys in _TOKEN_COUNTS.items():
        counts = [member(usage, key) for key in keys]
        known = next((count for count in counts if type(count) is int and count >= 0), None)
        if known is not None:
            found[name] = known
    if "total_tokens" not in found and len(found) > 1:
        found["total_tokens"] = sum(found.values())
    return found


def _finish(answer: Any) -> str | None:
    """Why an answer ended: of its first choice, or of all of it."""
    for name in ("choices", "candidates"):
        for choice in (member(answer, name) or ())[:1]:
            reasons = [member(choice, key) for key in ("finish_reason", "finishReason")]
            return next((reason for reason in reasons if isinstance(reason, str)), None)
    details = member(answer, "incomplete_details")
    reasons = [member(answer, "stop_reason"), member(details, "reason") if details else None]
    if member(answer, "output") is not None:
        reasons.append(member(answer, "status"))
    return next((reason for reason in reasons if isinstance(reason, str)), None)


def usage_of(key: UserAPIKeyAuth | None) -> dict[str, int]:
    """`spent_micros` and `limit_micros` of the key; empty without a budget: nothing is counted then."""
    if key is None or key.max_budget is None:
        return {}
    spent, limit = _micros(key.spend), _micros(key.max_budget)
    return {} if spent is None or limit is None else {"spent_micros": spent, "limit_micros": limit}


def environment(key: UserAPIKeyAuth | None, client_call_id: str | None) -> dict[str, str]:
    """Where the call came in.

    Args:
        key: what was authenticated.
        client_call_id: the id that the caller chose for it; never trusted to be unique.
    """
    found = {"host": "litellm-proxy", "endpoint": (key.request_route if key else None) or "internal"}
    if client_call_id:
        found["client_call_id"] = client_call_id[:128]
    return found


def _group(group: str, info: Mapping[str, Any], asked: str) -> str:
    public = info.get("team_public_model_name")
    if isinstance(public, str) and public:
        return public
    # A wildcard's name is a pattern; the name that matched it says what is called.
    return asked if "*" in group else group


def _micros(usd: float | None) -> int | None:
    if usd is None or not math.isfinite(usd):
        return None
    return round(usd * 1_000_000)


def _count(text: str) -> int | None:
    try:
        if len(text) <= _SHORT_CHARACTERS:
            # The same tokens in half the time.
            return len(encoding.encode(text, disallowed_special=()))
        # No model: some names would load a tokenizer from a hub.
        return int(litellm.token_counter(model="", text=text))
    except Exception:  # noqa: BLE001 -- a tokenizer refuses what is no strict UTF-8, and so will the limits
        return None
