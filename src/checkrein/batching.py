"""Several questions at once: an engine is asked about all of them together, as if each were asked alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from .combining import Ask, Judgement, Node
from .document import EvaluationRequest
from .engine import BatchingEngine, PolicyEngine
from .errors import EngineFailure, FailureCause
from .flow import Flow, Step
from .vocabulary import Verdict

__all__ = ["judge_each"]


@dataclass(frozen=True, slots=True)
class _AskMany:
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
    step = _AskMany(first.engine, asks) if isinstance(first, Ask) and len(asks) > 1 else first
    try:
        answer = yield step
    except Exception as error:  # noqa: BLE001 -- it is every question's answer
        return [error] * len(steps)
    return answer if isinstance(step, _AskMany) else [answer]
