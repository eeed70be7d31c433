"""The same question about several resources: each is judged as if alone; one conclusion, one record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from time import perf_counter_ns

from .batching import judge_each
from .combining import Judgement
from .concluding import UNASKED, Concluder, rejected
from .decision import Answer, Candidate, Decision
from .document import EvaluationRequest, with_resource
from .errors import RequestError
from .flow import Flow
from .ids import with_call_id
from .modes import stands
from .obligations import ObligationProblem
from .outcome import Outcome
from .vocabulary import AccessRequest, Effect, Entity, Reason

__all__ = ["choose"]


def choose(core: Concluder, request: AccessRequest, candidates: Sequence[Entity]) -> Flow[Decision]:
    """One judgement for each candidate, one conclusion and one record for all.

    Args:
        core: concludes.
        request: the question.
        candidates: what takes its resource's place.
    """
    request = with_call_id(request)
    started = perf_counter_ns()
    if core.log is not None and not core.log.reserve():
        decision = core.no_room(request, (), started)
        refused = [Candidate(resource=one, permitted=False, reasons=decision.reasons) for one in candidates]
        return core.record(replace(decision, candidates=tuple(refused)))
    try:
        evaluation = core.evaluation(request)
        each: list[EvaluationRequest | Outcome]
        most = core.settings.limits.candidates
        if len(candidates) > most:
            message = f"`{len(candidates)}` candidates are over `{most}`"
            each = [rejected("limit.candidates", message)] * len(candidates)
        else:
            each = [_with_resource(core, evaluation, one) for one in candidates]
        sound = [one for one in each if isinstance(one, EvaluationRequest)]
        covered = core.node.covers(request.stage)
        judgements = iter((yield from judge_each(core.node, sound)) if covered else [UNASKED] * len(sound))
        asked = [UNASKED if isinstance(one, Outcome) else next(judgements) for one in each]
        outcomes = [
            one if isinstance(one, Outcome) else core.concluded(judgement, request.stage)
            for one, judgement in zip(each, asked, strict=True)
        ]
        weighed = [_weighed(core, request, *one) for one in zip(candidates, asked, outcomes, strict=True)]
        outcome = _together(weighed, outcomes)
        judgement = Judgement(effect=outcome.effect, answers=_folded(asked))
        seen = None if isinstance(evaluation, Outcome) else evaluation
        decision = core.finish(request, seen, judgement, outcome, (), started).decision
        if weighed:
            decision = replace(decision, enforced=all(one.enforced for one in weighed))
        if any(one.type == "no_store" for each_asked in asked for one in each_asked.obligations):
            decision = replace(decision, changes=replace(decision.changes, no_store=True))
    except BaseException:
        if core.log is not None:
            core.log.release()
        raise
    return core.record(replace(decision, candidates=tuple(weighed)))


def _with_resource(
    core: Concluder, evaluation: EvaluationRequest | Outcome, resource: Entity
) -> EvaluationRequest | Outcome:
    if isinstance(evaluation, Outcome):
        return evaluation
    settings = core.settings
    try:
        return with_resource(evaluation, resource, models=settings.models, limits=settings.limits)
    except RequestError as error:
        return rejected(error.code, error.message)


def _weighed(
    core: Concluder, request: AccessRequest, resource: Entity, judgement: Judgement, outcome: Outcome
) -> Candidate:
    """One candidate: a permit whose obligations could not hold is none."""
    permitted, reasons = outcome.permitted, outcome.reasons
    if permitted:
        try:
            core.merged(request, judgement.obligations)
        except ObligationProblem as problem:
            permitted, reasons = False, (problem.reason, *reasons)
    codes = [reason.code for reason in reasons]
    enforced = stands(core.settings.enforcement, request.stage, request.subject, codes)
    return Candidate(resource=resource, permitted=permitted, enforced=enforced, reasons=reasons)


def _together(candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Outcome:
    """What the candidates come to: a permit where at least one is permitted.

    Args:
        candidates: each with its own conclusion.
        outcomes: of each, before obligations were looked at.
    """
    reasons = _distinct(one.reasons for one in candidates if not one.permitted)
    if any(one.permitted for one in candidates):
        opened = [
            outcome
            for one, outcome in zip(candidates, outcomes, strict=True)
            if one.permitted and outcome.failed_open
        ]
        failed = opened and len(opened) == sum(one.permitted for one in candidates)
        return Outcome(
            permitted=True,
            failed_open=bool(opened),
            effect=None if failed else Effect.PERMIT,
            failure=opened[0].failure if failed else None,
            reasons=_distinct(one.reasons for one in candidates if one.permitted),
        )
    if not outcomes:
        return Outcome(permitted=False, effect=Effect.NOT_APPLICABLE, reasons=(Reason(code="no_candidate"),))
    # A refusal outranks a failure, here as in a combination of engines.
    refusals = [one.effect for one in outcomes if one.effect is not None]
    effect = Effect.DENY if Effect.DENY in refusals else refusals[0] if refusals else None
    failure = None if effect else outcomes[0].failure
    return Outcome(permitted=False, effect=effect, failure=failure, reasons=reasons)


def _distinct(groups: Iterable[Sequence[Reason]]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(reason for group in groups for reason in group))


def _folded(judgements: Iterable[Judgement]) -> tuple[Answer, ...]:
    """One answer per engine, for the record: what it answered to any of the questions.

    A permit of one candidate is shown before a refusal, and a refusal before a failure; what became of each
    candidate stands beside it.

    Args:
        judgements: of every candidate.
    """
    by_engine: dict[str, Answer] = {}
    for judgement in judgements:
        for answer in judgement.answers:
            known = by_engine.get(answer.engine)
            by_engine[answer.engine] = answer if known is None else _both(known, answer)
    return tuple(by_engine.values())


def _both(one: Answer, other: Answer) -> Answer:
    shown = min(one, other, key=_rank)
    return replace(
        shown,
        policy_ids=tuple(dict.fromkeys((*one.policy_ids, *other.policy_ids))),
        duration_us=max(one.duration_us, other.duration_us),
    )


def _rank(answer: Answer) -> int:
    if answer.effect is None:
        return 2
    return 0 if answer.effect is Effect.PERMIT else 1
