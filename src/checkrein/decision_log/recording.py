"""Lays out an event: functions in structlog's processor style, each adding its keys in their order."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from time import time_ns
from typing import Any, Final

from structlog.typing import EventDict

from checkrein.decision import Answer, Candidate, Changes, Decision, DischargedObligation
from checkrein.vocabulary import Reason

__all__ = ["INPUT_SCHEMA", "RECORD", "concluded", "named", "stamped", "traced"]

RECORD: Final = 1
"""Version of an event's own fields."""

INPUT_SCHEMA: Final = 1
"""Version of the input document under `input`."""

_LONGEST_NAME: Final = 256
_MOST: Final = 100


def named(value: object) -> str:
    """A name of bounded length that encodes; a host or an engine may hand over anything in its place."""
    name = value[:_LONGEST_NAME] if isinstance(value, str) else f"<{type(value).__name__}>"
    return name if name.isascii() else name.encode("utf-8", "replace").decode()


def stamped(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the time: UTC, ISO 8601, microseconds."""
    seconds, microseconds = divmod(time_ns() // 1000, 1_000_000)
    event["timestamp"] = f"{_second(seconds)}.{microseconds:06}Z"
    return event


def concluded(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add what was concluded and why, what it was bound to, what it changed and who was asked."""
    decision: Decision = event["decision"]
    reasons = decision.reasons
    event["decision_id"] = decision.decision_id
    event["call_id"] = named(decision.call_id)
    event["attempt"] = decision.attempt
    event["stage"] = decision.request.stage
    event["permitted"] = decision.permitted
    event["enforced"] = decision.enforced
    event["failed_open"] = decision.failed_open
    if decision.failure is None:
        event["effect"] = decision.effect
    else:
        event["failure"] = decision.failure
    event["reasons"] = [_reason(one) for one in reasons[:_MOST]] if reasons else []
    if len(reasons) > _MOST:
        event["reasons_omitted"] = len(reasons) - _MOST
    event["obligations"] = [_obligation(one) for one in decision.obligations] if decision.obligations else []
    event["changes"] = _summary(decision.changes) if decision.changes else {}
    event["answers"] = [_answer(one) for one in decision.answers]
    event["duration_us"] = decision.duration_us
    if decision.candidates:
        event["candidates"] = [_candidate(one) for one in decision.candidates[:_MOST]]
        if len(decision.candidates) > _MOST:
            event["candidates_omitted"] = len(decision.candidates) - _MOST
    return event


def traced(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the current OpenTelemetry span, where the application has loaded OpenTelemetry."""
    tracing = sys.modules.get("opentelemetry.trace")
    if tracing is not None:
        with suppress(Exception):  # someone else's tracer must not cost us the record
            span = tracing.get_current_span().get_span_context()
            if span.is_valid:
                event.update(trace_id=f"{span.trace_id:032x}", span_id=f"{span.span_id:016x}")
    return event


def _summary(changes: Changes) -> dict[str, Any]:
    """How many, which and to what: never the texts."""
    names = {"parameters": sorted(changes.parameters), "remove_tools": sorted(changes.remove_tools)}
    limits = {"model": changes.model, "max_tokens": changes.max_tokens, "no_store": changes.no_store}
    summary = {"texts": len(changes.texts), **limits, **names}
    return {key: value for key, value in summary.items() if value}


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _reason(reason: Reason) -> dict[str, Any]:
    code = named(reason.code)
    return {"code": code, "message": reason.message} if reason.message else {"code": code}


def _candidate(candidate: Candidate) -> dict[str, Any]:
    codes = [named(reason.code) for reason in candidate.reasons[:_MOST]]
    shown = {"id": named(candidate.resource.id), "permitted": candidate.permitted, "codes": codes}
    # Where several deployments serve a model, its name alone would not tell which of them is meant.
    deployment = candidate.resource.properties.get("deployment")
    if isinstance(deployment, str):
        shown["deployment"] = named(deployment)
    return shown if candidate.enforced else {**shown, "enforced": False}


def _obligation(discharged: DischargedObligation) -> dict[str, Any]:
    own = discharged.obligation
    properties = dict(own.properties) if isinstance(own.properties, Mapping) else {}
    shown = {"type": own.type, "properties": properties, "id": own.id, "state": discharged.state}
    if own.id is None:
        del shown["id"]
    return shown


def _answer(answer: Answer) -> dict[str, Any]:
    """Without what is absent: that means unknown, or nothing to say."""
    shown: dict[str, Any] = {"engine": answer.engine}
    if answer.cause is None:
        shown["effect"] = answer.effect
    else:
        shown["cause"] = answer.cause
    if answer.detail:
        shown["detail"] = answer.detail
    shown["policy_ids"] = answer.policy_ids
    if answer.revision is not None:
        shown["revision"] = answer.revision
    if answer.decision_id is not None:
        shown["decision_id"] = named(answer.decision_id)
    shown["cached"] = answer.cached
    shown["duration_us"] = answer.duration_us
    return shown
