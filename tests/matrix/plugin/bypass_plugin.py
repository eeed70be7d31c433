"""What the matrix's proxy runs: an engine that reads its fault from the caller's key, and who may call."""

from __future__ import annotations

from typing import ClassVar

from bypass_counting import LONGEST, Fault, scan
from fastapi import HTTPException
from litellm.proxy._types import UserAPIKeyAuth

from checkrein.engine import EngineOptions
from checkrein.testing import StaticEngine


class Pack:
    max_spans: ClassVar = {"secret": LONGEST}

    def scanner(self, types):
        return scan


pack = Pack()


class Engine(StaticEngine):
    """Does to each caller what the caller is named after; to the proxy's own calls nothing."""

    Options = EngineOptions

    def __init__(self, options):
        super().__init__(self._fault, name="bypass", remote=True)

    @classmethod
    def from_options(cls, options):
        return cls(options)

    def _fault(self, request):
        self.asked.clear()
        return Fault.named(request.document["subject"]["id"]).engine()._answer(request)


async def authenticate(request, api_key):
    try:
        fault = Fault.of_key(api_key)
    except ValueError:
        raise HTTPException(status_code=401, detail="unknown key") from None
    team = {"team_id": "monitored"} if fault.watches else {}
    return UserAPIKeyAuth(api_key=api_key, user_id=str(fault), **team)
