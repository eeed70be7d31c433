"""The proxy's own authentication in these tests: a key is a person's name."""

from __future__ import annotations

from fastapi import HTTPException
from litellm.proxy._types import UserAPIKeyAuth

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
    "nobody": {},
    "watched": {"user_id": "wanda", "metadata": {"tier": "free"}, "team_id": "monitored"},
}


async def authenticate(request, api_key):
    person = PEOPLE.get(api_key.removeprefix("sk-test-"))
    if person is None:
        raise HTTPException(status_code=401, detail="unknown key")
    return UserAPIKeyAuth(api_key=api_key, **person)
