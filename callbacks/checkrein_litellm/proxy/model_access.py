"""Whether LiteLLM lets a key call the model that a policy has chosen instead of the one that it asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from litellm.proxy._types import LiteLLM_UserTable, ProxyException, UserAPIKeyAuth
from litellm.proxy.auth.auth_checks import can_key_call_resolved_model, can_user_call_model

__all__ = ["may_call"]

_PROXY: Final = "litellm.proxy.proxy_server"


async def may_call(key: UserAPIKeyAuth, model: str) -> bool:
    """Whether key, team, project, end user, and the user of a key without a team, may call a model.

    LiteLLM asks its own lists this of the model in the body, before any hook: a route would walk past the
    answer.
    """
    proxy = sys.modules.get(_PROXY)
    known, router = getattr(proxy, "llm_model_list", None), getattr(proxy, "llm_router", None)
    user = await _user_of(key, getattr(proxy, "user_api_key_cache", None))
    try:
        await can_key_call_resolved_model(model, known, _as_routed(key, model), router)
        await can_user_call_model(model, router, user)
    except ProxyException:
        return False
    return True


def _as_routed(key: UserAPIKeyAuth, model: str) -> UserAPIKeyAuth:
    """The key without an alias of this name: LiteLLM has put its own in place by now, and does not again."""
    aliases = {"aliases": key.aliases, "team_model_aliases": key.team_model_aliases}
    return key.model_copy(update={name: _without(model, given) for name, given in aliases.items()})


def _without(model: str, aliases: Any) -> Any:
    if not isinstance(aliases, Mapping):
        return aliases
    return {alias: target for alias, target in aliases.items() if alias != model}


async def _user_of(key: UserAPIKeyAuth, cache: Any) -> LiteLLM_UserTable | None:
    """The user whose models bound a key, as LiteLLM has read it to authenticate; a team's models do else."""
    if key.user_id is None or key.team_id is not None or cache is None:
        return None
    found = await cache.async_get_cache(key=key.user_id, model_type=LiteLLM_UserTable)
    return found if isinstance(found, LiteLLM_UserTable) else None
