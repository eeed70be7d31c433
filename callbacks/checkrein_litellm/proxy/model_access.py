"""Whether LiteLLM lets a key call the model that a policy has chosen instead of the one that it asked for."""

from __future__ import annotations

import sys

from litellm.proxy._types import ProxyException, UserAPIKeyAuth
from litellm.proxy.auth.auth_checks import can_key_call_resolved_model

__all__ = ["may_call"]


async def may_call(key: UserAPIKeyAuth, model: str) -> bool:
    """Whether key, team, project and end user may call a model by LiteLLM's own lists.

    LiteLLM asks this of the model in the body, before any hook: a route would walk past the answer.
    """
    proxy = sys.modules.get("litellm.proxy.proxy_server")
    known, router = getattr(proxy, "llm_model_list", None), getattr(proxy, "llm_router", None)
    try:
        await can_key_call_resolved_model(model, known, key, router)
    except ProxyException:
        return False
    return True
