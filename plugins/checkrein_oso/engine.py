"""The engine plug-in: asks `deny`, then `permit`, then `obligation`.

What a policy has: the classes `Subject` (`User`, `Anonymous`), `Actor`, `Resource` (`Model`, `Tool`,
`Retriever`) and `Context`; on each of them its properties by name, and one that is absent is an error, in a
`not` too; `.get(name, default)`, `.keys()`, `.items()`; on strings `contains`, `startswith`, `endswith`,
`lower`, `upper` and `strip`; on strings and lists `.length`; `ctx.found` and `ctx.found_current`, the types
of findings.

What stays silent in Polar itself, and a `deny` should not rest on: `"ab" in "abc"` compares characters, a key
that a dictionary written in the policy lacks does not hold, and a division by zero is infinite.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Final

import orjson

from checkrein.detection import Detectors
from checkrein.document import EvaluationRequest, build
from checkrein.engine import EngineOptions, NativeTestResult
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError, RequestError
from checkrein.settings import Limits
from checkrein.strict import SettingsPath
from checkrein.vocabulary import EMPTY, AccessRequest, Effect, Entity, Stage, Verdict

from .answer import obligations_of, reasons_of
from .core import PANIC, Core, PolarError
from .evaluation import Evaluation, InvalidValue
from .locating import Place, definitions, literals
from .methods import Refusal
from .policies import ASKED, Policies, read_policies, said
from .values import context_of, resource_of, subject_of

__all__ = ["OsoEngine", "OsoOptions"]

_DEFAULT_STAGES: Final = frozenset({Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION})
_MAX_RESULTS: Final = 1_000
_TIMEOUT: Final = "POLAR_TIMEOUT_MS"
_DEFAULT_TIMEOUT_MS: Final = 1_000
_LOG: Final = "POLAR_LOG"


class OsoOptions(EngineOptions):
    """The options of the engine `oso`.

    Args:
        policies: a `.polar` file, or a folder of them.
        stages: by default model_selection, pre_prompt and post_completion.
    """

    policies: SettingsPath


class OsoEngine:
    """Answers from Polar policies, in this process.

    A knowledge base serves one thread at a time, and idle ones wait in a queue: one of some rules takes a
    millisecond to load, and 200 kB. So there are never more than threads that evaluated at one time, a thread
    that ends leaves nothing behind, and after a fork the child finds those that were at rest, no lock held.

    Args:
        name: what the record calls it.
        policies: what is asked.
        stages: where it answers.
    """

    Options: ClassVar[type[EngineOptions]] = OsoOptions
    remote: ClassVar[bool] = False

    def __init__(self, name: str, policies: Policies, stages: frozenset[Stage]) -> None:
        self.name = name
        self.revision: str | None = policies.revision
        self.stages = stages
        self._policies = policies
        self._permit = "permit" if "permit" in policies.rules else "allow"
        self._idle: deque[Core] = deque([policies.core()])
        self._closed = False

    @classmethod
    def from_options(cls, options: OsoOptions) -> OsoEngine:
        """Make the engine.

        Bounds every query of Oso in this process to 1,000 ms, unless `POLAR_TIMEOUT_MS` is set to another
        number: the library reads it from the environment alone, and without it waits 30 seconds.

        Raises:
            PolicyLoadError: the policies do not load; the message names file and line. Or the environment
                makes the library print what it evaluates, or lets it run without an end.
        """
        _check_environment()
        stages = _DEFAULT_STAGES if options.stages is None else frozenset(options.stages)
        return cls(options.name or "oso", read_policies(options.policies), stages)

    def entrypoint(self, stage: Stage) -> str | None:
        """The queries of a stage, or None where it is not covered."""
        if stage not in self.stages:
            return None
        arguments = "s, a, r" if self._permit == "allow" else "s, a, r, ctx"
        queries = [f"{self._permit}({arguments})"]
        if "deny" in self._policies.rules:
            queries.insert(0, "deny(s, a, r, ctx, reason)")
        if "obligation" in self._policies.rules:
            queries.append("obligation(s, a, r, ctx, o)")
        return "; ".join(queries)

    def locate(self, policy_id: str) -> tuple[str, int] | None:
        """Where the rule of this name is first defined; which of its definitions held, Oso does not tell."""
        return self._definitions.get(policy_id)

    def find_literal(self, text: str) -> Sequence[tuple[str, int]]:
        """Where the policies write this string, the code or the message of a reason."""
        return self._literals.get(text, ())

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Answer one request.

        Raises:
            EngineFailure: `engine_error` when an evaluation ends in an error, asks for an attribute that is
                absent, or does not end; `invalid_answer` when a rule hands out what is no reason and no
                obligation.
        """
        if request.stage not in self.stages:
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"no rule answers the stage `{request.stage}`")
        with self._core() as core:
            return self._verdict(core, request.document)

    def permitted_models(
        self, subject: Entity, models: Iterable[Entity], context: Mapping[str, Any] = EMPTY
    ) -> list[str]:
        """Which of these models a subject may invoke, at `model_selection`.

        Each is asked with `deny` and `permit`, as a call of it would be, and left out if the policies end in
        an error. (One query with the model left open would be answered with constraints, not with models.)
        Obligations are not looked at: a permit that is bound to one that the host cannot carry out is a
        denial in the end. It is no decision: nothing of it is recorded.

        Args:
            subject: who asks.
            models: the candidates, with the properties that policies read (the settings' `models`).
            context: the facts that policies read, as in `AccessRequest.context`.

        Returns:
            The ids, in the order given, each once.

        Raises:
            EngineFailure: the engine is closed.
        """
        found: dict[str, None] = {}
        with self._core() as core:
            for model in models:
                request = AccessRequest(
                    stage=Stage.MODEL_SELECTION, subject=subject, resource=model, context=context
                )
                try:
                    document = build(request, detectors=_NO_DETECTORS, models=EMPTY, limits=_LIMITS).document
                    permitted = self._verdict(core, document, obligations=False).effect is Effect.PERMIT
                except (EngineFailure, RequestError):
                    continue
                if permitted:
                    found[model.id] = None
        return list(found)

    def run_native_tests(self) -> Sequence[NativeTestResult]:
        """Ask every inline query (`?=`), Polar's own tests."""
        return list(self._policies.inline_tests(self._policies.core()))

    def close(self) -> None:
        """Drop the knowledge bases, those at work when they have answered; may be called again."""
        self._closed = True
        self._idle.clear()

    @cached_property
    def _definitions(self) -> Mapping[str, Place]:
        return definitions(self._policies.sources, ASKED)

    @cached_property
    def _literals(self) -> Mapping[str, Sequence[Place]]:
        return literals(self._policies.sources)

    @contextmanager
    def _core(self) -> Iterator[Core]:
        if self._closed:
            raise EngineFailure(FailureCause.ENGINE_ERROR, "the engine is closed")
        try:
            core = self._idle.pop()
        except IndexError:
            core = self._policies.core()
        try:
            yield core
        finally:
            if core.sound:
                self._idle.append(core)
            if self._closed:
                self._idle.clear()

    def _verdict(self, core: Core, document: Mapping[str, Any], *, obligations: bool = True) -> Verdict:
        asked = _Asked(core, self._policies, document)
        if "deny" in self._policies.rules:
            # More reasons than that refuse no better.
            reasons = reasons_of(islice(asked.open("deny"), _MAX_RESULTS))
            if reasons:
                return self._answer(Effect.DENY, ("deny",), reasons=reasons)
        if not asked.holds(self._permit):
            return self._answer(Effect.NOT_APPLICABLE, ())
        if not obligations or "obligation" not in self._policies.rules:
            return self._answer(Effect.PERMIT, (self._permit,))
        bound = list(islice(asked.open("obligation"), _MAX_RESULTS + 1))
        if len(bound) > _MAX_RESULTS:
            raise EngineFailure(
                FailureCause.ENGINE_ERROR,
                f"`obligation` has over `{_MAX_RESULTS}` results; bind them together",
            )
        ids = (self._permit, "obligation") if bound else (self._permit,)
        return self._answer(Effect.PERMIT, ids, obligations=obligations_of(bound))

    def _answer(self, effect: Effect, policy_ids: tuple[str, ...], **rest: Any) -> Verdict:
        return Verdict(effect=effect, policy_ids=policy_ids, revision=self.revision, **rest)


