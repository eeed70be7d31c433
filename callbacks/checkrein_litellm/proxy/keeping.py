"""What LiteLLM keeps of an answer, and how it is told, after it has one, to keep nothing."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import litellm

from checkrein_litellm.endpoints import Endpoint
from checkrein_litellm.text.surfaces import UnwritableError

from .calls import Call

__all__ = ["keep_nothing", "keeper_of", "mute"]


def keeper_of(data: Mapping[str, Any], endpoint: Endpoint) -> str:
    """Who keeps the answer of a request before anybody has judged it; empty for nobody.

    Args:
        data: the request, as it was admitted.
        endpoint: what kind of call it is.
    """
    cache = data.get("cache")
    told = isinstance(cache, Mapping) and cache.get("no-store") is True
    asked = {key: value for key, value in data.items() if key != "self"}
    if litellm.cache is not None and not told and litellm.cache.should_use_cache(**asked):  # type: ignore[no-untyped-call]
        return "LiteLLM's cache"
    store = data.get("store")
    return "the provider" if store or (endpoint.stored and store is None) else ""


def keep_nothing(call: Call) -> None:
    """Let nothing of an answer be kept.

    Raises:
        UnwritableError: somebody has kept it already.
    """
    if call.keeper:
        raise UnwritableError(f"{call.keeper} has kept it; let a policy say `no_store` at `pre_prompt`")
    if not mute(call):
        raise UnwritableError("LiteLLM has logged it; let a policy say `no_store` at `pre_prompt`")


def mute(call: Call) -> bool:
    """Keep a call out of LiteLLM's logs, from here on; whether none of them has heard of its answer."""
    log = call.log() if call.log is not None else None
    if log is None:
        return False
    for params in (log.litellm_params, log.model_call_details.get("litellm_params")):
        if isinstance(params, MutableMapping):
            params["no-log"] = True
    # Where a guardrail comes after the call, LiteLLM waits with its logs until that has ended.
    waits = log.enqueue_deferred_logging is not None
    waits = waits or getattr(log, "_on_deferred_stream_complete", None) is not None
    return waits and not litellm.global_disable_no_log_param
