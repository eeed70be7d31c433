"""What the matrix's proxy runs: an engine that reads its fault from the caller's key, and who may call."""

from __future__ import annotations

from typing import ClassVar

from bypass_counting import LONGEST, Everyone, Fault, scan
from fastapi import HTTPException
from litellm.proxy._types import UserAPIKeyAuth

from checkrein.engine import EngineOptions


class Pack:
    max_spans: ClassVar = {"secret": LONGEST}

    def scanner(self, types):
        return scan


pack = Pack()


class Engine(Everyone):
    Options = EngineOptions

    @classmethod
    def from_options(cls, options):
        return cls()


async def authenticate(request, api_key):
    try:
        fault = Fault.of_key(api_key)
    except ValueError:
        raise HTTPException(status_code=401, detail="unknown key") from None
    return UserAPIKeyAuth(
        api_key=api_key, user_id=fault.caller.id, team_id=fault.caller.properties.get("team")
    )
