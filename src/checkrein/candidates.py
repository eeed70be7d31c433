"""The same question about several resources: each is judged as if it were asked alone, engine by engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Any

from .combining import Ask, Judgement, Node
from .concluding import UNASKED, Concluder, rejected
from .decision import Answer, Candidate, Decision
from .document import EvaluationRequest, with_resource
from .engine import BatchingEngine, PolicyEngine
from .errors import EngineFailure, FailureCause, RequestError
from .flow import Flow, Step
from .ids import with_call_id
from .modes import stands
from .obligations import ObligationProblem
from .outcome import Outcome
from .vocabulary import AccessRequest, Effect, Entity, Reason, Verdict

__all__ = ["AskMany", "choose", "folded", "judge_each", "together"]


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
        outcome = together(weighed, outcomes)
        judgement = Judgement(effect=outcome.effect, answers=folded(asked))
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


@dataclass(frozen=True, slots=True)
class AskMany:
    """The step that asks an engine several questions: by its own `evaluate_many` where it has one."""

    engine: PolicyEngine
    requests: Sequence[EvaluationRequest]

    def perform(self) -> list[Any]:
        """Ask, blocking; exceptions are handed back, each in its question's place."""
        if isinstance(self.engine, BatchingEngine):
            return self._all(self.engine.evaluate_many(self.requests))
        answers: list[Any] = []
        for request in self.requests:
            try:
                answers.append(self.engine.evaluate(request))
            except Exception as error:  # noqa: BLE001 -- the flow that asked decides
                answers.append(error)
                if self.engine.remote and isinstance(error, EngineFailure) and error.cause.is_outage:
                    # Who is away for one question is away for all: one deadline is waited for, not many.
                    answers += [error] * (len(self.requests) - len(answers))
                    break
        return answers

    async def aperform(self) -> list[Any]:
        """As `perform`; a remote engine is asked all of them at once."""
        aevaluate: Callable[[EvaluationRequest], Coroutine[Any, Any, Verdict]] | None
        aevaluate = getattr(self.engine, "aevaluate", None)
        if aevaluate is None:
            return self.perform()
        answers = await asyncio.gather(*map(aevaluate, self.requests), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Exception):
                raise answer
        return self._all(answers)

    def _all(self, answers: Any) -> list[Any]:
        if not isinstance(answers, list | tuple) or len(answers) != len(self.requests):
            raise EngineFailure(FailureCause.INVALID_ANSWER, "it did not answer each of several questions")
        return [*answers]


def judge_each(node: Node, requests: Sequence[EvaluationRequest]) -> Flow[list[Judgement]]:
    """Judge every request as `node.judge` does, and ask each engine about all of them at once.

    Args:
        node: an engine or a combination of them.
        requests: in any order.
    """
    flows = [node.judge(request) for request in requests]
    judgements: dict[int, Judgement] = {}
    waiting: dict[int, Step] = {}

    def go_on(index: int, resume: Callable[..., Step], *sent: Any) -> None:
        waiting.pop(index, None)
        try:
            waiting[index] = resume(*sent)
        except StopIteration as stop:
            judgements[index] = stop.value

    try:
        for index, flow in enumerate(flows):
            go_on(index, flow.__next__)
        while waiting:
            together_now = _together(waiting)
            answers = yield from _asked([waiting[index] for index in together_now])
            for index, answer in zip(together_now, answers, strict=True):
                if isinstance(answer, Exception):
                    go_on(index, flows[index].throw, answer)
                else:
                    go_on(index, flows[index].send, answer)
    finally:
        for flow in flows:
            flow.close()
    return [judgements[index] for index in range(len(flows))]


def _together(waiting: dict[int, Step]) -> list[int]:
    """The flows that wait for the same engine as the first of them; another step is taken alone."""
    first, step = next(iter(waiting.items()))
    if not isinstance(step, Ask):
        return [first]
    return [
        index for index, other in waiting.items() if isinstance(other, Ask) and other.engine is step.engine
    ]


def _asked(steps: Sequence[Step]) -> Flow[Sequence[Any]]:
    first = steps[0]
    asks = [step.request for step in steps if isinstance(step, Ask)]
    step = AskMany(first.engine, asks) if isinstance(first, Ask) and len(asks) > 1 else first
    try:
        answer = yield step
    except Exception as error:  # noqa: BLE001 -- it is every question's answer
        return [error] * len(steps)
    return answer if isinstance(step, AskMany) else [answer]


def together(candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Outcome:
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


def folded(judgements: Iterable[Judgement]) -> tuple[Answer, ...]:
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
