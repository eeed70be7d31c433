"""The input document: what every engine sees of a request (AuthZEN 1.0, extended).

Checks come first: what is over the limits, not strict UTF-8 or not finite never reaches an engine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from .detection import Detectors
from .errors import RequestError
from .findings import findings_of, shown
from .plain import encodable, plain
from .settings import Limits
from .text_facts import check_text, current_from, text_facts
from .vocabulary import AccessRequest, Entity, Finding, Stage

__all__ = ["EvaluationRequest", "build", "with_resource"]

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
_PRICED: Final = frozenset({Stage.MODEL_SELECTION, Stage.PRE_PROMPT})
# Some providers take -1, or 0, for as many tokens as there are: below these a count is unknown.
_LEAST: Final = {"prompt_tokens": 0, "max_tokens": 1}


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
    words = check_text(request.segments, limits)
    max_depth = limits.depth
    document: dict[str, Any] = {
        "stage": request.stage._value_,
        "subject": _entity(request.subject, max_depth),
        "action": {"name": request.action_name},
        "resource": _resource(request.resource, models, max_depth),
    }
    context = request.context
    if not _COMPUTED.isdisjoint(context):
        context = {key: value for key, value in context.items() if key not in _COMPUTED}
    context = plain(context, max_depth)
    if len(orjson.dumps((document, context))) > limits.facts:
        raise RequestError("limit.facts", f"what is no text is over the limit of `{limits.facts}` bytes")
    text = "\n".join([segment.text for segment in request.segments])
    current = current_from(request)
    most = limits.findings
    spans = detectors.find(request.stage, text, most)
    findings = findings_of(spans, request.segments, current) if 0 < len(spans) <= most else ()
    if len(spans) > most or len(findings) > most:
        raise RequestError("limit.findings", f"what detectors find is over the limit of `{most}` findings")
    key = _TEXT_KEY.get(request.stage)
    if key is not None:
        context[key] = text_facts(request, text, words, current)
    context["findings"] = [shown(finding) for finding in findings] if findings else []
    estimated = context.get("estimated")
    if isinstance(estimated, dict):
        _price(estimated, request.stage, document["resource"]["properties"])
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
    entity = _resource(resource, models, limits.depth)
    if len(orjson.dumps(entity)) > limits.facts:
        raise RequestError("limit.facts", f"a resource is over the limit of `{limits.facts}` bytes")
    context = evaluation.document["context"]
    if isinstance(context.get("estimated"), dict):
        context = {**context, "estimated": {**context["estimated"]}}
        _price(context["estimated"], evaluation.stage, entity["properties"])
    return EvaluationRequest(
        request=replace(evaluation.request, resource=resource),
        document={**evaluation.document, "resource": entity, "context": context},
        findings=evaluation.findings,
    )


@lru_cache(maxsize=8)
def _second(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _price(estimated: dict[str, Any], stage: Stage, properties: Mapping[str, Any]) -> None:
    """Compute the cost of a call that is yet to be made; unknown stays absent."""
    estimated.pop("cost_micros", None)
    for name, least in _LEAST.items():
        count = estimated.get(name)
        if isinstance(count, int | float) and not isinstance(count, bool) and count < least:
            del estimated[name]
    if stage not in _PRICED:
        return
    total = 0
    for tokens, price in (("prompt_tokens", "input_price"), ("max_tokens", "output_price")):
        count, rate = estimated.get(tokens), properties.get(price)
        if type(count) is not int or type(rate) is not int or rate < 0:
            return
        total += count * rate
    # Prices are micro-USD per million tokens; a started micro-dollar counts.
    estimated["cost_micros"] = -(-total // 1_000_000)


def _resource(resource: Entity, models: Mapping[str, Mapping[str, Any]], max_depth: int) -> dict[str, Any]:
    laid_out = _entity(resource, max_depth)
    if resource.type == "model" and resource.id in models:
        laid_out["properties"] |= models[resource.id]
    return laid_out


def _entity(entity: Entity, max_depth: int) -> dict[str, Any]:
    kind, name = entity.type, entity.id
    if not isinstance(kind, str) or not isinstance(name, str):
        raise RequestError("limit.type", "the type and the id of a subject or a resource are strings")
    return {
        "type": kind if type(kind) is str and kind.isascii() else encodable(kind),
        "id": name if type(name) is str and name.isascii() else encodable(name),
        "properties": plain(entity.properties, max_depth),
    }
