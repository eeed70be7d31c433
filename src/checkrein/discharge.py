"""Carries out what the kernel can: turns a plan of obligations into changes for the host to write."""

from __future__ import annotations

from typing import Any

from .decision import Changes
from .detection import Detectors
from .document import EvaluationRequest
from .findings import spans_by_segment
from .obligations import ObligationProblem, Plan
from .redaction import redact, survivors
from .vocabulary import Segment, Stage

__all__ = ["changes_of"]


def changes_of(plan: Plan, evaluation: EvaluationRequest, detectors: Detectors) -> Changes:
    """Turn a plan into changes.

    Raises:
        ObligationProblem: `obligation_failed` when a finding survives its redaction.
    """
    texts: dict[tuple[str | int, ...], str] = {}
    if plan.replace is not None:
        texts = _replacement(plan.replace, evaluation)
    elif plan.redact:
        texts = _redaction(frozenset(plan.redact), evaluation, detectors)
    return Changes(
        texts=texts,
        model=None,
        max_tokens=_smaller(plan.max_tokens, evaluation.document["context"]),
        parameters=dict(plan.parameters),
        remove_tools=frozenset(plan.remove_tools),
        no_store=plan.no_store,
    )


def _replacement(text: str, evaluation: EvaluationRequest) -> dict[tuple[str | int, ...], str]:
    segments: list[Segment] = list(evaluation.request.segments)
    if evaluation.stage is Stage.PRE_PROMPT:
        facts = evaluation.document["context"]["prompt"]["segments"]
        segments = [segment for segment, fact in zip(segments, facts, strict=True) if fact["current"]]
    return {segment.path: text if index == 0 else "" for index, segment in enumerate(segments)}


def _redaction(
    types: frozenset[str], evaluation: EvaluationRequest, detectors: Detectors
) -> dict[tuple[str | int, ...], str]:
    segments = evaluation.request.segments
    found = [finding for finding in evaluation.findings if finding.type in types]
    if not found:
        return {}
    spans = spans_by_segment(found, segments)
    results: list[str] = []
    written: list[tuple[int, int]] = []
    place = 0
    for index, segment in enumerate(segments):
        result, marks = redact(segment.text, spans.get(index, ()))
        written += [(place + start, place + end) for start, end in marks]
        results.append(result)
        place += len(result) + 1
    left = survivors("\n".join(results), written, types, lambda text: detectors.find(evaluation.stage, text))
    if left:
        raise ObligationProblem(
            "obligation_failed", f"a finding of type `{left[0].type}` is still there after redaction"
        )
    return {segments[index].path: results[index] for index in spans}


def _smaller(limit: int | None, context: Any) -> int | None:
    estimated = context.get("estimated")
    asked = estimated.get("max_tokens") if isinstance(estimated, dict) else None
    if limit is None or type(asked) is not int or asked < 1:
        return limit
    return min(limit, asked)
