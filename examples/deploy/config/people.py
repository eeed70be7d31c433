"""Who calls, from a file of keys: for as many people as fit into one; for more, LiteLLM has a database.

The file maps the SHA-256 of a key to its owner:

    {"<64 hexadecimal digits>": {"user": "ann", "team": "desk", "tier": "pro"}}

It is read once: a change takes a restart, as a change of any other secret does.
"""

import hashlib
import json
import os
from pathlib import Path

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth

PEOPLE = json.loads(Path(os.environ["SECRETS"], "people.json").read_text(encoding="utf-8"))


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:  # noqa: ARG001 -- the proxy's signature
    """Called by the proxy for every request."""
    person = PEOPLE.get(hashlib.sha256(api_key.encode()).hexdigest())
    if person is None:
        raise HTTPException(status_code=401, detail="unknown key")
    return UserAPIKeyAuth(
        api_key=api_key,
        user_id=person["user"],
        team_id=person["team"],
        team_metadata={"tier": person["tier"]},
    )
