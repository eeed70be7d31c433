"""How the answers of several engines become one judgement: `all` and `by`.

XACML's deny-overrides is not offered: with an allow-list engine beside a content engine it fails open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, NamedTuple, Protocol

from .decision import Answer
from .document import EvaluationRequest
from .engine import PolicyEngine
from .errors import EngineFailure, FailureCause
from .flow import Flow
from .vocabulary import Effect, Obligation, Reason, Stage, Verdict

__all__ = ["All", "Ask", "By", "EngineNode", "Failure", "Judgement", "Node"]


@dataclass(frozen=True, slots=True)
class Failure:
    """One engine's failure.

    Args:
        cause: why.
        remote: whether the engine is remote: only then can it open.
    """

    cause: FailureCause
    remote: bool


class Judgement(NamedTuple):
    """What a node of the tree came to; a tuple, because one is made for every engine that is asked.

    Args:
        effect: the engines' effect, or None when no engine gave a usable answer.
        reasons: why.
        obligations: of every engine that permitted, in order; on a refusal, `no_store` alone.
        failures: of the engines that failed; they matter only beside a permit or nothing.
        answers: per engine asked, for the record.
    """

    effect: Effect | None
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    failures: tuple[Failure, ...] = ()
    answers: tuple[Answer, ...] = ()


class Node(Protocol):
    """An engine or a combination of them."""

    @property
    def engines(self) -> tuple[PolicyEngine, ...]:
        """Every engine below."""

    def covers(self, stage: Stage) -> bool:
        """Whether anything below can answer this stage."""

    def judge(self, request: EvaluationRequest) -> Flow[Judgement]:
        """Ask what has to be asked."""


@dataclass(slots=True, eq=False)
class Ask:
    """The step that asks an engine: inline when embedded, awaited when remote."""

    engine: PolicyEngine
    request: EvaluationRequest

    def perform(self) -> Verdict:
        """Ask, blocking."""
        return self.engine.evaluate(self.request)

    async def aperform(self) -> Verdict:
        """Ask; an embedded engine inline, because a thread hop costs more than it does."""
        aevaluate = getattr(self.engine, "aevaluate", None)
        if aevaluate is None:
            return self.engine.evaluate(self.request)
        verdict: Verdict = await aevaluate(self.request)
        return verdict


@dataclass(frozen=True, slots=True)
class EngineNode:
    """A leaf: one engine."""

    engine: PolicyEngine

    @property
    def engines(self) -> tuple[PolicyEngine, ...]:
        """The engine."""
        return (self.engine,)

    def covers(self, stage: Stage) -> bool:
        """Whether the engine answers this stage."""
        return stage in self.engine.stages

    def judge(self, request: EvaluationRequest) -> Flow[Judgement]:
        """Ask it; whatever it raises or hands back becomes an answer."""
        started = perf_counter_ns()
        failure: EngineFailure | None = None
        verdict: Any = None
        try:
            verdict = yield Ask(self.engine, request)
        except EngineFailure as error:
            failure = error
        except Exception as error:  # noqa: BLE001 -- a broken engine is a failure
            # The exception's own words could echo the prompt: its type is what an operator gets.
            failure = EngineFailure(FailureCause.ENGINE_ERROR, f"`{type(error).__name__}` was raised")
        if failure is None and not _well_formed(verdict):
            failure = EngineFailure(FailureCause.INVALID_ANSWER, f"`{type(verdict).__name__}` is no verdict")
        duration = (perf_counter_ns() - started) // 1000
        if failure is not None:
            answer = Answer(
                engine=self.engine.name, cause=failure.cause, detail=failure.detail, duration_us=duration
            )
            return Judgement(
                effect=None, failures=(Failure(failure.cause, self.engine.remote),), answers=(answer,)
            )
        answer = Answer(
            engine=self.engine.name,
            effect=verdict.effect,
            policy_ids=verdict.policy_ids,
            revision=verdict.revision,
            cached=verdict.cached,
            decision_id=verdict.decision_id,
            duration_us=duration,
        )
        obligations = verdict.obligations
        if obligations and verdict.effect is not Effect.PERMIT:
            obligations = _kept(obligations)
        # By place: a name for each field costs four times as much.
        return Judgement(verdict.effect, verdict.reasons, obligations, (), (answer,))


def _kept(obligations: Sequence[Obligation]) -> tuple[Obligation, ...]:
    """What holds on a refusal too: that nothing of the call is stored."""
    return tuple(one for one in obligations if one.type == "no_store")


def _well_formed(verdict: Any) -> bool:
    """Types are promises of the plug-in's author alone: what decides is looked at."""
    return (
        isinstance(verdict, Verdict)
        and type(verdict.effect) is Effect
        and type(verdict.reasons) is tuple
        and (not verdict.reasons or all(map(_is_reason, verdict.reasons)))
        and type(verdict.obligations) is tuple
        and (not verdict.obligations or all(map(_is_obligation, verdict.obligations)))
        and type(verdict.policy_ids) is tuple
        and all(type(one) is str for one in verdict.policy_ids)
        and (verdict.decision_id is None or type(verdict.decision_id) is str)
    )


