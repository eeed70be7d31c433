"""The proxy's own authentication in these tests: a key is a person's name."""

from __future__ import annotations

from fastapi import HTTPException
from litellm.proxy._types import LiteLLM_UserTable, UserAPIKeyAuth

PEOPLE = {
    "free": {"user_id": "fred", "metadata": {"tier": "free"}},
    "pro": {
        "user_id": "priya",
        "team_id": "data",
        "team_metadata": {"tier": "pro"},
        "metadata": {"tier": "free"},
    },
    "enterprise": {"user_id": "erin", "metadata": {"tier": "enterprise", "roles": ["analyst"]}},
    "budget": {
        "user_id": "bea",
        "metadata": {"tier": "enterprise"},
        "spend": 1.25,
        "max_budget": 50.0,
    },
    "optout": {
        "user_id": "otto",
        "metadata": {
            "tier": "free",
            "disable_global_guardrails": True,
            "opted_out_global_guardrails": ["checkrein"],
            "guardrails": [],
        },
    },
    "listed": {"user_id": "lou", "metadata": {"opted_out_global_guardrails": ["checkrein"]}},
    "exempt": {"user_id": "eva", "team_metadata": {"disable_global_guardrails": True}},
    "kept": {
        "user_id": "kim",
        "metadata": {"disable_global_guardrails": False},
        "team_metadata": {"disable_global_guardrails": True},
    },
    "bound": {"user_id": "bo", "metadata": {"tier": "free"}, "models": ["gpt-4o"]},
    "bound_rich": {"user_id": "ben", "metadata": {"tier": "enterprise"}, "models": ["gpt-4o"]},
    "bound_wide": {
        "user_id": "bill",
        "metadata": {"tier": "free"},
        "models": ["gpt-4o", "gpt-4o-mini"],
    },
    "bound_team": {
        "user_id": "bee",
        "metadata": {"tier": "free"},
        "team_id": "bound",
        "team_models": ["gpt-4o"],
    },
    "bound_by_name": {
        "user_id": "bob",
        "metadata": {"tier": "free"},
        "models": ["gpt-4o"],
        "aliases": {"gpt-4o-mini": "gpt-4o"},
    },
    "bound_by_team_name": {
        "user_id": "bab",
        "metadata": {"tier": "free"},
        "models": ["gpt-4o"],
        "team_id": "bound",
        "team_models": ["gpt-4o"],
        "team_model_aliases": {"gpt-4o-mini": "gpt-4o"},
    },
    "bound_user": {"user_id": "bub", "metadata": {"tier": "free"}},
    "wild": {"user_id": "will", "metadata": {"tier": "free"}, "models": ["gpt-*"]},
    "wild_provider": {"user_id": "wim", "metadata": {"tier": "free"}, "models": ["openai/*"]},
    "whole_proxy": {"user_id": "wes", "metadata": {"tier": "free"}, "models": ["all-proxy-models"]},
    "whole_team": {
        "user_id": "wyn",
        "metadata": {"tier": "free"},
        "models": ["all-team-models"],
        "team_id": "wide",
        "team_models": ["gpt-4o", "gpt-4o-mini"],
    },
    "nobody": {},
    "watched": {"user_id": "wanda", "metadata": {"tier": "free"}, "team_id": "monitored"},
}
# By user: the models that are all that LiteLLM has for it.
USERS = {"bub": ["gpt-4o"]}


async def authenticate(request, api_key):
    person = PEOPLE.get(api_key.removeprefix("sk-test-"))
    if person is None:
        raise HTTPException(status_code=401, detail="unknown key")
    user = person.get("user_id")
    if user in USERS:
        await remember(LiteLLM_UserTable(user_id=user, models=USERS[user]))
    return UserAPIKeyAuth(api_key=api_key, **person)


async def remember(user):
    """Keep a user where LiteLLM does once it has read one from its database."""
    from litellm.proxy.proxy_server import user_api_key_cache  # noqa: PLC0415 -- the proxy is running

    await user_api_key_cache.async_set_cache(key=user.user_id, value=user)
