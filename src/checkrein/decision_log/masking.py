"""Decides what of a call's content a record shows: facts and keyed digests, masked text, or everything."""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import orjson
from structlog.typing import EventDict

from checkrein.decision import Decision
from checkrein.findings import spans_by_segment
from checkrein.redaction import redact
from checkrein.vocabulary import AccessRequest

from .echoes import Echoes, hide, speaks
from .recording import named
from .settings import Content

__all__ = ["Masking"]

_MOST: Final = 1000
_LONGEST: Final = 256
_CALLS: Final = 10_000
_TEXTS: Final = ("prompt", "completion", "result")
# Keys of the context that hold facts; whatever else a host adds could be text.
_FACTS: Final = frozenset((
    "approval", "candidates", "environment", "estimated", "finish_reason", "identity", "model", "operation",
    "partial", "released", "supported_obligations", "tokens", "tools", "uninspected", "usage",
))  # fmt: skip
_OWN: Final = frozenset({*_TEXTS, "findings", "tool"})
_ROLES: Final = frozenset({"assistant", "system", "tool", "user"})
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)


class Masking:
    """The processor that adds `input`; and, for the sink, how many code points of text it shows (`text`).

    Args:
        content: how much to show; less for a call that a policy said must not be stored.
        key: key of the digests, 16 to 64 bytes, so that nobody can try out texts.
    """

    def __init__(self, content: Content, key: bytes) -> None:
        self._content: Content = content
        self._hash = blake2b(key=key, digest_size=16)
        self._unstored: OrderedDict[str, None] = OrderedDict()

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        """Add the input and hide what the settings do not show."""
        decision: Decision = event["decision"]
        if decision.changes.no_store:
            self._unstored[event["call_id"]] = None
            if len(self._unstored) > _CALLS:
                self._unstored.popitem(last=False)
        no_store = event["call_id"] in self._unstored
        content: Content = "facts" if no_store or not decision.document else self._content
        if not speaks(event):
            pass
        elif content == "full":
            hide(event, lambda _: False, sys.maxsize)
        else:
            hide(event, (lambda _: True) if no_store else Echoes(decision), _LONGEST)
        shown = self._input(event, decision, content) if decision.document else _refused(decision.request)
        event["input"] = shown
        return event

    def _digest(self, text: bytes) -> str:
        digest = self._hash.copy()
        digest.update(text)
        return digest.hexdigest()

    def _input(self, event: EventDict, decision: Decision, content: Content) -> dict[str, Any]:
        context: Mapping[str, Any] = decision.document.get("context", {})
        shown = dict(context) if content == "full" else self._facts(context)
        event["text"] = len(str(context.get("tool", ""))) if content == "full" else 0
        for key in _TEXTS:
            if key in context:
                shown[key] = self._segments(event, decision, context[key], content)
        _add(shown, "findings", context.get("findings", []))
        return {**decision.document, "context": shown}

    def _facts(self, context: Mapping[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        omitted: list[str] = []
        for key, value in context.items():
            if key in _FACTS:
                kind = type(value)
                # Encoding is one call, and where all of a fact is short, so is everything in it.
                short = (kind is dict or kind is list) and len(orjson.dumps(value)) <= _LONGEST
                shown[key] = value if short else _short(value)
            elif key not in _OWN:
                if value is None or isinstance(value, int | float):
                    shown[key[:_LONGEST]] = value
                else:
                    omitted.append(key[:_LONGEST])
        if omitted:
            shown["omitted"] = omitted[:_MOST]
        tool = context.get("tool")
        if tool is not None and isinstance(tool, Mapping):
            shown["tool"] = {key: named(tool[key]) for key in ("name", "call_id") if key in tool}
            if "arguments" in tool:
                shown["tool"]["arguments"] = self._arguments(tool["arguments"])
        return shown

    def _arguments(self, arguments: Any) -> dict[str, Any]:
        # A model writes the names too: what does not look like one could be anything.
        names = [key for key in arguments if _NAME.fullmatch(key)] if isinstance(arguments, Mapping) else []
        digest = self._digest(orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS))
        return {"names": sorted(names)[:_MOST], "digest": digest}

    def _segments(
        self, event: EventDict, decision: Decision, facts: Mapping[str, Any], content: Content
    ) -> dict[str, Any]:
        # Where the document has no text, no detector has read it: it could not be masked.
        readable = content != "facts" and "text" in facts
        masked = decision.findings if content == "masked" else ()
        spans = spans_by_segment(masked, decision.request.segments) if masked else {}
        entries = []
        for index, seen in enumerate(facts["segments"]):
            text, role = decision.request.segments[index].text, seen["role"]
            entry = {**seen, "digest": self._digest(text.encode())}
            if role not in _ROLES and content != "full" and not _NAME.fullmatch(str(role)):
                entry["role"] = "other"
            if readable:
                entry["text"] = redact(text, spans.get(index, ()))[0]
                event["text"] += len(entry["text"])
            entries.append(entry)
            if len(entries) >= _MOST:
                break
        shown = dict(facts)
        shown.pop("text", None)
        shown["segments"] = entries
        if len(facts["segments"]) > _MOST:
            shown["segments_omitted"] = len(facts["segments"]) - _MOST
        return shown


def _add(shown: dict[str, Any], key: str, items: Sequence[Any]) -> None:
    shown[key] = items[:_MOST]
    if len(items) > _MOST:
        shown[f"{key}_omitted"] = len(items) - _MOST


def _short(value: Any) -> Any:
    """A fact with its strings and lists cut: facts are names and numbers."""
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, dict | list) and len(orjson.dumps(value)) <= _LONGEST:
        return value
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value[:_MOST]] if isinstance(value, list) else value


def _refused(request: AccessRequest) -> dict[str, Any]:
    """What is safe to show of a request that was refused before it was read: names and sizes."""
    texts = [getattr(segment, "text", None) for segment in request.segments]
    return {
        "subject": {name: named(getattr(request.subject, name, None)) for name in ("type", "id")},
        "resource": {name: named(getattr(request.resource, name, None)) for name in ("type", "id")},
        "segments": len(texts),
        "length": sum(len(text) for text in texts if isinstance(text, str)),
    }
