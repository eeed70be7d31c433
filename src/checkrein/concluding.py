"""One conclusion: what engines said, what a permit is bound to, whether the judgement stands, its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter_ns
from typing import Final, NamedTuple

from .combining import Judgement, Node
from .decision import Changes, Decision, Discharge, DischargedObligation
from .decision_log import DecisionLog
from .detection import Detectors
from .discharge import changes_of
from .document import EvaluationRequest, build
from .errors import FailureCause, RequestError
from .flow import Flow
from .ids import new_id
from .modes import stands
from .obligations import ObligationProblem, Plan, merge
from .outcome import Outcome, conclude
from .settings import Settings
from .vocabulary import AccessRequest, Effect, Obligation, Reason, Stage

__all__ = ["UNASKED", "Concluder", "Hop", "Record", "denied", "rejected"]

UNASKED: Final = Judgement(effect=None)
"""The judgement where no engine was asked."""

_NO_CHANGES: Final = Changes()
_NO_PLAN: Final = Plan()
_UNCHECKED: Final = Outcome(permitted=True, effect=Effect.NOT_APPLICABLE, reasons=(Reason(code="unchecked"),))

Record = Callable[[Decision], None]


class Hop(NamedTuple):
    """One conclusion, and the plan behind it where its obligations hold."""

    decision: Decision
    plan: Plan | None = None


class Concluder:
    """Concludes on one request at a time, and records.

    Args:
        node: the engines.
        settings: everything else.
        record: the decision log, or a function that is handed every decision exactly once.

    Attributes:
        subscribers: are handed every decision after it is recorded.
    """

    def __init__(self, node: Node, settings: Settings, record: DecisionLog | Record) -> None:
        self.node = node
        self.settings = settings
        self.detectors = Detectors.load(settings.detectors)
        self.log = record if isinstance(record, DecisionLog) else None
        self.write: Record = record.record if isinstance(record, DecisionLog) else record
        self.subscribers: tuple[Record, ...] = ()

    def hop(self, request: AccessRequest, carried: tuple[Obligation, ...]) -> Flow[Hop]:
        """Ask about a request and conclude; nothing is recorded yet.

        Args:
            request: the question, with a call id.
            carried: what earlier hops bound the call to.
        """
        started = perf_counter_ns()
        if self.log is not None and not self.log.reserve():
            return Hop(self.no_room(request, carried, started))
        try:
            evaluation = self.evaluation(request)
            judgement = UNASKED
            if isinstance(evaluation, Outcome):
                return self.finish(request, None, judgement, evaluation, carried, started)
            if self.node.covers(request.stage):
                judgement = yield from self.node.judge(evaluation)
            outcome = self.concluded(judgement, request.stage)
            return self.finish(request, evaluation, judgement, outcome, carried, started)
        except BaseException:
            if self.log is not None:
                self.log.release()
            raise

    def evaluation(self, request: AccessRequest) -> EvaluationRequest | Outcome:
        """The request as engines see it, or the denial of one that none may see."""
        settings = self.settings
        try:
            return build(request, detectors=self.detectors, models=settings.models, limits=settings.limits)
        except RequestError as error:
            return rejected(error.code, error.message)
        except Exception as error:  # noqa: BLE001 -- a broken detector denies and is recorded
            cause = FailureCause.ENGINE_ERROR
            reason = Reason(code=f"failure.{cause}", message=f"`{type(error).__name__}` was raised")
        return Outcome(permitted=False, failure=cause, reasons=(reason,))

    def concluded(self, judgement: Judgement, stage: Stage) -> Outcome:
        """Read the outcome table, or pass a stage that the settings list as `unchecked`."""
        if self.node.covers(stage):
            return conclude(judgement, stage, self.settings.failure.open_on)
        # `require` refused to start unless the settings list the stage; otherwise nothing permits.
        return _UNCHECKED if stage in self.settings.unchecked else conclude(judgement, stage, {})

    def no_room(self, request: AccessRequest, carried: tuple[Obligation, ...], started: int) -> Decision:
        """The denial where a required log has no room for the record."""
        reason = Reason(code="log_unavailable", message="the required decision log has no room")
        outcome = Outcome(permitted=False, failure=FailureCause.ENGINE_ERROR, reasons=(reason,))
        decision = self.finish(request, None, UNASKED, outcome, carried, started).decision
        # Required is required: monitor spares a call from policy, not from evidence.
        return replace(decision, enforced=True, changes=_NO_CHANGES)

    def finish(  # noqa: PLR0913, PLR0917 -- the parts of one conclusion
        self,
        request: AccessRequest,
        evaluation: EvaluationRequest | None,
        judgement: Judgement,
        outcome: Outcome,
        carried: tuple[Obligation, ...],
        started: int,
    ) -> Hop:
        """Discharge the obligations of a permit and say whether the judgement stands."""
        obligations = (*carried, *judgement.obligations)
        permitted, reasons = outcome.permitted, outcome.reasons
        plan: Plan | None = None
        changes = _NO_CHANGES
        state = Discharge.DROPPED
        if permitted and evaluation is not None:
            try:
                plan, changes = self._discharge(evaluation, obligations)
                state = Discharge.DONE
            except ObligationProblem as problem:
                permitted, state = False, Discharge.FAILED
                reasons = (problem.reason, *reasons)
        enforced = stands(
            self.settings.enforcement, request.stage, request.subject, [reason.code for reason in reasons]
        )
        if not enforced:
            plan, changes, state = None, _NO_CHANGES, Discharge.DROPPED
            if carried and evaluation is not None:
                # What an enforced hop before this one bound the call to holds all the same.
                try:
                    _, changes = self._discharge(evaluation, carried)
                except ObligationProblem as problem:
                    permitted, enforced, state = False, True, Discharge.FAILED
                    reasons = (problem.reason, *reasons)
        if obligations and not changes.no_store and any(one.type == "no_store" for one in obligations):
            changes = replace(changes, no_store=True)
        decision = Decision(
            decision_id=new_id(),
            request=request,
            permitted=permitted,
            enforced=enforced,
            failed_open=outcome.failed_open and permitted,
            effect=outcome.effect,
            failure=outcome.failure,
            reasons=reasons,
            obligations=tuple([DischargedObligation(obligation=one, state=state) for one in obligations])
            if obligations
            else (),
            changes=changes,
            answers=judgement.answers,
            findings=evaluation.findings if evaluation else (),
            document=evaluation.document if evaluation else {},
            duration_us=(perf_counter_ns() - started) // 1000,
        )
        return Hop(decision, plan)

    def _discharge(
        self, evaluation: EvaluationRequest, obligations: tuple[Obligation, ...]
    ) -> tuple[Plan, Changes]:
        if not obligations:
            return _NO_PLAN, _NO_CHANGES
        plan = self.merged(evaluation.request, obligations)
        return plan, changes_of(plan, evaluation, self.detectors)

    def merged(self, request: AccessRequest, obligations: tuple[Obligation, ...]) -> Plan:
        """What obligations come to together.

        Raises:
            ObligationProblem: one of them cannot hold.
        """
        return merge(
            obligations,
            stage=request.stage,
            supports=request.supports,
            detected=self.detectors.ran(request.stage),
        )

    def record(self, decision: Decision) -> Decision:
        """Record a decision, and give it back with what a denied caller may see."""
        if not decision.permitted:
            decision = replace(decision, message=self._message(decision))
        self.write(decision)
        for subscriber in self.subscribers:
            subscriber(decision)
        return decision

    def _message(self, decision: Decision) -> str:
        denials = self.settings.denials
        reason = decision.reasons[0]
        texts = denials.messages.get(reason.code, {})
        text = texts.get("en") or next(iter(texts.values()), "")
        if not text and denials.expose == "policy_message" and reason.message:
            text = reason.message
        text = text or f"denied by policy: {reason.code}"
        if "{decision_id}" in text:
            return text.replace("{decision_id}", decision.decision_id)
        return f"{text} (decision {decision.decision_id})"


def rejected(code: str, message: str) -> Outcome:
    """The outcome of a request that no engine may see."""
    reason = Reason(code=code, message=message)
    return Outcome(permitted=False, failure=FailureCause.REQUEST_REJECTED, reasons=(reason,))


def denied(decision: Decision, code: str, message: str) -> Decision:
    """The denial that a permit becomes when what it is bound to cannot be carried out."""
    return replace(
        decision,
        permitted=False,
        failed_open=False,
        reasons=(Reason(code=code, message=message), *decision.reasons),
        obligations=tuple(
            DischargedObligation(obligation=one.obligation, state=Discharge.FAILED)
            for one in decision.obligations
        ),
        changes=Changes(no_store=decision.changes.no_store),
    )
