"""How `checkrein explain` looks for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from .explain_report import Told
from .records import mapping
from .render import BAD, FAINT, GOOD, WARNING, counted, field_grid, indented, plain, section

__all__ = ["render"]

_LONGEST: Final = 512
_MOST_PLACES: Final = 3


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
            properties = mapping(entity.get("properties"))
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
    places = mapping(answer.get("places"))
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
        words = plain(f"{one.get('type')} {_pairs(mapping(one.get('properties')))}".strip())
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
