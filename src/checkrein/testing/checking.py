"""Asks an engine directly, and checks what must hold of any answer that it gives."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import orjson

from checkrein.detection import Detectors
from checkrein.document import EvaluationRequest, build
from checkrein.engine import PolicyEngine
from checkrein.errors import EngineFailure, FailureCause, RequestError
from checkrein.settings import Limits, Settings
from checkrein.vocabulary import AccessRequest, Effect, Obligation, Reason, Stage, Verdict

from .oddities import CANARY

__all__ = ["SETTINGS", "ask", "evaluation_of", "spoil", "summary_of"]

SETTINGS: Final = Settings(
    detectors={Stage.PRE_PROMPT: ("email", "us_ssn"), Stage.POST_COMPLETION: ("email", "us_ssn")},
    models={"large": {"size": "large"}, "small": {"size": "small"}, "local": {"size": "small"}},
)
"""What the suite decides with."""

# The deepest that settings can let pass: an engine must not count on the default.
_LIMITS: Final = Limits(depth=200)
_OUTAGES: Final = frozenset({FailureCause.TIMEOUT, FailureCause.UNREACHABLE})


def evaluation_of(request: AccessRequest) -> EvaluationRequest | None:
    """A request as engines see it; None when no engine ever sees it.

    Args:
        request: what a host asks.
    """
    try:
        return build(request, detectors=_detectors(), models=SETTINGS.models, limits=_LIMITS)
    except RequestError:
        return None


@cache
def _detectors() -> Detectors:
    return Detectors.load(SETTINGS.detectors)


def ask(engine: PolicyEngine, evaluation: EvaluationRequest) -> Verdict | EngineFailure:
    """Ask; a failure is handed back.

    Args:
        engine: whom.
        evaluation: what.

    Raises:
        AssertionError: the verdict is malformed, the failure shows what was asked or would pass for an outage,
            or the question was changed.
    """
    before = orjson.dumps(evaluation.document)
    try:
        verdict = engine.evaluate(evaluation)
    except EngineFailure as failure:
        assert failure.cause not in _OUTAGES, f"a caller must not bring about `{failure.cause}`"
        assert CANARY not in "".join(traceback.format_exception(failure)), "a failure shows what was asked"
        return failure
    finally:
        assert orjson.dumps(evaluation.document) == before, "the question was changed"
    _check(verdict)
    return verdict


def _check(verdict: Verdict) -> None:
    assert type(verdict) is Verdict
    assert type(verdict.effect) is Effect
    assert type(verdict.reasons) is tuple
    for reason in verdict.reasons:
        assert type(reason) is Reason
        assert type(reason.code) is str
        assert reason.code
        assert type(reason.message) is str
    assert type(verdict.obligations) is tuple
    for obligation in verdict.obligations:
        assert type(obligation) is Obligation
        assert type(obligation.type) is str
        assert isinstance(obligation.properties, Mapping)
        orjson.dumps(dict(obligation.properties))
        assert obligation.id is None or type(obligation.id) is str
    assert type(verdict.policy_ids) is tuple
    assert all(type(one) is str for one in verdict.policy_ids)
    assert verdict.revision is None or type(verdict.revision) is str
    assert type(verdict.cached) is bool


def summary_of(answer: Verdict | EngineFailure) -> Any:
    """What of an answer is the same on every engine: effect aside, whether it permits, codes, obligations."""
    if isinstance(answer, EngineFailure):
        return None
    obligations = sorted(
        orjson.dumps((one.type, dict(one.properties)), option=orjson.OPT_SORT_KEYS)
        for one in answer.obligations
    )
    return answer.effect is Effect.PERMIT, sorted({one.code for one in answer.reasons}), obligations


def spoil(value: Any) -> None:
    """Change a value in place as far as it lets itself be changed, as a careless host would."""
    if isinstance(value, dict):
        for one in value.values():
            spoil(one)
        value["spoilt"] = True
    elif isinstance(value, list):
        for one in value:
            spoil(one)
        value.append("spoilt")
