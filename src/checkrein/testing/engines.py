"""Engines that answer what a test tells them to, and short spellings of verdicts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from checkrein.document import EvaluationRequest
from checkrein.errors import EngineFailure, FailureCause
from checkrein.vocabulary import Effect, Obligation, Reason, Stage, Verdict

__all__ = ["FailingEngine", "StaticEngine", "deny", "not_applicable", "obligation", "permit"]

StaticAnswer = Verdict | Callable[[EvaluationRequest], Verdict]


def permit(*obligations: Obligation, reasons: Iterable[Reason | str] = ()) -> Verdict:
    """A permit, bound to obligations if there are any.

    Args:
        obligations: what the permit is bound to.
        reasons: why; a string is a reason's code.
    """
    told = tuple(Reason(code=one) if isinstance(one, str) else one for one in reasons)
    return Verdict(effect=Effect.PERMIT, reasons=told, obligations=obligations)


def deny(code: str = "denied", message: str = "") -> Verdict:
    """A denial with one reason.

    Args:
        code: the reason's code, for instance `pii.us_ssn`.
        message: the reason's message, for operators.
    """
    return Verdict(effect=Effect.DENY, reasons=(Reason(code=code, message=message),))


def not_applicable() -> Verdict:
    """The answer of an engine none of whose policies matched: a denial in the end."""
    return Verdict(effect=Effect.NOT_APPLICABLE)


def obligation(type: str, /, **properties: Any) -> Obligation:
    """An obligation: `obligation("redact", types=["us_ssn"])`."""
    return Obligation(type=type, properties=properties)


class _TestEngine:
    """What the two engines share: they remember what they were asked, and a remote one can be awaited."""

    # Only a remote engine has the two: an embedded one is asked inline, as the real ones are.
    aevaluate: Callable[[EvaluationRequest], Coroutine[Any, Any, Verdict]]
    aclose: Callable[[], Coroutine[Any, Any, None]]

    def __init__(self, name: str, stages: Iterable[Stage], *, remote: bool, revision: str | None) -> None:
        self.name = name
        self.stages = frozenset(stages)
        self.remote = remote
        self.revision = revision
        self.asked: list[Mapping[str, Any]] = []
        self.closed = False
        if remote:
            self.aevaluate = self._aevaluate
            self.aclose = self._aclose

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Remember the input document, then answer."""
        self.asked.append(request.document)
        return self._answer(request)

    def close(self) -> None:
        """Only remembered, in `closed`."""
        self.closed = True

    def _answer(self, request: EvaluationRequest) -> Verdict:
        raise NotImplementedError

    async def _aevaluate(self, request: EvaluationRequest) -> Verdict:
        # A real remote engine always lets others run here: what only works without that must fail.
        await asyncio.sleep(0)
        return self.evaluate(request)

    async def _aclose(self) -> None:
        await asyncio.sleep(0)
        self.close()


class StaticEngine(_TestEngine):
    """An engine that gives the answer that it was made with.

        engine = StaticEngine({Stage.PRE_PROMPT: deny("pii.us_ssn"), Stage.POST_COMPLETION: permit()})
        pep = EnforcementPoint(engine, record=records.append)
        ...
        assert engine.asked[0]["subject"]["id"] == "alice"

    Args:
        answer: a verdict; a function of the `EvaluationRequest` that returns one; or either of them by stage.
        name: what the record calls it.
        stages: the stages that it answers: by default all, or those of the mapping. At a stage that the
            mapping lacks the answer is `not_applicable`.
        remote: whether it counts as asked over a network; then it has `aevaluate` and `aclose` too.
        revision: the version of its policies.

    Attributes:
        asked: the input documents, in the order in which they came.
        closed: whether `close` or `aclose` was called.
    """

    def __init__(
        self,
        answer: StaticAnswer | Mapping[Stage, StaticAnswer],
        *,
        name: str = "static",
        stages: Iterable[Stage] | None = None,
        remote: bool = False,
        revision: str | None = "static",
    ) -> None:
        # A misspelt stage is an error here, not an engine that silently answers nothing.
        by_stage = {Stage(key): one for key, one in answer.items()} if isinstance(answer, Mapping) else None
        if stages is None:
            stages = Stage if by_stage is None else by_stage
        super().__init__(name, stages, remote=remote, revision=revision)
        self.answer = answer if by_stage is None else by_stage

    def _answer(self, request: EvaluationRequest) -> Verdict:
        answer = self.answer
        if isinstance(answer, Mapping):
            answer = answer.get(request.stage, not_applicable())
        return answer(request) if callable(answer) else answer


_NO_ANSWER: Any = object()


class FailingEngine(_TestEngine):
    """An engine that has no usable answer.

        FailingEngine("timeout", remote=True)            # an outage: the only kind that settings can open
        FailingEngine(error=ZeroDivisionError("oops"))   # a bug in a plug-in
        FailingEngine(answer=True)                       # nonsense where a verdict belongs

    Args:
        cause: the cause of the `EngineFailure` that it raises.
        detail: the failure in an operator's words.
        error: raise this instead.
        answer: hand this back instead.
        name: what the record calls it.
        stages: the stages at which it fails.
        remote: whether it counts as asked over a network; then it has `aevaluate` and `aclose` too.
        revision: the version of its policies.

    Attributes:
        asked: the input documents, in the order in which they came.
        closed: whether `close` or `aclose` was called.

    Raises:
        ValueError: there is no such cause.
    """

    def __init__(  # noqa: PLR0913 -- each is a different way to fail, named by its caller
        self,
        cause: FailureCause | str = FailureCause.ENGINE_ERROR,
        *,
        detail: str = "as told",
        error: BaseException | type[BaseException] | None = None,
        answer: Any = _NO_ANSWER,
        name: str = "failing",
        stages: Iterable[Stage] = Stage,
        remote: bool = False,
        revision: str | None = "failing",
    ) -> None:
        super().__init__(name, stages, remote=remote, revision=revision)
        self._cause = FailureCause(cause)
        self._detail = detail
        self._error = error
        self._nonsense = answer

    def _answer(self, request: EvaluationRequest) -> Verdict:  # noqa: ARG002 -- it fails whatever it is asked
        if self._error is not None:
            raise self._error
        if self._nonsense is not _NO_ANSWER:
            nonsense: Verdict = self._nonsense
            return nonsense
        raise EngineFailure(self._cause, self._detail)
