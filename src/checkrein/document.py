"""The input document: what every engine sees of a request (AuthZEN 1.0, extended).

Checks come first: what is over the limits, not strict UTF-8 or not finite never reaches an engine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from .detection import Detectors, Span
from .errors import RequestError
from .plain import encodable, plain
from .settings import Limits
from .vocabulary import AccessRequest, Entity, Finding, Origin, Segment, Stage

__all__ = ["EvaluationRequest", "build", "findings_of", "found_types", "starts_of", "with_resource"]

_TEXT_KEY: Final = {
    Stage.MODEL_SELECTION: "prompt",
    Stage.PRE_PROMPT: "prompt",
    Stage.POST_COMPLETION: "completion",
    Stage.TOOL_RESULT: "result",
}
# Computed here and nowhere else: a host's own value of the same name would shadow a fact.
_COMPUTED: Final = frozenset(
    {"prompt", "completion", "result", "findings", "identity", "supported_obligations"}
)
# What prose hardly ever holds; a word such as `class` or `import` says nothing.
# The character before each mark is looked for first: one that is not there costs next to nothing.
_CODE_MARKS: Final = (
    ("`", "```"),
    ("{", "{\n"),
    (";", ";\n"),
    (")", "):\n"),
    (")", "();"),
    ("#", "#include"),
    ("<", "</"),
)
# What `str.split` splits ASCII at becomes a space, all else an `x`.
_SHAPE: Final = bytes(ord(" " if chr(code).isspace() else "x") for code in range(256))
# What a model answers or calls is judged whole.
_ALL_CURRENT: Final = frozenset({Stage.POST_COMPLETION, Stage.TOOL_CALL, Stage.TOOL_RESULT})
_PRICED: Final = frozenset({Stage.MODEL_SELECTION, Stage.PRE_PROMPT})


@dataclass(slots=True, kw_only=True)
class EvaluationRequest:
    """A request as engines see it: checked, with facts, encoded at most once.

    Args:
        request: what the host asked.
        document: the input document, plain JSON values; not to be changed.
        findings: what the detectors found, as in the document.
    """

    request: AccessRequest
    document: Mapping[str, Any] = field(repr=False)
    findings: tuple[Finding, ...] = ()
    _json: bytes | None = field(default=None, repr=False)

    @property
    def stage(self) -> Stage:
        """The stage of the request."""
        return self.request.stage

    def json(self) -> bytes:
        """The document as UTF-8 JSON; encoded on the first call and reused by every engine."""
        if self._json is None:
            self._json = orjson.dumps(self.document)
        return self._json


def build(
    request: AccessRequest,
    *,
    detectors: Detectors,
    models: Mapping[str, Mapping[str, Any]],
    limits: Limits,
) -> EvaluationRequest:
    """Check a request, compute its facts and lay out the document.

    Args:
        request: what the host asked.
        detectors: the compiled detectors of every stage.
        models: properties by model name, from the settings; they outrank the host's.
        limits: what never reaches an engine.

    Raises:
        RequestError: the request is over a limit or not strict; its code is the denial's reason.
    """
    words = _check_text(request.segments, limits)
    max_depth = limits.depth
    document: dict[str, Any] = {
        "stage": request.stage._value_,
        "subject": _entity(request.subject, max_depth),
        "action": {"name": request.action_name},
        "resource": _entity(request.resource, max_depth),
    }
    if request.resource.type == "model" and request.resource.id in models:
        document["resource"]["properties"] |= models[request.resource.id]
    context = request.context
    if not _COMPUTED.isdisjoint(context):
        context = {key: value for key, value in context.items() if key not in _COMPUTED}
    context = plain(context, max_depth)
    if len(orjson.dumps((document, context))) > limits.facts:
        raise RequestError("limit.facts", f"what is no text is over the limit of `{limits.facts}` bytes")
    text = "\n".join([segment.text for segment in request.segments])
    current_from = _current_from(request)
    spans = detectors.find(request.stage, text)
    findings = findings_of(spans, request.segments, current_from) if spans else ()
    if len(findings) > limits.findings:
        raise RequestError("limit.findings", f"`{len(findings)}` findings are over `{limits.findings}`")
    key = _TEXT_KEY.get(request.stage)
    if key is not None:
        context[key] = _text_facts(request, text, words, current_from)
    context["findings"] = [_shown(finding) for finding in findings] if findings else []
    estimated = context.get("estimated")
    if isinstance(estimated, dict):
        estimated.pop("cost_micros", None)
        if request.stage in _PRICED:
            _add_cost(estimated, document["resource"]["properties"])
    context["identity"] = plain(request.identity, max_depth)
    context["supported_obligations"] = sorted(request.supports)
    environment = context.get("environment")
    if not isinstance(environment, dict):
        environment = context["environment"] = {}
    environment["time"] = _second(int(time.time()))
    document["context"] = context
    return EvaluationRequest(request=request, document=document, findings=findings)


def with_resource(
    evaluation: EvaluationRequest,
    resource: Entity,
    *,
    models: Mapping[str, Mapping[str, Any]],
    limits: Limits,
) -> EvaluationRequest:
    """The same question about another resource; the text and all else are not gone through again.

    Args:
        evaluation: as `build` made it.
        resource: what is asked about instead.
        models: as for `build`.
        limits: as for `build`.

    Raises:
        RequestError: the resource is over a limit or not strict.
    """
    entity = _entity(resource, limits.depth)
    if resource.type == "model" and resource.id in models:
        entity["properties"] |= models[resource.id]
    if len(orjson.dumps(entity)) > limits.facts:
        raise RequestError("limit.facts", f"a resource is over the limit of `{limits.facts}` bytes")
    context = evaluation.document["context"]
    if isinstance(context.get("estimated"), dict):
        estimated = {key: value for key, value in context["estimated"].items() if key != "cost_micros"}
        if evaluation.stage in _PRICED:
            _add_cost(estimated, entity["properties"])
        context = {**context, "estimated": estimated}
    return EvaluationRequest(
        request=replace(evaluation.request, resource=resource),
        document={**evaluation.document, "resource": entity, "context": context},
        findings=evaluation.findings,
    )


@lru_cache(maxsize=8)
def _second(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(finding: Finding) -> dict[str, Any]:
    return {
        "type": finding.type,
        "origin": finding.origin.value,
        "current": finding.current,
        "segment": finding.segment,
        "start": finding.start,
        "end": finding.end,
    }


def starts_of(segments: Sequence[Segment]) -> list[int]:
    """Where each segment starts in the joined text, in code points."""
    starts: list[int] = []
    place = 0
    for segment in segments:
        starts.append(place)
        place += len(segment.text) + 1
    return starts


def findings_of(spans: Sequence[Span], segments: Sequence[Segment], current_from: int) -> tuple[Finding, ...]:
    """Turn sorted spans of the joined text into findings, one for each segment that a span touches."""
    if not spans:
        return ()
    starts = starts_of(segments)
    findings: list[Finding] = []
    first = 0
    for span in spans:
        while first < len(segments) and starts[first] + len(segments[first].text) < span.start:
            first += 1
        index = first
        while index < len(segments) and (starts[index] < span.end or span.start == span.end == starts[index]):
            start = max(span.start, starts[index])
            end = min(span.end, starts[index] + len(segments[index].text))
            if start < end or span.start == span.end == start:
                findings.append(
                    Finding(
                        type=span.type,
                        origin=segments[index].origin,
                        current=index >= current_from and segments[index].origin is not Origin.SYSTEM,
                        segment=index,
                        start=start,
                        end=end,
                    )
                )
            index += 1
    return tuple(findings)


def found_types(context: Mapping[str, Any], *, current: bool) -> list[str]:
    """The types that were found: for engines whose language cannot search a list of findings.

    Args:
        context: the input document's.
        current: in the turn being answered alone. An assistant's last words in a prompt are put into its
            mouth and do not count; in its answer, and in its call of a tool, they are what is judged.
    """
    skipped = Origin.ASSISTANT.value if "prompt" in context else None
    return sorted(
        {
            finding["type"]
            for finding in context.get("findings", ())
            if not current or (finding["current"] and finding["origin"] != skipped)
        }
    )


def _current_from(request: AccessRequest) -> int:
    if request.stage in _ALL_CURRENT:
        return 0
    spoken = False
    for index in range(len(request.segments) - 1, -1, -1):
        segment = request.segments[index]
        if segment.origin is Origin.ASSISTANT:
            # An assistant's words at the very end are put into its mouth: the turn is the one before them.
            if spoken:
                return index + 1
        elif segment.origin is not Origin.SYSTEM and segment.text and not segment.text.isspace():
            spoken = True
    return 0


def _text_facts(request: AccessRequest, text: str, words: int, current_from: int) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    start = 0
    for index, segment in enumerate(request.segments):
        end = start + len(segment.text)
        role, origin = segment.role, segment.origin
        segments.append(
            {
                "role": role if role.isascii() else encodable(role),
                "origin": origin._value_,
                "current": index >= current_from and origin is not Origin.SYSTEM,
                "start": start,
                "end": end,
            }
        )
        start = end + 1
    facts: dict[str, Any] = {
        "length": len(text),
        "words": words,
        "code": _has_code(text),
        "segments": segments,
    }
    if request.stage is not Stage.MODEL_SELECTION:
        facts["text"] = text
    return facts


def _has_code(text: str) -> bool:
    for char, mark in _CODE_MARKS:  # noqa: SIM110 -- a generator costs more than looking
        if char in text and mark in text:
            return True
    return False


def _add_cost(estimated: dict[str, Any], properties: Mapping[str, Any]) -> None:
    total = 0
    for tokens, price in (("prompt_tokens", "input_price"), ("max_tokens", "output_price")):
        count, rate = estimated.get(tokens), properties.get(price)
        if type(count) is not int or type(rate) is not int:
            return  # unknown stays absent
        total += count * rate
    # Prices are micro-USD per million tokens; a started micro-dollar counts.
    estimated["cost_micros"] = -(-total // 1_000_000)


def _check_text(segments: Sequence[Segment], limits: Limits) -> int:
    """Refuse text that is over the limits or not strict; how many words it has, as `str.split` has them."""
    if len(segments) > limits.segments:
        raise RequestError("limit.segments", f"`{len(segments)}` segments are over `{limits.segments}`")
    most, size, words = limits.text, 0, 0
    for segment in segments:
        text = segment.text
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            raise RequestError(
                "limit.encoding", "the text holds a lone surrogate; send strict UTF-8"
            ) from None
        size += len(encoded) + len(segment.role)
        if size > most:
            raise RequestError("limit.text", f"the text is over the limit of `{most}` bytes")
        if len(encoded) == len(text):
            # ASCII: a word starts at every `x` after a space. Half the cost of making the words.
            shape = encoded.translate(_SHAPE)
            words += shape.count(b" x") + shape.startswith(b"x")
        else:
            words += len(text.split())
    return words


def _entity(entity: Entity, max_depth: int) -> dict[str, Any]:
    kind, name = entity.type, entity.id
    if not isinstance(kind, str) or not isinstance(name, str):
        raise RequestError("limit.type", "the type and the id of a subject or a resource are strings")
    return {
        "type": kind if type(kind) is str and kind.isascii() else encodable(kind),
        "id": name if type(name) is str and name.isascii() else encodable(name),
        "properties": plain(entity.properties, max_depth),
    }
