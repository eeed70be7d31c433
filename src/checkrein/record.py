"""Lays out a decision as an event of the decision log, with as much of the input as the settings allow."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from hashlib import blake2b
from json import dumps
from typing import Any, Final

from .decision import Changes, Decision
from .detection import Span
from .redaction import placeholder, redact
from .vocabulary import Entity

__all__ = ["INPUT_SCHEMA", "RECORD", "Content", "event_of", "trace_ids"]

RECORD: Final = 1
"""Version of the event's own fields."""

INPUT_SCHEMA: Final = 1
"""Version of the input document under `input`."""

Mask = Callable[[str], str]

_LONGEST_NAME: Final = 1024
_SHORTEST_ECHO: Final = 8
_DIGEST_BYTES: Final = 16
_TEXT_KEYS: Final = ("prompt", "completion", "result")
_WORD: Final = re.compile(r"[\w.:/@+-]{1,128}")
# Every key of the context that a record without text may show; True stands for a number, a flag or a word.
_CONTEXT_FACTS: Final[Mapping[str, Any]] = {
    "operation": True,
    "model": True,
    "tools": True,
    "finish_reason": True,
    "partial": True,
    "supported_obligations": True,
    "estimated": {"prompt_tokens": True, "max_tokens": True, "cost_micros": True},
    "usage": {"spent_micros": True, "limit_micros": True, "requests": True, "quota": True},
    "tokens": {"prompt_tokens": True, "completion_tokens": True, "total_tokens": True},
    "uninspected": {"kind": True, "segment": True},
    "identity": {"source": True, "asserted": True},
    "environment": {"time": True, "host": True, "endpoint": True},
    "tool": {"call_id": True},
    "findings": {
        "type": True,
        "origin": True,
        "current": True,
        "segment": True,
        "start": True,
        "end": True,
    },
    **dict.fromkeys(
        _TEXT_KEYS,
        {
            "length": True,
            "words": True,
            "code": True,
            "partial": True,
            "finish_reason": True,
            "segments": {"role": True, "origin": True, "current": True, "start": True, "end": True},
        },
    ),
}


class Content(StrEnum):
    """How much of the input a record shows."""

    FACTS = "facts"
    MASKED = "masked"
    FULL = "full"


def event_of(
    decision: Decision, *, content: Content, digest_key: bytes, settings_revision: str
) -> dict[str, Any]:
    """Lay out a decision; pure, and nothing in the result changes the decision.

    `facts` is recorded instead when the policy said `no_store`, and when the input was refused before the
    detectors read it: nobody knows then what there is to mask.

    Args:
        decision: what was concluded.
        content: how much of the input to show.
        digest_key: key of the segments' digests (BLAKE2b, 1 to 64 bytes), so that nobody can try out texts.
        settings_revision: which settings were in force.
    """
    no_store = decision.changes.no_store
    if no_store or not decision.document:
        content = Content.FACTS
    mask: Mask = str if content is Content.FULL else _mask(decision, echoes=content is Content.FACTS)
    request = decision.request
    event: dict[str, Any] = {
        "decision_id": decision.decision_id,
        "call_id": _name(decision.call_id),
        "attempt": decision.attempt,
        "stage": request.stage.value,
        "subject": _entity(request.subject),
        "resource": _entity(request.resource),
        "action": _name(request.action_name),
        "permitted": decision.permitted,
        "enforced": decision.enforced,
        "failed_open": decision.failed_open,
    }
    if decision.failure is not None:
        event["failure"] = decision.failure.value
    elif decision.effect is not None:
        event["effect"] = decision.effect.value
    event["reasons"] = [
        {"code": reason.code} | ({"message": mask(reason.message)} if reason.message and not no_store else {})
        for reason in decision.reasons
    ]
    event["obligations"] = [
        {"type": one.obligation.type, "id": one.obligation.id, "state": one.state.value}
        for one in decision.obligations
    ]
    event["changes"] = _changes(decision.changes)
    event["answers"] = [
        {
            "engine": answer.engine,
            **({"cause": answer.cause.value} if answer.cause is not None else {}),
            **({"effect": answer.effect.value} if answer.effect is not None else {}),
            **({"detail": mask(answer.detail)} if answer.detail and not no_store else {}),
            "policy_ids": list(answer.policy_ids),
            "revision": answer.revision,
            "cached": answer.cached,
            "duration_us": answer.duration_us,
        }
        for answer in decision.answers
    ]
    event["duration_us"] = decision.duration_us
    event["settings_revision"] = settings_revision
    event["content"] = content.value
    event["input"] = _input(decision, content, digest_key, mask)
    return event


def trace_ids() -> dict[str, str]:
    """`trace_id` and `span_id` of the current OpenTelemetry span, in hex; empty without one.

    OpenTelemetry is asked only where the application has loaded it, and never imported here.
    """
    tracing = sys.modules.get("opentelemetry.trace")
    if tracing is not None:
        # Someone else's tracer must not cost us the record.
        with suppress(Exception):
            span = tracing.get_current_span().get_span_context()
            if span.is_valid:
                return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
    return {}


