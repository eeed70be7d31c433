"""What `checkrein explain` tells of a decision, as JSON values: of a record, what may be shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from .asking_again import Again
from .records import Record, listed, mapping

__all__ = ["Told", "again", "report"]

Told = dict[str, Any]
"""JSON values: what `--json` prints as it is, and what the view is made from."""

# Facts of the context that are shown as they are; whatever else stands in a record could be text.
_FACTS: Final = (
    "operation", "model", "tools", "tokens", "estimated", "usage", "finish_reason", "partial", "released",
    "approval", "uninspected", "candidates", "identity", "supported_obligations", "environment", "omitted",
)  # fmt: skip
_TEXTS: Final = ("prompt", "completion", "result")
_TEXT_FACTS: Final = ("length", "words", "code", "partial", "finish_reason")


def report(record: Record) -> Told:
    """What a record without text says, as JSON values of known keys alone.

    Args:
        record: from a file: whatever is not of the expected shape is left out.
    """
    given = mapping(record.get("input"))
    context = mapping(given.get("context"))
    stage = str(record.get("stage") or given.get("stage") or "unknown")
    return {
        "decision_id": record.get("decision_id"),
        "call_id": record.get("call_id"),
        "attempt": record.get("attempt"),
        "timestamp": record.get("timestamp"),
        "stage": stage,
        "outcome": _outcome(record),
        "permitted": record.get("permitted"),
        "enforced": record.get("enforced"),
        "failed_open": record.get("failed_open"),
        "effect": record.get("effect"),
        "failure": record.get("failure"),
        "subject": _entity(given.get("subject")),
        "action": mapping(given.get("action")).get("name"),
        "resource": _entity(given.get("resource")),
        "text": {key: _text(context[key]) for key in _TEXTS if isinstance(context.get(key), Mapping)},
        "tool": _tool(context.get("tool")),
        "findings": _findings(context.get("findings")),
        "facts": {key: context[key] for key in _FACTS if key in context},
        "answers": [{**_answer(one), "stage": stage} for one in listed(record, "answers")],
        "reasons": [_picked(one, ("code", "message", "message_masked")) for one in listed(record, "reasons")],
        "obligations": [
            _picked(one, ("type", "properties", "id", "state")) for one in listed(record, "obligations")
        ],
        "changes": dict(mapping(record.get("changes"))),
        "candidates": [
            _picked(one, ("id", "deployment", "permitted", "codes", "enforced"))
            for one in listed(record, "candidates")
        ],
        "settings_revision": record.get("settings_revision"),
    }


def again(asked: Again, locate: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Told:
    """What came of asking again, as JSON values."""
    if asked.outcome is None:
        return {"asked": False, "why_not": asked.why_not}
    answers: list[Told] = []
    for one in asked.answers:
        answer: Told = {
            "engine": one.engine,
            "effect": one.effect,
            "cause": one.cause,
            "detail": one.detail,
            "policy_ids": [*one.policy_ids],
            "revision": one.revision,
        }
        answers.append({**answer, **locate(answer)})
    return {
        "asked": True,
        "permitted": asked.outcome.permitted,
        "effect": asked.outcome.effect,
        "failure": asked.outcome.failure,
        # A policy that is asked about the text itself could repeat it in a message.
        "reasons": [one.code for one in asked.outcome.reasons],
        "obligations": [one["type"] for one in asked.obligations],
        "answers": answers,
        "differences": [*asked.differences],
    }


def _outcome(record: Record) -> str:
    if record.get("failed_open"):
        return "failed open"
    if record.get("enforced"):
        return "permitted" if record.get("permitted") else "denied"
    return "permitted (monitor)" if record.get("permitted") else "would deny (monitor)"


def _picked(value: Mapping[str, Any], keys: tuple[str, ...]) -> Told:
    return {key: value[key] for key in keys if key in value}


def _entity(value: Any) -> Told:
    return _picked(mapping(value), ("type", "id", "properties"))


def _answer(answer: Mapping[str, Any]) -> Told:
    keys = ("engine", "effect", "cause", "detail", "detail_masked", "revision", "cached", "duration_us")
    ids = answer.get("policy_ids")
    return {**_picked(answer, keys), "policy_ids": [str(one) for one in ids] if isinstance(ids, list) else []}


def _text(facts: Mapping[str, Any]) -> Told:
    segments = listed(facts, "segments")
    return {
        **_picked(facts, _TEXT_FACTS),
        "segments": dict(Counter(str(one.get("origin")) for one in segments)),
        "current": sum(1 for one in segments if one.get("current") is True),
    }


def _tool(value: Any) -> Told:
    tool = mapping(value)
    names = mapping(tool.get("arguments")).get("names")
    argued = {"arguments": [str(one) for one in names]} if isinstance(names, list) else {}
    return {**_picked(tool, ("name", "call_id")), **argued}


def _findings(value: Any) -> list[Told]:
    found = Counter(
        (str(one.get("type")), str(one.get("origin")), one.get("current") is True)
        for one in (value if isinstance(value, list) else ())
        if isinstance(one, Mapping)
    )
    return [
        {"type": kind, "origin": origin, "current": current, "count": count}
        for (kind, origin, current), count in sorted(found.items())
    ]