def _is_reason(one: Any) -> bool:
    return type(one) is Reason and type(one.code) is str and type(one.message) is str


def _is_obligation(one: Any) -> bool:
    return type(one) is Obligation and type(one.type) is str and isinstance(one.properties, Mapping)


@dataclass(frozen=True, slots=True)
class All:
    """Permits only if every member that covers the stage permits.

    It stops at the first deny or not_applicable; a failing member does not stop it, because a refusal
    outranks a failure. No member asked = not_applicable.
    """

    members: Sequence[Node]

    @property
    def engines(self) -> tuple[PolicyEngine, ...]:
        """Every member's."""
        return tuple(engine for member in self.members for engine in member.engines)

    def covers(self, stage: Stage) -> bool:
        """Whether any member does."""
        return any(member.covers(stage) for member in self.members)

    def judge(self, request: EvaluationRequest) -> Flow[Judgement]:
        """Ask the members in order."""
        reasons: list[Reason] = []
        obligations: list[Obligation] = []
        failures: list[Failure] = []
        answers: list[Answer] = []
        permits = 0
        for member in self.members:
            if not member.covers(request.stage):
                continue
            judgement = yield from member.judge(request)
            answers += judgement.answers
            failures += judgement.failures
            if judgement.effect in (Effect.DENY, Effect.NOT_APPLICABLE):
                return Judgement(
                    effect=judgement.effect,
                    reasons=judgement.reasons,
                    obligations=(*_kept(obligations), *judgement.obligations),
                    failures=tuple(failures),
                    answers=tuple(answers),
                )
            if judgement.effect is Effect.PERMIT:
                permits += 1
                reasons += judgement.reasons
                obligations += judgement.obligations
        effect = Effect.PERMIT if permits else None if failures else Effect.NOT_APPLICABLE
        return Judgement(
            effect=effect,
            reasons=tuple(reasons),
            obligations=tuple(obligations),
            failures=tuple(failures),
            answers=tuple(answers),
        )


@dataclass(frozen=True, slots=True)
class By:
    """Picks one member by a property of the input document.

    Args:
        key: a dotted path, for instance `subject.properties.tenant`.
        cases: member by the property's value.
        otherwise: for every other string, and where nothing stands there; None = not_applicable.

    What stands there and is no string is not_applicable: nobody said whose it is.
    """

    key: str
    cases: Mapping[str, Node]
    otherwise: Node | None = None

    @property
    def engines(self) -> tuple[PolicyEngine, ...]:
        """Every member's."""
        return tuple(engine for node in self._nodes() for engine in node.engines)

    def covers(self, stage: Stage) -> bool:
        """Whether any member does: which one is asked is known per call only."""
        return any(node.covers(stage) for node in self._nodes())

    def judge(self, request: EvaluationRequest) -> Flow[Judgement]:
        """Ask the member that the property names."""
        node = self._picked(request.document)
        if node is None or not node.covers(request.stage):
            return Judgement(effect=Effect.NOT_APPLICABLE)
        judgement = yield from node.judge(request)
        return judgement

    def _picked(self, document: Mapping[str, Any]) -> Node | None:
        value: Any = document
        for part in self.key.split("."):
            if value is None:
                break
            if not isinstance(value, Mapping):
                return None
            value = value.get(part)
        if value is None:
            return self.otherwise
        return self.cases.get(value, self.otherwise) if isinstance(value, str) else None

    def _nodes(self) -> tuple[Node, ...]:
        return (*self.cases.values(), *((self.otherwise,) if self.otherwise else ()))
