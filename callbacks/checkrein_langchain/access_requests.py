"""The questions of this host to policy, and the step that has one of them decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.identity import Identity
from checkrein.vocabulary import AccessRequest, Entity, Stage
from checkrein_langchain.text.surface import Surface

__all__ = ["ENVIRONMENT", "Decide", "ask"]

ENVIRONMENT: Final = {"host": "langchain"}


def ask(  # noqa: PLR0913 -- the parts of a question, named by their caller
    stage: Stage,
    resource: Entity,
    who: Identity,
    *,
    call_id: str,
    surface: Surface,
    context: Mapping[str, Any],
    supports: frozenset[str] = frozenset(),
    attempt: int = 1,
) -> AccessRequest:
    """A question of this host."""
    return AccessRequest(
        stage=stage,
        subject=who.subject,
        resource=resource,
        context={
            "operation": "chat",
            "environment": ENVIRONMENT,
            **context,
            **({"uninspected": surface.uninspected} if surface.uninspected else {}),
        },
        segments=surface.segments,
        supports=supports,
        call_id=call_id,
        attempt=attempt,
        identity=who.facts,
    )


@dataclass(slots=True)
class Decide:
    """Ask the enforcement point."""

    pep: EnforcementPoint
    request: AccessRequest
    describe: Callable[[str], Mapping[str, Any]] | None = None

    def perform(self) -> Decision:
        """Ask, blocking."""
        return self.pep.decide(self.request, self.describe)

    async def aperform(self) -> Decision:
        """Ask without blocking the event loop on a remote engine."""
        return await self.pep.adecide(self.request, self.describe)
