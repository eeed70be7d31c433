"""What a call waits for outside of the proxy: a decision, a count, LiteLLM; each blocking or awaited."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import litellm

from checkrein import AccessRequest, Decision, EnforcementPoint, Entity, Segment
from checkrein.streaming import StreamGate

from . import facts

__all__ = ["ENDED", "Count", "Decide", "Feed", "Filter", "Finish", "Next", "Send"]

ENDED: Final = object()
"""What `Next` comes to at the end of a stream."""

_COUNTED_CHARACTERS: Final = 1_000_000


@dataclass(slots=True)
class Decide:
    """Ask the enforcement point."""

    pep: EnforcementPoint
    request: AccessRequest
    describe: Callable[[str], Mapping[str, Any]]

    def perform(self) -> Decision:
        """Ask, blocking."""
        return self.pep.decide(self.request, self.describe)

    async def aperform(self) -> Decision:
        """Ask without blocking the event loop on a remote engine."""
        return await self.pep.adecide(self.request, self.describe)


@dataclass(slots=True)
class Filter:
    """Ask the enforcement point which of several deployments may be chosen."""

    pep: EnforcementPoint
    request: AccessRequest
    candidates: Sequence[Entity]

    def perform(self) -> Decision:
        """Ask, blocking."""
        return self.pep.filter_candidates(self.request, self.candidates)

    async def aperform(self) -> Decision:
        """Ask without blocking the event loop on a remote engine."""
        return await self.pep.afilter_candidates(self.request, self.candidates)


@dataclass(slots=True)
class Count:
    """Count about how many tokens a prompt has, or None where that would take too long."""

    texts: list[str]

    def perform(self) -> int | None:
        """Count here."""
        text = "\n".join(self.texts)
        if len(text) > _COUNTED_CHARACTERS:
            return None
        try:
            return int(litellm.token_counter(model="", text=text))
        except Exception:  # noqa: BLE001 -- a tokenizer refuses what is no strict UTF-8, and so will the limits
            return None

    async def aperform(self) -> int | None:
        """Count without holding the event loop up."""
        return await facts.prompt_tokens(self.texts)


@dataclass(slots=True)
class Send:
    """Call LiteLLM."""

    function: Callable[..., Any]
    arguments: Mapping[str, Any]

    def perform(self) -> Any:
        """Call, blocking."""
        return self.function(**self.arguments)

    async def aperform(self) -> Any:
        """Call the asynchronous function."""
        return await self.function(**self.arguments)


@dataclass(slots=True)
class Next:
    """Take the next piece of a stream, or `ENDED`."""

    stream: Any

    def perform(self) -> Any:
        """Take it, blocking."""
        return next(self.stream, ENDED)

    async def aperform(self) -> Any:
        """Wait for it."""
        return await anext(self.stream, ENDED)


@dataclass(slots=True)
class Feed:
    """Give the gate of a stream a piece of its text."""

    gate: StreamGate
    segment: Segment

    def perform(self) -> Mapping[tuple[str | int, ...], str]:
        """Give it, blocking."""
        return self.gate.feed(self.segment)

    async def aperform(self) -> Mapping[tuple[str | int, ...], str]:
        """Give it without blocking the event loop on a remote engine."""
        return await self.gate.afeed(self.segment)


@dataclass(slots=True)
class Finish:
    """Tell the gate of a stream that it ended."""

    gate: StreamGate
    context: Mapping[str, Any]
    segments: Sequence[Segment]

    def perform(self) -> Mapping[tuple[str | int, ...], str]:
        """Tell it, blocking."""
        return self.gate.finish(self.context, self.segments)

    async def aperform(self) -> Mapping[tuple[str | int, ...], str]:
        """Tell it without blocking the event loop on a remote engine."""
        return await self.gate.afinish(self.context, self.segments)
