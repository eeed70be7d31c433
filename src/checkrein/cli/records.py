"""Reads decision records, and lays a decision of this moment out as one; without text in both cases."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from checkrein.decision import Decision
from checkrein.decision_log.encoding import encode
from checkrein.decision_log.masking import Masking
from checkrein.decision_log.recording import concluded, stamped
from checkrein.vocabulary import Origin, Segment

__all__ = [
    "MOST",
    "Record",
    "find_records",
    "is_record",
    "listed",
    "mapping",
    "parsed",
    "record_of",
    "without_text",
]

Record = Mapping[str, Any]
"""A decision as the log has it; it comes from a file: nothing about its shape is certain."""

MOST: Final = 100
# The settings allow 200 levels of a request, and a record has some of its own around it.
_DEEPEST: Final = 220
_LONGEST_LINE: Final = 64 * 1024 * 1024
_TEXTS: Final = ("prompt", "completion", "result")


def is_record(value: Any) -> bool:
    """Whether a JSON value is a decision record."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("decision_id"), str)
        and isinstance(value.get("permitted"), bool)
    )


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(record: Record, key: str) -> list[Mapping[str, Any]]:
    """The mappings in a list of a record."""
    value = record.get(key)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def parsed(content: bytes) -> Any:
    """A JSON document whose depth is one that a request or a record can have.

    Args:
        content: UTF-8.

    Raises:
        ValueError: it is none, or nested deeper.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        nested = [one for one in level if isinstance(one, dict | list)]
        level = [item for one in nested for item in (one.values() if isinstance(one, dict) else one)]
    return value


def find_records(log: Path, wanted: str) -> Iterator[Record]:
    """The records of one decision or of one call, in the log's order.

    Args:
        log: a decision log, one JSON document a line; other lines in it are passed over.
        wanted: a decision's id or a call's.

    Raises:
        OSError: it cannot be read.
    """
    # As it stands in the line: an id that a host made up can hold what JSON escapes.
    needle = json.dumps(wanted, ensure_ascii=False)[1:-1].encode(errors="replace")
    with log.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            if needle not in line:
                continue
            try:
                value = parsed(line)
            except ValueError:
                continue
            if is_record(value) and wanted in (value["decision_id"], value.get("call_id")):
                yield value


def record_of(decision: Decision) -> Record:
    """A decision as the log would have it with `content: facts`: what repeats its text is hidden.

    Args:
        decision: of this moment.
    """
    event: Any = {"event": "policy_decision", "decision": decision}
    for processor in (stamped, concluded, _masking()):
        event = processor(None, "", event)
    del event["decision"], event["text"]
    value: Record = json.loads(encode(event))
    return value


def without_text(record: Record) -> Record:
    """A record as if it had been written with `content: facts`.

    Args:
        record: one of any content; what repeats text that stands in it is hidden as well.
    """
    document = mapping(record.get("input"))
    context = document.get("context")
    if not isinstance(context, Mapping):
        return record
    segments = list(_segments(context))
    if not any(segment.text for segment in segments) and not _raw_arguments(context):
        return record
    # What the log does to a decision is done to the record: one place decides what text is.
    seen = SimpleNamespace(
        document={**document, "context": {**context, **dict(_with_text(context))}},
        request=SimpleNamespace(segments=segments),
        findings=_found(context, segments),
        changes=SimpleNamespace(no_store=False),
    )
    event: Any = {**_copied(record), "decision": seen, "call_id": str(record.get("call_id", ""))}
    for key in ("reasons", "answers", "obligations"):
        event.setdefault(key, [])
    try:
        event = _masking()(None, "", event)
    except (AttributeError, LookupError, TypeError, ValueError):
        # Of a record that no log wrote, nothing is shown that could be text.
        return {**record, "input": {}, "reasons": [], "answers": [], "obligations": []}
    del event["decision"], event["text"]
    hidden: Record = event
    return hidden


def _masking() -> Any:
    return Masking("facts", secrets.token_bytes(32))


def _copied(record: Record) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(record))
    return copy


def _segments(context: Mapping[str, Any]) -> Iterator[Segment]:
    for key in _TEXTS:
        facts = context.get(key)
        listed = facts.get("segments") if isinstance(facts, Mapping) else None
        for index, one in enumerate(listed if isinstance(listed, list) else ()):
            text = one.get("text", "") if isinstance(one, Mapping) else ""
            yield Segment(path=(index,), role="", origin=Origin.USER, text=str(text))


def _raw_arguments(context: Mapping[str, Any]) -> bool:
    tool = context.get("tool")
    arguments = tool.get("arguments") if isinstance(tool, Mapping) else None
    return arguments is not None and not (
        isinstance(arguments, Mapping) and arguments.keys() == {"names", "digest"}
    )


def _found(context: Mapping[str, Any], segments: list[Segment]) -> list[Any]:
    """Where the findings stand, as long as the text is whole: what is masked is gone already."""
    listed = context.get("findings")
    findings = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    length = sum(len(segment.text) + 1 for segment in segments) - 1
    places = [(one.get("start"), one.get("end")) for one in findings]
    if not all(isinstance(start, int) and isinstance(end, int) and end <= length for start, end in places):
        return []
    return [SimpleNamespace(start=start, end=end) for start, end in places]


def _with_text(context: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in _TEXTS:
        facts = context.get(key)
        if isinstance(facts, Mapping):
            yield key, {"segments": [], **facts, "text": ""}