def _input(decision: Decision, content: Content, digest_key: bytes, mask: Mask) -> dict[str, Any]:
    segments = decision.request.segments
    if not decision.document:
        # What was refused may be of any size: counted, neither digested nor listed.
        return {"segment_count": len(segments), "length": sum(len(segment.text) for segment in segments)}
    digests = [
        {
            "role": _word(segment.role),
            "origin": segment.origin.value,
            "length": len(segment.text),
            "digest": blake2b(
                segment.text.encode("utf-8", "surrogatepass"), key=digest_key, digest_size=_DIGEST_BYTES
            ).hexdigest(),
        }
        for segment in segments
    ]
    if content is Content.FULL:
        return {**decision.document, "segments": digests}
    context = decision.document.get("context", {})
    shown: dict[str, Any] = _allowed(context, _CONTEXT_FACTS) or {}
    if content is Content.MASKED:
        shown = {**_masked(context, mask), "findings": shown.get("findings", [])}
        _mask_text(shown, decision, context)
        return {
            "subject": _masked(decision.document.get("subject", {}), mask),
            "resource": _masked(decision.document.get("resource", {}), mask),
            "context": shown,
            "segments": digests,
        }
    return {"context": shown, "segments": digests}


def _mask_text(shown: dict[str, Any], decision: Decision, context: Mapping[str, Any]) -> None:
    """Redact the joined text by its spans; they are exact where a value may also stand by accident."""
    spans = [Span(one.type, one.start, one.end) for one in decision.findings]
    for key in _TEXT_KEYS:
        facts = context.get(key)
        if isinstance(facts, Mapping) and isinstance(facts.get("text"), str):
            facts_shown: dict[str, Any] = _allowed(facts, _CONTEXT_FACTS[key]) or {}
            shown[key] = {**facts_shown, "text": redact(facts["text"], spans)[0]}


def _allowed(value: Any, allowed: Any) -> Any:
    """What of a value the allow-list names; None for the rest. A string must be one word, never a sentence."""
    if isinstance(value, list):
        kept = [_allowed(item, allowed) for item in value]
        return [item for item in kept if item is not None]
    if isinstance(allowed, Mapping):
        if not isinstance(value, Mapping):
            return None
        pairs = ((key, _allowed(value[key], below)) for key, below in allowed.items() if key in value)
        return {key: item for key, item in pairs if item is not None}
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else None
    return value if isinstance(value, int | float) else None


def _masked(value: Any, mask: Mask) -> Any:
    """A copy with every string masked, keys too, and every number that reads as a finding."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(key): _masked(item, mask) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, mask) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        written = str(value)
        hidden = mask(written)
        return value if hidden == written else hidden
    return value


def _mask(decision: Decision, *, echoes: bool) -> Mask:
    """Hides the text of findings wherever it is repeated; with `echoes`, whole segments as well."""
    joined = "\n".join(segment.text for segment in decision.request.segments) if decision.findings else ""
    hidden: dict[str, str] = {}
    if echoes:
        for segment in decision.request.segments:
            text = segment.text.strip()
            if len(text) >= _SHORTEST_ECHO:
                hidden.setdefault(text.casefold(), "text")
    for finding in decision.findings:
        found = joined[finding.start : finding.end]
        # As it stands, and as it stands in the JSON of a tool's arguments.
        for written in (found, dumps(found)[1:-1], dumps(found, ensure_ascii=False)[1:-1]):
            if written.strip():
                hidden[written.casefold()] = finding.type
    if not hidden:
        return str
    compiled: dict[int, re.Pattern[str]] = {}

    def mask(text: str) -> str:
        # A segment of megabytes is no part of a short message: keep it out of the pattern.
        limit = 2 * len(text)
        fitting = [one for one in hidden if len(one) <= limit]
        if not fitting:
            return text
        pattern = compiled.get(len(fitting))
        if pattern is None:
            pattern = compiled[len(fitting)] = _any_of(fitting)
        return pattern.sub(lambda hit: placeholder(hidden.get(hit.group().casefold(), "text")), text)

    return mask


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(re.escape(text) for text in longest_first), re.IGNORECASE)


def _changes(changes: Changes) -> dict[str, Any]:
    """What was changed, without any content."""
    return {
        "texts": len(changes.texts),
        "model": changes.model,
        "max_tokens": changes.max_tokens,
        "parameters": sorted(changes.parameters),
        "remove_tools": sorted(changes.remove_tools),
        "no_store": changes.no_store,
    }


def _entity(entity: Entity) -> dict[str, str]:
    return {"type": _name(entity.type), "id": _name(entity.id)}


def _name(value: object) -> str:
    """A name of bounded length; a refused request may hold anything in its place."""
    return value[:_LONGEST_NAME] if isinstance(value, str) else f"<{type(value).__name__}>"


def _word(value: str) -> str:
    return value if _WORD.fullmatch(value) else "other"
