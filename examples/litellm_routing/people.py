"""Who is behind a key, and what they have spent, in US dollars. A real proxy reads this from its database."""

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth

PEOPLE = {
    "sk-pia": UserAPIKeyAuth(user_id="pia", team_id="research", spend=3.0, max_budget=50.0),
    "sk-finn": UserAPIKeyAuth(user_id="finn", team_id="research", spend=48.0, max_budget=50.0),
    "sk-hana": UserAPIKeyAuth(user_id="hana", team_id="hr", spend=3.0, max_budget=50.0),
}


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:  # noqa: ARG001 -- the proxy's signature
    """Called by the proxy for every request."""
    person = PEOPLE.get(api_key)
    if person is None:
        raise HTTPException(status_code=401, detail="unknown key")
    return person.model_copy(update={"api_key": api_key})
