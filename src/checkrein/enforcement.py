"""The one place that concludes: limits, facts, ask, merge, discharge, record (XACML's PEP)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Any

from .combining import All, By, EngineNode, Judgement
from .decision import Changes, Decision, Discharge, DischargedObligation
from .detection import Detectors
from .discharge import changes_of
from .document import EvaluationRequest, build
from .engine import PolicyEngine
from .errors import FailureCause, RequestError, SettingsError
from .flow import Flow, arun, run
from .ids import new_id
from .modes import stands
from .obligations import ObligationProblem, Plan, merge
from .outcome import Outcome, conclude
from .settings import Settings
from .vocabulary import AccessRequest, Effect, Entity, Obligation, Reason, Stage

__all__ = ["EnforcementPoint"]

_MAX_HOPS = 3
_UNCHECKED = Outcome(permitted=True, effect=Effect.NOT_APPLICABLE, reasons=(Reason(code="unchecked"),))

DescribeModel = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Hop:
    decision: Decision
    plan: Plan | None = None


class EnforcementPoint:
    """Decides, carries out what the kernel can, and records.

    Args:
        engine: an engine, or a tree of them.
        settings: everything else; by default the strictest.
        record: is handed every decision, exactly once.
    """

    def __init__(
        self,
        engine: PolicyEngine | All | By | EngineNode,
        settings: Settings | None = None,
        *,
        record: Callable[[Decision], None],
    ) -> None:
        self.settings = settings or Settings()
        self.node = engine if isinstance(engine, All | By | EngineNode) else EngineNode(engine)
        self._detectors = Detectors.load(self.settings.detectors)
        self._write = record

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

    def report_failure(self, decision: Decision, error: BaseException) -> Decision:
        """Tell that the host could not write the changes: a second record, a denial.

        Args:
            decision: the permit whose changes were not written.
            error: why; only its type is recorded.
        """
        reason = Reason(
            code="obligation_failed", message=f"`{type(error).__name__}` while writing the changes"
        )
        failed = tuple(
            DischargedObligation(obligation=one.obligation, state=Discharge.FAILED)
            for one in decision.obligations
        )
        return self._record(
            replace(
                decision,
                decision_id=new_id(),
                permitted=False,
                enforced=True,
                failed_open=False,
                reasons=(reason,),
                obligations=failed,
                changes=Changes(no_store=decision.changes.no_store),
            )
        )

    def close(self) -> None:
        """Close the engines; may be called again."""
        for engine in self.node.engines:
            engine.close()

    async def aclose(self) -> None:
        """As `close`, awaiting remote engines."""
        for engine in self.node.engines:
            aclose = getattr(engine, "aclose", None)
            if aclose is None:
                engine.close()
            else:
                await aclose()

    def _decide(self, request: AccessRequest, describe: DescribeModel | None) -> Flow[Decision]:
        request = request if request.call_id else replace(request, call_id=new_id())
        original, asked = request.resource.id, [request.resource.id]
        carried: tuple[Obligation, ...] = ()
        stages = [request.stage]
        final = request.stage
        while True:
            current = replace(request, stage=stages[0], action=request.action if stages[0] is final else "")
            hop = yield from self._hop(current, carried)
            decision, plan = hop.decision, hop.plan
            if plan is None or decision.denied or not decision.enforced:
                return self._record(decision)
            carried = tuple(one.obligation for one in decision.obligations if one.obligation.type != "route")
            target = plan.route
            if target in (None, request.resource.id):
                if len(stages) > 1:
                    self._record(decision)
                    stages.pop(0)
                    continue
                if request.resource.id != original:
                    changes = replace(decision.changes, model=request.resource.id)
                    decision = replace(decision, changes=changes)
                return self._record(decision)
            if target in asked or len(asked) > _MAX_HOPS:
                return self._record(
                    self._deny(decision, "route_loop", f"`{target}` closes or extends a loop")
                )
            self._record(decision)
            assert target is not None  # noqa: S101 -- narrowed above, for the type checker
            asked.append(target)
            properties = dict(describe(target)) if describe else {}
            request = replace(request, resource=Entity(type="model", id=target, properties=properties))
            stages = [Stage.MODEL_SELECTION, final] if final is not Stage.MODEL_SELECTION else [final]

    def _hop(self, request: AccessRequest, carried: tuple[Obligation, ...]) -> Flow[_Hop]:
        started = perf_counter_ns()
        limits = self.settings.limits
        evaluation: EvaluationRequest | None = None
        judgement = Judgement(effect=None)
        try:
            evaluation = build(
                request,
                detectors=self._detectors,
                models=self.settings.models,
                max_text=limits.text,
                max_depth=limits.depth,
                max_segments=limits.segments,
            )
        except RequestError as error:
            outcome = Outcome(
                permitted=False,
                failure=FailureCause.REQUEST_REJECTED,
                reasons=(Reason(code=error.code, message=error.message),),
            )
        except Exception as error:  # noqa: BLE001 -- a broken detector denies and is recorded
            outcome = Outcome(
                permitted=False,
                failure=FailureCause.ENGINE_ERROR,
                reasons=(
                    Reason(code="failure.engine_error", message=f"`{type(error).__name__}` was raised"),
                ),
            )
        else:
            if self.node.covers(request.stage):
                judgement = yield from self.node.judge(evaluation)
                outcome = conclude(judgement, request.stage, self.settings.failure.open_on)
            else:
                # `require` refused to start unless the settings list the stage; otherwise nothing permits.
                listed = request.stage in self.settings.unchecked
                outcome = _UNCHECKED if listed else conclude(judgement, request.stage, {})
        return self._finish(request, evaluation, judgement, outcome, carried, started)

    def _finish(  # noqa: PLR0913, PLR0917 -- the parts of one conclusion
        self,
        request: AccessRequest,
        evaluation: EvaluationRequest | None,
        judgement: Judgement,
        outcome: Outcome,
        carried: tuple[Obligation, ...],
        started: int,
    ) -> _Hop:
        plan: Plan | None = None
        changes = Changes()
        state = Discharge.DROPPED
        obligations = (*carried, *judgement.obligations)
        permitted, reasons = outcome.permitted, outcome.reasons
        if permitted and evaluation is not None:
            try:
                plan = merge(
                    obligations,
                    stage=request.stage,
                    supports=request.supports,
                    detected=self._detectors.ran(request.stage),
                )
                changes = changes_of(plan, evaluation, self._detectors)
                state = Discharge.DONE
            except ObligationProblem as problem:
                permitted, state = False, Discharge.FAILED
                reasons = (Reason(code=problem.code, message=problem.detail), *reasons)
                plan = None
        enforced = stands(
            self.settings.enforcement, request.stage, request.subject, [reason.code for reason in reasons]
        )
        if not enforced:
            changes, state = Changes(), Discharge.DROPPED if permitted else state
        if any(one.type == "no_store" for one in obligations):
            changes = replace(changes, no_store=True)
        decision = Decision(
            decision_id=new_id(),
            request=request,
            permitted=permitted,
            enforced=enforced,
            failed_open=outcome.failed_open,
            effect=outcome.effect,
            failure=outcome.failure,
            reasons=reasons,
            obligations=tuple(DischargedObligation(obligation=one, state=state) for one in obligations),
            changes=changes,
            answers=judgement.answers,
            findings=evaluation.findings if evaluation else (),
            document=evaluation.document if evaluation else {},
            duration_us=(perf_counter_ns() - started) // 1000,
        )
        return _Hop(decision, plan)

    def _deny(self, decision: Decision, code: str, message: str) -> Decision:
        failed = tuple(
            DischargedObligation(obligation=one.obligation, state=Discharge.FAILED)
            for one in decision.obligations
        )
        reasons = (Reason(code=code, message=message), *decision.reasons)
        return replace(
            decision,
            permitted=False,
            reasons=reasons,
            obligations=failed,
            changes=Changes(no_store=decision.changes.no_store),
        )

    def _record(self, decision: Decision) -> Decision:
        if not decision.permitted:
            decision = replace(decision, message=self._message(decision))
        self._write(decision)
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
