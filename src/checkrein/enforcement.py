"""The one place that concludes: limits, facts, ask, merge, discharge, record (XACML's PEP)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import perf_counter_ns
from typing import Any, Final, NamedTuple, Self

from .candidates import folded, judge_each, together
from .combining import All, By, EngineNode, Judgement
from .decision import Candidate, Changes, Decision, Discharge, DischargedObligation
from .decision_log import DecisionLog
from .detection import Detectors
from .discharge import changes_of
from .document import EvaluationRequest, build, with_resource
from .engine import PolicyEngine
from .errors import FailureCause, PolicyDenied, RequestError, SettingsError
from .flow import Flow, arun, run
from .ids import new_id
from .loading import load
from .modes import can_stand, stands
from .obligations import ObligationProblem, Plan, merge
from .outcome import Outcome, conclude
from .settings import Settings
from .streaming import Backing, StreamGate
from .vocabulary import AccessRequest, Effect, Entity, Obligation, Reason, Stage

__all__ = ["EnforcementPoint"]

_MAX_HOPS: Final = 3
_UNASKED: Final = Judgement(effect=None)
_NO_CHANGES: Final = Changes()
_NO_PLAN: Final = Plan()
_UNCHECKED: Final = Outcome(permitted=True, effect=Effect.NOT_APPLICABLE, reasons=(Reason(code="unchecked"),))

DescribeModel = Callable[[str], Mapping[str, Any]]
Record = Callable[[Decision], None]


class _Hop(NamedTuple):
    """One conclusion, and the plan behind it where its obligations hold."""

    decision: Decision
    plan: Plan | None = None


class EnforcementPoint:
    """Decides, carries out what the kernel can, and records.

    Args:
        engine: an engine, or a tree of them.
        settings: everything else; by default the strictest.
        record: the decision log, or a function that is handed every decision exactly once.
    """

    def __init__(
        self,
        engine: PolicyEngine | All | By | EngineNode,
        settings: Settings | None = None,
        *,
        record: DecisionLog | Record,
    ) -> None:
        self.settings = settings or Settings()
        self.node = engine if isinstance(engine, All | By | EngineNode) else EngineNode(engine)
        self.log = record if isinstance(record, DecisionLog) else None
        self._write: Record = record.record if isinstance(record, DecisionLog) else record
        self._subscribers: tuple[Record, ...] = ()
        self._subscribing = Lock()
        self._detectors = Detectors.load(self.settings.detectors)

    @classmethod
    def from_settings(cls, path: str | Path | None = None, *, record: Record | None = None) -> Self:
        """Build from a settings file.

        Args:
            path: the file; None means the one that the environment variable `CHECKREIN_CONFIG` names. A
                working directory never chooses policy.
            record: is handed every decision instead of the decision log, which is then not opened.

        Raises:
            SettingsError: the file, a policy or a plug-in that it names cannot be used.
        """
        loaded = load(path)
        settings = loaded.settings
        if record is not None:
            return cls(loaded.engine, settings, record=record)
        log = DecisionLog(settings.decision_log, settings_revision=loaded.revision)
        pep = cls(loaded.engine, settings, record=log)
        log.event(
            "settings_loaded",
            path=str(loaded.path),
            mode=settings.enforcement.default,
            mode_rules=len(settings.enforcement.rules),
            open_on={stage.value: [*causes] for stage, causes in settings.failure.open_on.items()},
            unchecked=[*settings.unchecked],
            uncovered=sorted(name for name, word in settings.uncovered.items() if word == "allow"),
        )
        for engine in pep.node.engines:
            log.event(
                "policy_loaded", engine=engine.name, revision=engine.revision, stages=sorted(engine.stages)
            )
        return pep

    def require(self, stages: Iterable[Stage]) -> None:
        """Refuse to start where a hooked stage is neither covered by an engine nor listed as `unchecked`.

        Raises:
            SettingsError: naming the stage.
        """
        for stage in stages:
            if not self.node.covers(stage) and stage not in self.settings.unchecked:
                raise SettingsError(
                    f"no engine covers the stage `{stage}`; cover it or list it under `unchecked`"
                )

    def decide(self, request: AccessRequest, describe: DescribeModel | None = None) -> Decision:
        """Decide, blocking.

        Args:
            request: the question.
            describe: gives the properties of a model that a policy routes to.
        """
        return run(self._decide(request, describe))

    async def adecide(self, request: AccessRequest, describe: DescribeModel | None = None) -> Decision:
        """Decide without blocking the event loop on a remote engine; otherwise as `decide`."""
        return await arun(self._decide(request, describe))

    def filter_candidates(self, request: AccessRequest, candidates: Sequence[Entity]) -> Decision:
        """Decide which of several resources may be chosen, in one decision and one record.

        Each is judged as `decide` would judge it; nothing is carried out, and what is chosen is to be decided
        in full. Whoever may choose none of them is denied.

        Args:
            request: the question; its resource is what was asked for, for instance a group of models.
            candidates: what could be chosen; each takes the resource's place.

        Returns:
            The decision; `kept` has the candidates to choose from.
        """
        return run(self._filter(request, candidates))

    async def afilter_candidates(self, request: AccessRequest, candidates: Sequence[Entity]) -> Decision:
        """As `filter_candidates`, without blocking the event loop on a remote engine."""
        return await arun(self._filter(request, candidates))

    def refuse(self, request: AccessRequest, code: str, message: str) -> Decision:
        """Deny and record what no engine can be asked, for instance an endpoint that the host cannot govern.

        Args:
            request: what was asked, as far as it is known.
            code: the reason's code.
            message: for the operator: no text of the request.
        """
        request = request if request.call_id else replace(request, call_id=new_id())
        reason = Reason(code=code, message=message)
        outcome = Outcome(permitted=False, failure=FailureCause.REQUEST_REJECTED, reasons=(reason,))
        return self._record(self._finish(request, None, _UNASKED, outcome, (), perf_counter_ns()).decision)

    def pass_unjudged(self, request: AccessRequest, code: str, message: str) -> Decision:
        """Record what passes although no engine is asked: the settings list it under `uncovered`.

        Args:
            request: what was asked, as far as it is known.
            code: the reason's code.
            message: for the operator: no text of the request.

        Returns:
            A permit; a denial where the log is required and has no room.
        """
        request = request if request.call_id else replace(request, call_id=new_id())
        started = perf_counter_ns()
        if self.log is not None and not self.log.reserve():
            return self._record(self._no_room(request, (), started))
        reason = Reason(code=code, message=message)
        outcome = Outcome(permitted=True, effect=Effect.NOT_APPLICABLE, reasons=(reason,))
        return self._record(self._finish(request, None, _UNASKED, outcome, (), started).decision)

    def report_failure(self, decision: Decision, error: BaseException) -> Decision:
        """Tell that the host could not write the changes: a second record, a denial.

        Args:
            decision: the permit whose changes were not written.
            error: why; only its type is recorded.
        """
        message = f"`{type(error).__name__}` while writing the changes"
        failed = _denied(replace(decision, reasons=()), "obligation_failed", message)
        return self._record(replace(failed, decision_id=new_id(), enforced=True))

    def stream(self, request: AccessRequest, *, exception: type[PolicyDenied] = PolicyDenied) -> StreamGate:
        """A gate for an answer that comes in pieces; it asks a few times and never per piece.

        Where no denial could stand, everything passes along at once, unless the log is required: then nothing
        leaves before its record has room.

        Args:
            request: the question, without segments, at `post_completion` or `tool_result`.
            exception: what the gate raises on a denial.
        """
        free = not can_stand(self.settings.enforcement, request.stage, request.subject)
        required = self.log is not None and self.log.required
        return StreamGate(
            request,
            Backing(self._hop, self._record, _denied, self._detectors, self.settings.limits),
            mode="open" if free and not required else self.settings.stream.mode,
            exception=exception,
        )

    def settle(self, call_id: str, attempt: int, usage: Mapping[str, int]) -> None:
        """Tell what an attempt of a call really used; without a store of usage, nothing remembers it.

        Args:
            call_id: the call.
            attempt: which try of it, from 1.
            usage: `prompt_tokens`, `completion_tokens`, `cost_micros`.
        """

    def subscribe(self, subscriber: Record) -> Callable[[], None]:
        """Hand every decision, after it is recorded, to a function as well.

        Args:
            subscriber: called in the deciding thread; it must be quick and must not raise.

        Returns:
            A function that ends it.
        """
        with self._subscribing:
            self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            with self._subscribing:
                self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

        return unsubscribe

    def close(self) -> None:
        """Close the engines and the log; may be called again."""
        for engine in self.node.engines:
            engine.close()
        if self.log is not None:
            self.log.close()

    async def aclose(self) -> None:
        """As `close`, awaiting remote engines."""
        for engine in self.node.engines:
            aclose = getattr(engine, "aclose", None)
            if aclose is not None:
                await aclose()
        self.close()

    def _decide(self, request: AccessRequest, describe: DescribeModel | None) -> Flow[Decision]:
        """Ask, and follow routes: a target is asked for as a model, then for the stage itself again."""
        request = request if request.call_id else replace(request, call_id=new_id())
        original, final, asked = request.resource.id, request.stage, [request.resource.id]
        carried: tuple[Obligation, ...] = ()
        while True:
            at_end = request.stage is final
            hop = yield from self._hop(request, carried if at_end else ())
            decision, plan = hop.decision, hop.plan
            if decision.denied or (at_end and plan is None):
                return self._record(_with_model(decision, original))
            target = plan.route if plan else None
            if plan is not None and decision.obligations:
                own = tuple(one.obligation for one in decision.obligations if one.obligation.type != "route")
                carried = own if at_end else (*carried, *own)
            if target in (None, request.resource.id):
                if at_end:
                    return self._record(_with_model(decision, original))
                self._record(decision)
                request = replace(request, stage=final)
                continue
            if target in asked or len(asked) > _MAX_HOPS:
                return self._record(_denied(decision, "route_loop", f"`{target}` closes or extends a loop"))
            try:
                properties = dict(describe(target)) if describe else {}
            except Exception as error:  # noqa: BLE001 -- a host that cannot describe a model denies it
                message = f"`{type(error).__name__}` while describing `{target}`"
                return self._record(_denied(decision, "obligation_failed", message))
            self._record(decision)
            asked.append(target)
            resource = Entity(type="model", id=target, properties=properties)
            request = replace(request, resource=resource, stage=Stage.MODEL_SELECTION, action="")

    def _filter(self, request: AccessRequest, candidates: Sequence[Entity]) -> Flow[Decision]:
        """One judgement for each candidate, one conclusion and one record for all."""
        request = request if request.call_id else replace(request, call_id=new_id())
        started = perf_counter_ns()
        if self.log is not None and not self.log.reserve():
            decision = self._no_room(request, (), started)
            refused = [
                Candidate(resource=one, permitted=False, reasons=decision.reasons) for one in candidates
            ]
            return self._record(replace(decision, candidates=tuple(refused)))
        try:
            evaluation = self._evaluation(request)
            each: list[EvaluationRequest | Outcome]
            most = self.settings.limits.candidates
            if len(candidates) > most:
                message = f"`{len(candidates)}` candidates are over `{most}`"
                each = [_rejected("limit.candidates", message)] * len(candidates)
            else:
                each = [self._with_resource(evaluation, one) for one in candidates]
            sound = [one for one in each if isinstance(one, EvaluationRequest)]
            covered = self.node.covers(request.stage)
            judgements = iter(
                (yield from judge_each(self.node, sound)) if covered else [_UNASKED] * len(sound)
            )
            judged = [
                (_UNASKED, one)
                if isinstance(one, Outcome)
                else self._concluded(next(judgements), request.stage)
                for one in each
            ]
            weighed = [
                self._weighed(request, one, *conclusion)
                for one, conclusion in zip(candidates, judged, strict=True)
            ]
            outcome = together(weighed, [outcome for _, outcome in judged])
            asked = [judgement for judgement, _ in judged]
            judgement = Judgement(effect=outcome.effect, answers=folded(asked))
            seen = None if isinstance(evaluation, Outcome) else evaluation
            decision = self._finish(request, seen, judgement, outcome, (), started).decision
            if weighed:
                decision = replace(decision, enforced=all(one.enforced for one in weighed))
            if any(one.type == "no_store" for each_asked in asked for one in each_asked.obligations):
                decision = replace(decision, changes=replace(decision.changes, no_store=True))
            return self._record(replace(decision, candidates=tuple(weighed)))
        except BaseException:
            if self.log is not None:
                self.log.release()
            raise

    def _with_resource(
        self, evaluation: EvaluationRequest | Outcome, resource: Entity
    ) -> EvaluationRequest | Outcome:
        if isinstance(evaluation, Outcome):
            return evaluation
        settings = self.settings
        try:
            return with_resource(evaluation, resource, models=settings.models, limits=settings.limits)
        except RequestError as error:
            return _rejected(error.code, error.message)

    def _weighed(
        self, request: AccessRequest, resource: Entity, judgement: Judgement, outcome: Outcome
    ) -> Candidate:
        """One candidate: a permit whose obligations could not hold is none."""
        permitted, reasons = outcome.permitted, outcome.reasons
        if permitted:
            try:
                self._merged(request, judgement.obligations)
            except ObligationProblem as problem:
                permitted, reasons = False, (Reason(code=problem.code, message=problem.detail), *reasons)
        codes = [reason.code for reason in reasons]
        enforced = stands(self.settings.enforcement, request.stage, request.subject, codes)
        return Candidate(resource=resource, permitted=permitted, enforced=enforced, reasons=reasons)

    def _concluded(self, judgement: Judgement, stage: Stage) -> tuple[Judgement, Outcome]:
        if self.node.covers(stage):
            return judgement, conclude(judgement, stage, self.settings.failure.open_on)
        # `require` refused to start unless the settings list the stage; otherwise nothing permits.
        listed = stage in self.settings.unchecked
        return judgement, _UNCHECKED if listed else conclude(judgement, stage, {})

    def _no_room(self, request: AccessRequest, carried: tuple[Obligation, ...], started: int) -> Decision:
        reason = Reason(code="log_unavailable", message="the required decision log has no room")
        outcome = Outcome(permitted=False, failure=FailureCause.ENGINE_ERROR, reasons=(reason,))
        decision = self._finish(request, None, _UNASKED, outcome, carried, started).decision
        # Required is required: monitor spares a call from policy, not from evidence.
        return replace(decision, enforced=True, changes=_NO_CHANGES)

    def _hop(self, request: AccessRequest, carried: tuple[Obligation, ...]) -> Flow[_Hop]:
        started = perf_counter_ns()
        if self.log is not None and not self.log.reserve():
            return _Hop(self._no_room(request, carried, started))
        try:
            evaluation = self._evaluation(request)
            judgement = _UNASKED
            if isinstance(evaluation, Outcome):
                return self._finish(request, None, judgement, evaluation, carried, started)
            if self.node.covers(request.stage):
                judgement = yield from self.node.judge(evaluation)
            judgement, outcome = self._concluded(judgement, request.stage)
            return self._finish(request, evaluation, judgement, outcome, carried, started)
        except BaseException:
            if self.log is not None:
                self.log.release()
            raise

    def _evaluation(self, request: AccessRequest) -> EvaluationRequest | Outcome:
        """The request as engines see it, or the denial of one that none may see."""
        settings = self.settings
        try:
            return build(request, detectors=self._detectors, models=settings.models, limits=settings.limits)
        except RequestError as error:
            return _rejected(error.code, error.message)
        except Exception as error:  # noqa: BLE001 -- a broken detector denies and is recorded
            cause = FailureCause.ENGINE_ERROR
            reason = Reason(code=f"failure.{cause}", message=f"`{type(error).__name__}` was raised")
        return Outcome(permitted=False, failure=cause, reasons=(reason,))

    def _finish(  # noqa: PLR0913, PLR0917 -- the parts of one conclusion
        self,
        request: AccessRequest,
        evaluation: EvaluationRequest | None,
        judgement: Judgement,
        outcome: Outcome,
        carried: tuple[Obligation, ...],
        started: int,
    ) -> _Hop:
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
                reasons = (Reason(code=problem.code, message=problem.detail), *reasons)
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
                    reasons = (Reason(code=problem.code, message=problem.detail), *reasons)
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
        return _Hop(decision, plan)

    def _discharge(
        self, evaluation: EvaluationRequest, obligations: tuple[Obligation, ...]
    ) -> tuple[Plan, Changes]:
        if not obligations:
            return _NO_PLAN, _NO_CHANGES
        plan = self._merged(evaluation.request, obligations)
        return plan, changes_of(plan, evaluation, self._detectors)

    def _merged(self, request: AccessRequest, obligations: tuple[Obligation, ...]) -> Plan:
        return merge(
            obligations,
            stage=request.stage,
            supports=request.supports,
            detected=self._detectors.ran(request.stage),
        )

    def _record(self, decision: Decision) -> Decision:
        if not decision.permitted:
            decision = replace(decision, message=self._message(decision))
        self._write(decision)
        for subscriber in self._subscribers:
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


def _rejected(code: str, message: str) -> Outcome:
    reason = Reason(code=code, message=message)
    return Outcome(permitted=False, failure=FailureCause.REQUEST_REJECTED, reasons=(reason,))


def _with_model(decision: Decision, original: str) -> Decision:
    """Tell the host to call the model that routes led to; a denial changes nothing."""
    model = decision.request.resource.id
    if decision.denied or model == original:
        return decision
    return replace(decision, changes=replace(decision.changes, model=model))


def _denied(decision: Decision, code: str, message: str) -> Decision:
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
