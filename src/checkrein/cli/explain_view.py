"""How `checkrein explain` looks: what may be shown of a record, as JSON values and for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from .asking_again import Again
from .records import Record
from .render import BAD, FAINT, GOOD, WARNING, counted, field_grid, indented, plain, section

__all__ = ["Told", "again", "render", "report"]

Told = dict[str, Any]
"""JSON values: what `--json` prints as it is, and what the view is made from."""

# Facts of the context that are shown as they are; whatever else stands in a record could be text.
_FACTS: Final = (
    "operation", "model", "tools", "tokens", "estimated", "usage", "finish_reason", "partial", "released",
    "approval", "uninspected", "candidates", "identity", "supported_obligations", "environment", "omitted",
)  # fmt: skip
_TEXTS: Final = ("prompt", "completion", "result")
_TEXT_FACTS: Final = ("length", "words", "code", "partial", "finish_reason")
_LONGEST: Final = 512
_MOST_PLACES: Final = 3


def report(record: Record) -> Told:
    """What a record without text says, as JSON values of known keys alone.

    Args:
        record: from a file: whatever is not of the expected shape is left out.
    """
    given = _mapping(record.get("input"))
    context = _mapping(given.get("context"))
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
        "action": _mapping(given.get("action")).get("name"),
        "resource": _entity(given.get("resource")),
        "text": {key: _text(context[key]) for key in _TEXTS if isinstance(context.get(key), Mapping)},
        "tool": _tool(context.get("tool")),
        "findings": _findings(context.get("findings")),
        "facts": {key: context[key] for key in _FACTS if key in context},
        "answers": [{**_answer(one), "stage": stage} for one in _listed(record, "answers")],
        "reasons": [
            _picked(one, ("code", "message", "message_masked")) for one in _listed(record, "reasons")
        ],
        "obligations": [
            _picked(one, ("type", "properties", "id", "state")) for one in _listed(record, "obligations")
        ],
        "changes": dict(_mapping(record.get("changes"))),
        "candidates": [
            _picked(one, ("id", "deployment", "permitted", "codes", "enforced"))
            for one in _listed(record, "candidates")
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


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(record: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = record.get(key)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _picked(value: Mapping[str, Any], keys: tuple[str, ...]) -> Told:
    return {key: value[key] for key in keys if key in value}


def _entity(value: Any) -> Told:
    return _picked(_mapping(value), ("type", "id", "properties"))


def _answer(answer: Mapping[str, Any]) -> Told:
    keys = ("engine", "effect", "cause", "detail", "detail_masked", "revision", "cached", "duration_us")
    ids = answer.get("policy_ids")
    return {**_picked(answer, keys), "policy_ids": [str(one) for one in ids] if isinstance(ids, list) else []}


def _text(facts: Mapping[str, Any]) -> Told:
    segments = _listed(facts, "segments")
    return {
        **_picked(facts, _TEXT_FACTS),
        "segments": dict(Counter(str(one.get("origin")) for one in segments)),
        "current": sum(1 for one in segments if one.get("current") is True),
    }


def _tool(value: Any) -> Told:
    tool = _mapping(value)
    names = _mapping(tool.get("arguments")).get("names")
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


def render(told: Told, *, first: bool) -> Iterator[RenderableType]:
    """One decision for people.

    Args:
        told: the report.
        first: whether nothing stands above it.
    """
    if not first:
        yield Text("")
    style = {"permitted": GOOD, "permitted (monitor)": GOOD, "denied": BAD}.get(told["outcome"], WARNING)
    yield Text.assemble(
        plain(told["stage"], "bold"),
        "  ",
        (told["outcome"], style),
        plain("  decided now, not recorded" if told["when"] == "now" else "", FAINT),
        overflow="fold",
    )
    yield indented(field_grid(_head(told)))
    yield from section("facts", field_grid(_facts(told)))
    yield from section("answers", *(_answered(one) for one in told["answers"]))
    if not told["answers"]:
        yield indented(plain("no engine was asked", FAINT))
    if told["candidates"]:
        yield from section("candidates", *map(_candidate, told["candidates"]))
    yield from section("why", field_grid(_why(told)))
    if "again" in told:
        yield from section("asked again, under the present policies", *_again(told["again"]))


def _head(told: Told) -> Iterator[tuple[str, RenderableType]]:
    yield "decision", plain(told["decision_id"])
    if told["call_id"]:
        attempt = told["attempt"]
        yield "call", plain(told["call_id"]) + plain(f"  attempt {attempt}" if attempt != 1 else "", FAINT)
    if told["when"] == "recorded" and told["timestamp"]:
        yield "at", plain(told["timestamp"])
    if told["settings_revision"]:
        yield "settings", plain(f"revision {told['settings_revision']}")


def _facts(told: Told) -> Iterator[tuple[str, RenderableType]]:
    for key in ("subject", "resource"):
        entity = told[key]
        if entity:
            name = f"{entity.get('type')}:{entity.get('id')}"
            properties = _mapping(entity.get("properties"))
            yield key, plain(name) + plain(f"  {_pairs(properties)}" if properties else "", FAINT)
    if told["action"]:
        yield "action", plain(told["action"])
    for key, facts in told["text"].items():
        yield key, plain(_said(facts))
    if told["tool"]:
        yield "tool", plain(_pairs(told["tool"]))
    for number, one in enumerate(told["findings"]):
        times = f" x{one['count']}" if one["count"] > 1 else ""
        place = "the current turn" if one["current"] else "an earlier turn"
        yield (
            "found" if number == 0 else "",
            plain(f"{one['type']}{times}") + plain(f"  {one['origin']}, {place}", FAINT),
        )
    for key, value in told["facts"].items():
        yield key.replace("supported_obligations", "host can"), plain(_short(value))


def _said(facts: Mapping[str, Any]) -> str:
    parts = [counted(facts["length"], "code point")] if isinstance(facts.get("length"), int) else []
    parts += [counted(facts["words"], "word")] if isinstance(facts.get("words"), int) else []
    parts += ["with code"] if facts.get("code") is True else []
    origins = ", ".join(f"{origin} x{count}" for origin, count in facts["segments"].items())
    return ", ".join(parts) + (f"; {origins}, {facts['current']} current" if origins else "")


def _answered(answer: Mapping[str, Any]) -> RenderableType:
    failed = answer.get("cause") is not None
    said = f"failed: {answer['cause']}" if failed else str(answer.get("effect"))
    line = plain(answer.get("engine"), "bold") + plain(f"  {said}", BAD if failed else "")
    if isinstance(answer.get("duration_us"), int):
        line += plain(f"  {answer['duration_us']} us", FAINT)
    line += plain("  remembered", FAINT) if answer.get("cached") is True else plain("")
    return field_grid([("engine", line), *_details(answer)])


def _details(answer: Mapping[str, Any]) -> Iterator[tuple[str, RenderableType]]:
    if answer.get("detail_masked"):
        yield "detail", plain("hidden: it repeats the text", FAINT)
    elif answer.get("detail"):
        yield "detail", plain(answer["detail"])
    if answer.get("entrypoint"):
        yield "asked", plain(answer["entrypoint"])
    places = _mapping(answer.get("places"))
    at = "begins at " if answer.get("places_are") == "first definitions" else ""
    for number, policy in enumerate(answer.get("policy_ids", ())):
        place = places.get(policy)
        # An engine can name a policy by its place, and by its column where two share a line.
        known = place is None or f"{policy}:".startswith(f"{place}:")
        yield (
            "policies" if number == 0 else "",
            plain(policy) + plain("" if known else f"  {at}{place}", FAINT),
        )
    if answer.get("revision"):
        yield "revision", plain(answer["revision"])
    if answer.get("note"):
        yield "note", plain(answer["note"], WARNING)


def _candidate(candidate: Mapping[str, Any]) -> RenderableType:
    permitted = candidate.get("permitted") is True
    deployment = candidate.get("deployment")
    said = plain(candidate.get("id"), "bold") + plain("" if deployment is None else f" {deployment}", FAINT)
    said += plain("  ")
    said += plain("permitted", GOOD) if permitted else plain("refused", BAD)
    if candidate.get("enforced") is False:
        said += plain(" (monitor)", FAINT)
    codes = candidate.get("codes")
    why = ", ".join(map(str, codes)) if isinstance(codes, list) else ""
    return said + plain(f"  {why}" if why else "", FAINT)


def _why(told: Told) -> Iterator[tuple[str, RenderableType]]:
    kept = told["changes"].get("no_store") is not True
    hidden = "hidden: it repeats the text" if kept else "hidden: nothing of the call is stored"
    for number, reason in enumerate(told["reasons"]):
        message = hidden if reason.get("message_masked") else reason.get("message")
        words = plain(reason.get("code")) + plain(f"  {_short(message)}" if message else "", FAINT)
        yield "reasons" if number == 0 else "", words + plain(_written(reason), FAINT)
    if not told["reasons"]:
        yield "reasons", plain("none given", FAINT)
    for number, one in enumerate(told["obligations"]):
        state = str(one.get("state"))
        words = plain(f"{one.get('type')} {_pairs(_mapping(one.get('properties')))}".strip())
        words += plain(f"  {state}", {"done": GOOD, "failed": BAD}.get(state, WARNING))
        yield "obligations" if number == 0 else "", words
    if told["changes"]:
        yield "changes", plain(_pairs(told["changes"]))


def _written(reason: Mapping[str, Any]) -> str:
    places = reason.get("places", ())
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    return "".join(f"  {place}" for place in places[:_MOST_PLACES]) + more


def _again(told: Told) -> Iterator[RenderableType]:
    if not told["asked"]:
        yield plain(f"not asked: {told['why_not']}", FAINT)
        return
    for difference in told["differences"]:
        yield plain(difference, WARNING)
    if not told["differences"]:
        yield plain("they answer the same", GOOD)
    yield from (_answered(answer) for answer in told["answers"])


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_short(value)}" for key, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return _pairs(value)
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
