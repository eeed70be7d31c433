"""What `suite.py` is made of: plain requests, asking an engine, what must hold of any answer."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import orjson

from checkrein.detection import Detectors
from checkrein.document import EvaluationRequest, build
from checkrein.engine import PolicyEngine
from checkrein.errors import EngineFailure, FailureCause, RequestError
from checkrein.settings import Limits, Settings
from checkrein.vocabulary import (
    AccessRequest,
    Effect,
    Entity,
    Obligation,
    Origin,
    Reason,
    Segment,
    Stage,
    Verdict,
)

from .oddities import CANARY

__all__ = [
    "MEMBER",
    "PLAIN",
    "SETTINGS",
    "STAGES",
    "STRANGER",
    "ask",
    "asked",
    "evaluation_of",
    "exit_of_child",
    "no_more",
    "permits",
    "request_of",
    "spoil",
    "summary_of",
]

SETTINGS: Final = Settings(
    detectors={Stage.PRE_PROMPT: ("email", "us_ssn"), Stage.POST_COMPLETION: ("email", "us_ssn")},
    # The deepest that settings can let pass: an engine must not count on the default.
    limits=Limits(depth=200),
    models={"large": {"size": "large"}, "small": {"size": "small"}, "local": {"size": "small"}},
)
"""What the suite decides with."""

STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION, Stage.TOOL_CALL)
"""The stages that the suite's policy answers."""

MEMBER: Final = Entity(type="user", id="alice", properties={"tier": "pro"})
STRANGER: Final = Entity(type="user", id="mallory", properties={"tier": "guest"})
_SUSPENDED: Final = Entity(type="user", id="alice", properties={"tier": "pro", "suspended": True})

_FORK_SECONDS: Final = 30
_RIGHT, _FAILED, _WRONG, _RAISED = 0, 10, 11, 12
_OUTAGES: Final = frozenset({FailureCause.TIMEOUT, FailureCause.UNREACHABLE})


def request_of(stage: Stage, subject: Entity, text: str) -> AccessRequest:
    """A request of one piece of text, or of one tool call with it.

    Args:
        stage: where.
        subject: who.
        text: what is said.
    """
    origin = Origin.ASSISTANT if stage is Stage.POST_COMPLETION else Origin.USER
    spoken = stage is not Stage.TOOL_CALL
    return AccessRequest(
        stage=stage,
        subject=subject,
        resource=Entity(type="model", id="small") if spoken else Entity(type="tool", id="search"),
        context={} if spoken else {"tool": {"arguments": {"query": text}}},
        segments=(Segment(path=(0,), role=origin.value, origin=origin, text=text),) if spoken else (),
        supports=frozenset({"redact", "route"}),
    )


PLAIN: Final = (
    *(request_of(stage, STRANGER, "Hello") for stage in STAGES),
    request_of(Stage.PRE_PROMPT, _SUSPENDED, "Hello"),
    request_of(Stage.PRE_PROMPT, MEMBER, "My SSN is 536-22-8145"),
    request_of(Stage.TOOL_CALL, MEMBER, "horses"),
    request_of(Stage.PRE_PROMPT, MEMBER, "Write to eve@example.com"),
)
"""Plain requests, refused for three kinds of reasons; the last two are permitted, one with an obligation."""


def evaluation_of(request: AccessRequest) -> EvaluationRequest | None:
    """A request as engines see it; None when no engine ever sees it.

    Args:
        request: what a host asks.
    """
    try:
        return build(request, detectors=_detectors(), models=SETTINGS.models, limits=SETTINGS.limits)
    except RequestError:
        return None


@cache
def _detectors() -> Detectors:
    return Detectors.load(SETTINGS.detectors)


def asked(request: AccessRequest) -> EvaluationRequest:
    """A request that engines do see, as they see it.

    Args:
        request: what a host asks.
    """
    evaluation = evaluation_of(request)
    assert evaluation is not None
    return evaluation


def ask(engine: PolicyEngine, evaluation: EvaluationRequest) -> Verdict | EngineFailure:
    """Ask; a failure is handed back.

    Args:
        engine: whom.
        evaluation: what.

    Raises:
        AssertionError: the verdict is malformed, the failure shows what was asked or would pass for an
            outage, or the question was changed.
    """
    before = orjson.dumps(evaluation.document)
    answer: Verdict | EngineFailure
    try:
        answer = engine.evaluate(evaluation)
    except EngineFailure as failure:
        answer = failure
    assert orjson.dumps(evaluation.document) == before, "the question was changed"
    if isinstance(answer, EngineFailure):
        assert answer.cause not in _OUTAGES, f"a caller must not bring about `{answer.cause}`"
        assert CANARY not in "".join(traceback.format_exception(answer)), "a failure shows what was asked"
    else:
        _check(answer)
    return answer


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


def permits(answer: Verdict | EngineFailure) -> bool:
    """Whether an answer permits."""
    return isinstance(answer, Verdict) and answer.effect is Effect.PERMIT


def no_more(odd: Any, plain: Any, place: str) -> bool:
    """Whether the summary of an odd request's answer lets no more pass than that of its plain twin.

    Args:
        odd: the summary; None is a failure.
        plain: the other.
        place: where the odd value stands.
    """
    if odd is None or odd == plain:
        return True
    permitted, reasons, _ = odd
    # An action, a type or an id can be what the policy asks for: then nothing matches any more.
    named = place in {"actions", "types", "resource ids"}
    return named and not permitted and set(reasons) <= set(plain[1])


def exit_of_child(
    engine: PolicyEngine, evaluations: Sequence[EvaluationRequest], right: Sequence[Any]
) -> str:
    """Fork, and let the child ask everything, in bounded time and without a word.

    Args:
        engine: whom.
        evaluations: what.
        right: the summaries of the right answers.

    Returns:
        `right`, `failed` when some answers are failures and the others are right, otherwise what went wrong.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn where threads are
        child = os.fork()
    if child == 0:
        status = _RAISED
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_FORK_SECONDS)
            answers = [summary_of(ask(engine, one)) for one in evaluations]
            wrong = any(one not in (None, other) for one, other in zip(answers, right, strict=True))
            status = _WRONG if wrong else _FAILED if None in answers else _RIGHT
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(ended)
    known = {_RIGHT: "right", _FAILED: "failed", _WRONG: "answered wrongly", _RAISED: "raised"}
    return known.get(code, f"ended with status {code}")
