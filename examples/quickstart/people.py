"""Who is behind a key. A real proxy reads this from its database; three people are enough here."""

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth

PEOPLE = {
    "sk-demo-fred": UserAPIKeyAuth(user_id="fred", team_id="guests", team_metadata={"tier": "free"}),
    "sk-demo-pia": UserAPIKeyAuth(user_id="pia", team_id="sales", team_metadata={"tier": "pro"}),
    "sk-demo-ed": UserAPIKeyAuth(user_id="ed", team_id="research", team_metadata={"tier": "enterprise"}),
}


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:  # noqa: ARG001 -- the proxy's signature
    """Called by the proxy for every request."""
    person = PEOPLE.get(api_key)
    if person is None:
        raise HTTPException(status_code=401, detail="unknown key")
    return person.model_copy(update={"api_key": api_key})
