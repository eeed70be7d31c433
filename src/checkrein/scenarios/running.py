"""Asks a scenario's question, and compares what came with what was expected."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint

from .scenario import Scenario

__all__ = ["ScenarioResult", "arun_scenario", "run_scenario"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """What came of a scenario.

    Args:
        scenario: what was asked.
        decision: what was concluded.
        failures: per expectation that did not hold, what was expected and what came.
    """

    scenario: Scenario
    decision: Decision
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything came as expected."""
        return not self.failures


def run_scenario(pep: EnforcementPoint, scenario: Scenario) -> ScenarioResult:
    """Ask a scenario's question and compare.

    Args:
        pep: it should enforce: under `monitor` nothing is rewritten or routed.
        scenario: the question.
    """
    request = scenario.request()
    if scenario.candidates is not None:
        return _compared(scenario, pep.filter_candidates(request, scenario.candidates))
    return _compared(scenario, pep.decide(request, lambda name: pep.settings.models.get(name, {})))


async def arun_scenario(pep: EnforcementPoint, scenario: Scenario) -> ScenarioResult:
    """As `run_scenario`, without blocking the event loop on a remote engine."""
    request = scenario.request()
    if scenario.candidates is not None:
        return _compared(scenario, await pep.afilter_candidates(request, scenario.candidates))
    decision = await pep.adecide(request, lambda name: pep.settings.models.get(name, {}))
    return _compared(scenario, decision)


def _compared(scenario: Scenario, decision: Decision) -> ScenarioResult:
    texts = (decision.changes.texts.get(piece.path, piece.text) for piece in decision.request.segments)
    came = {
        "permitted": decision.permitted,
        "reasons": sorted({reason.code for reason in decision.reasons}),
        "obligations": _obligations(decision),
        "text": "\n".join(texts),
        "model": decision.changes.model,
        "candidates": [one.resource.id for one in decision.candidates if one.permitted],
    }
    wanted = scenario.expect.model_dump(include=scenario.expect.model_fields_set)
    failures = [
        f"{key}: expected {_written(value)}, got {_written(came[key])}"
        for key, value in wanted.items()
        if _written(value) != _written(came[key])
    ]
    if decision.failure is not None and "reasons" not in wanted:
        # An engine that is broken denies everything: that must not pass for a policy that denies.
        failures.append(
            f"failure: expected an answer, got {_written(decision.failure)}; name it in `reasons`"
        )
    return ScenarioResult(scenario=scenario, decision=decision, failures=tuple(failures))


def _obligations(decision: Decision) -> list[dict[str, Any]]:
    held = [one.obligation for one in decision.obligations]
    given = [{"type": one.type, "properties": one.properties} for one in held]
    # The decision on the target no longer lists the route that led to it.
    if decision.changes.model is not None and all(one.type != "route" for one in held):
        given.append({"type": "route", "properties": {"model": decision.changes.model}})
    return given


def _written(value: Any) -> str:
    """A value as JSON, where `true` is not `1`; what has no order is sorted."""
    if isinstance(value, list | tuple | frozenset):
        return f"[{', '.join(sorted(map(_written, value)))}]"
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