class _Asked:
    """The queries of one request over the same values."""

    def __init__(self, core: Core, policies: Policies, document: Mapping[str, Any]) -> None:
        self._core = core
        self._policies = policies
        self._evaluation = Evaluation()
        self._arguments = [
            self._evaluation.term(value)
            for value in (
                subject_of(document["subject"]),
                document["action"]["name"],
                resource_of(document["resource"]),
                context_of(document["context"]),
            )
        ]

    def holds(self, rule: str) -> bool:
        """Whether a rule without an open variable has a result; the first is enough."""
        arguments = self._arguments[:3] if rule == "allow" else self._arguments
        return next(self._results(rule, arguments), None) is not None

    def open(self, rule: str) -> Iterator[Any]:
        """What each result of a rule binds its last parameter to."""
        for result in self._results(rule, [*self._arguments, {"value": {"Variable": "it"}}]):
            yield result["it"]

    def _results(self, rule: str, arguments: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
        term = orjson.dumps({"value": {"Call": {"name": rule, "args": arguments, "kwargs": None}}})
        try:
            yield from self._evaluation.results(self._core.query(term))
        except InvalidValue:
            raise EngineFailure(
                FailureCause.INVALID_ANSWER, f"a result of `{rule}` is no value; bind what it hands out"
            ) from None
        except (PolarError, Refusal) as error:
            if isinstance(error, PolarError) and error.kind == PANIC:
                self._core.sound = False
            problem = said(error, self._policies)
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"`{rule}` ended in an error: {problem}") from None
        except Exception as error:  # noqa: BLE001 -- its text can quote the prompt: it must not leave here
            problem = f"`{type(error).__name__}`"
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"`{rule}` ended in an error: {problem}") from None


_NO_DETECTORS: Final = Detectors({}, {})
_LIMITS: Final = Limits()


def _check_environment() -> None:
    if os.environ.get(_LOG, "0") not in ("", "0", "off"):
        raise PolicyLoadError(f"`{_LOG}` is set: Oso would print prompts as it evaluates; unset it")
    limit = os.environ.setdefault(_TIMEOUT, str(_DEFAULT_TIMEOUT_MS))
    if not (limit.isascii() and limit.isdigit() and int(limit) > 0):
        raise PolicyLoadError(
            f"`{_TIMEOUT}` is `{limit}`: a policy could run without an end; unset it, or give milliseconds"
        )
