"""One call that an application makes itself, without a proxy: what policy is asked, and what it changes."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import litellm
from litellm.exceptions import GuardrailRaisedException
from pydantic import BaseModel

from checkrein import AccessRequest, Decision, EnforcementPoint, Entity, Stage
from checkrein.errors import RequestError
from checkrein.flow import Flow
from checkrein.identity import Identity
from checkrein.ids import new_id
from checkrein.modes import can_stand

from . import facts
from .denial import CallDenied
from .deployments import narrowed
from .endpoints import Endpoint
from .parameters import content_keys, file_names, problem_with
from .requests import max_tokens_of, tool_names
from .steps import Count, Decide, Filter
from .surfaces import Content, Surfaces, answer_surfaces, content_of, request_surfaces
from .writing import write_answer, write_request

__all__ = ["Describe", "Passage"]

_log = logging.getLogger("checkrein.litellm")
_NOTHING: Final = Surfaces()
_BEFORE: Final = frozenset({"limit_tokens", "no_store", "remove_tools", "set_parameters"})
_TEXT: Final = frozenset({"redact", "replace"})

T = TypeVar("T")

Describe = Callable[[str], Mapping[str, Any]]


@dataclass(slots=True, kw_only=True, eq=False)
class Passage:
    """A call on its way: mutable, of one call alone.

    Args:
        pep: decides.
        endpoint: what kind of call it is.
        identity: for whom it is made.
        host: what records call the place where it is made.
        describe: gives the properties of a model by its name.
        client_call_id: the id that the application chose for it.
        call_id: joins its decisions.
        attempt: how often a model was about to be called.
        model: what is called.
        said: every text of the request, as it was permitted last.
        permitted: the prompt that may be sent, as it was permitted last.
        answering: whether its answer is on the way: no other model can be called instead.
        stored: whether LiteLLM's cache keeps the answer, as far as anybody has said.
        denial: the decision that ended it; whatever comes after is denied by it as well.
        let_pass: it cannot be governed, and the settings only monitor.
    """

    pep: EnforcementPoint
    endpoint: Endpoint
    identity: Identity
    host: str
    describe: Describe
    client_call_id: str = ""
    call_id: str = field(default_factory=new_id)
    attempt: int = 0
    model: Entity = field(default_factory=lambda: Entity(type="endpoint", id="unknown"))
    said: frozenset[str] = field(default=frozenset(), repr=False)
    permitted: Content | None = field(default=None, repr=False)
    answering: bool = False
    stored: bool = True
    denial: Decision | None = None
    let_pass: bool = False

    def admit(self, data: Mapping[str, Any]) -> None:
        """Refuse what cannot be governed.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        problem = problem_with(data, self.endpoint)
        if problem is not None:
            self.refuse(_asked_for(data), *problem)

    def narrow(
        self, name: str, data: Mapping[str, Any], deployments: Sequence[Any], entities: Sequence[Entity]
    ) -> Flow[list[Any]]:
        """Keep the deployments that policy lets the call choose from: one decision on all of them.

        Args:
            name: the model that was asked for.
            data: the call's parameters.
            deployments: as LiteLLM has them.
            entities: the same, as policies see them.

        Raises:
            CallDenied: there is none.
        """
        self.stand()
        if self.let_pass or not deployments:
            return list(deployments)
        surfaces = self._read(data)
        context = yield from self._context(data, surfaces)
        asked = Entity(type="model", id=name)
        question = self._question(Stage.MODEL_SELECTION, asked, surfaces, context, _BEFORE | {"route"})
        question = replace(question, attempt=self.attempt + 1)
        decision = self._hold((yield Filter(self.pep, question, entities)))
        return narrowed(decision, deployments)

    def try_(
        self, model: Entity, data: dict[str, Any], *, routable: bool, without: Sequence[str] = ()
    ) -> Flow[str]:
        """Ask in full about one try of the call; writes the changes into its parameters.

        Args:
            model: what is about to be called.
            data: the call's parameters.
            routable: whether another model can be called instead.
            without: obligations that cannot be carried out here.

        Returns:
            The name of the model to call: it is another one where policy says so.

        Raises:
            CallDenied: nothing must be sent.
        """
        self.stand()
        self.attempt += 1
        self.model = model
        if self.let_pass:
            return model.id
        supports = (_BEFORE | {"route"} if routable and not self.answering else _BEFORE) - {*without}
        surfaces: Surfaces | None = None
        context: dict[str, Any] = {}
        for stage in (Stage.MODEL_SELECTION, Stage.PRE_PROMPT):
            if surfaces is None:
                surfaces = self._read(data)
                context = yield from self._context(data, surfaces)
            can = supports | _TEXT if stage.has_text else supports
            question = self._question(stage, self.model, surfaces, context, can)
            decision = self._hold((yield Decide(self.pep, question, self.describe)))
            if decision.changes:
                self._write(decision, data, surfaces)
                surfaces = None
                self.stored = self.stored and not decision.changes.no_store
            target = decision.changes.model
            if target is not None and target != self.model.id:
                self.model = Entity(type="model", id=target, properties=dict(self.describe(target)))
        self.permitted = content_of(data, self.endpoint.content, self._depth)
        self.said |= {segment.text for segment in (surfaces or self._read(data)).segments}
        return self.model.id

    def check_sent(self, data: Mapping[str, Any]) -> None:
        """Refuse what is no longer what was permitted.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        self.stand()
        if not self.let_pass and content_of(data, self.endpoint.content, self._depth) != self.permitted:
            self.refuse(self.model, "changed_after_judgement", "the prompt is not the one that was judged")

    def answered(self, answer: Any) -> Flow[Any]:
        """Ask about a whole answer.

        Returns:
            The answer; a changed copy of it where policy says so.

        Raises:
            CallDenied: it must not be given out.
        """
        self.stand()
        if self.let_pass or not self.judges_answers:
            return answer
        if not isinstance(answer, BaseModel | Mapping):
            self.refuse(self.model, "unsupported_answer", f"`{type(answer).__name__}` is no answer")
            return answer
        surfaces = answer_surfaces(answer, self._depth, self.said)
        decision = yield from self.judge_answer(surfaces, [answer], _TEXT)
        if not decision.changes.texts:
            return answer
        # LiteLLM keeps the answer as well: for its logs, which are written meanwhile, and in its cache.
        changed = _copy(answer)
        surfaces = answer_surfaces(changed, self._depth, self.said)
        self.write(decision, lambda: write_answer([changed], decision.changes, surfaces))
        return changed

    def judge_answer(
        self, surfaces: Surfaces, answers: Sequence[Any], supports: frozenset[str]
    ) -> Flow[Decision]:
        """Ask about an answer, or about the pieces of one.

        Raises:
            CallDenied: it must not be given out.
        """
        context = self.outcome(answers)
        if context["tokens"]:
            self.pep.settle(self.call_id, max(self.attempt, 1), context["tokens"])
        question = self._question(Stage.POST_COMPLETION, self.model, surfaces, context, supports)
        decision = self._hold((yield Decide(self.pep, question, self.describe)))
        self.check_store(decision)
        return decision

    def check_store(self, decision: Decision) -> None:
        """Refuse an answer that policy wants kept nowhere, where LiteLLM's cache has it already.

        Raises:
            CallDenied: it is kept.
        """
        if decision.changes.no_store and self.stored and litellm.cache is not None:
            error = RuntimeError("the answer is in LiteLLM's cache; say `no_store` before the prompt")
            self._hold(self.pep.report_failure(decision, error))

    def outcome(self, answers: Sequence[Any]) -> dict[str, Any]:
        """What policies see of how an answer ended."""
        tokens, finish = facts.outcome_of(answers)
        return {"tokens": tokens, "partial": False, **({"finish_reason": finish} if finish else {})}

    def streamed(self, supports: frozenset[str]) -> AccessRequest:
        """The question about an answer that comes in pieces."""
        return self._question(Stage.POST_COMPLETION, self.model, _NOTHING, {}, supports)

    def refuse(self, resource: Entity, code: str, message: str) -> None:
        """Deny what no engine can be asked; under monitor the call passes, unjudged from here on.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        question = self._question(Stage.PRE_PROMPT, resource, _NOTHING, {}, frozenset())
        self._hold(self.pep.refuse(question, code, message))
        self.let_pass = True

    def write(self, decision: Decision, change: Callable[[], None]) -> None:
        """Write a decision's changes.

        Raises:
            CallDenied: it could not be done.
        """
        failed: Exception | None = None
        try:
            change()
        except Exception as error:  # noqa: BLE001 -- whatever it is, what the permit is bound to does not hold
            failed = error
        if failed is not None:
            self._hold(self.pep.report_failure(decision, failed))

    def stand(self) -> None:
        """Deny once more what was denied before: nobody routes around a denial.

        Raises:
            CallDenied: the call was denied.
        """
        if self.denial is not None:
            raise CallDenied(self.denial)

    def fail(self, error: Exception) -> None:
        """Deny a call in which the guard itself failed.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        if isinstance(error, RequestError):
            self.refuse(self.model, error.code, error.message)
            return
        # Neither the error's text nor its values: they can hold a piece of the prompt.
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        _log.error("the guard failed with `%s` at %s:%s", kind, place.filename, place.lineno)
        self.refuse(self.model, "failure.host_error", f"`{kind}` in the guard")

    def safely(self, flow: Flow[T], otherwise: T) -> Flow[T]:
        """Run a flow of the guard's own; what it fails at denies.

        Args:
            flow: asks about the call.
            otherwise: what it comes to where the settings only monitor.

        Raises:
            CallDenied: the call must not go on.
        """
        failed: Exception
        try:
            return (yield from flow)
        except GuardrailRaisedException:
            raise
        except Exception as error:  # noqa: BLE001 -- a bug of ours must not open, nor look like an outage
            failed = error
        self.fail(failed)
        return otherwise

    @property
    def judges_answers(self) -> bool:
        """Whether what comes back says anything."""
        return self.endpoint.answers or self.endpoint.operation == "transcription"

    @property
    def withholds(self) -> bool:
        """Whether a denial of the answer could stand: what quotes it is withheld then."""
        if not self.judges_answers or self.let_pass:
            return False
        return can_stand(self.pep.settings.enforcement, Stage.POST_COMPLETION, self.identity.subject)

    @property
    def _depth(self) -> int:
        return self.pep.settings.limits.depth

    def _read(self, data: Mapping[str, Any]) -> Surfaces:
        surfaces = request_surfaces(data, content_keys(data, self.endpoint), self._depth)
        for key, name in file_names(data):
            surfaces.add_fixed(key, name)
        return surfaces

    def _context(self, data: Mapping[str, Any], surfaces: Surfaces) -> Flow[dict[str, Any]]:
        tokens = yield Count([segment.text for segment in surfaces.segments])
        estimated = {"prompt_tokens": tokens, "max_tokens": max_tokens_of(data, self.endpoint)}
        return {
            "tools": tool_names(data),
            "estimated": {name: count for name, count in estimated.items() if count is not None},
        }

    def _question(
        self,
        stage: Stage,
        resource: Entity,
        surfaces: Surfaces,
        context: Mapping[str, Any],
        supports: frozenset[str],
    ) -> AccessRequest:
        environment = {"host": self.host, "endpoint": self.endpoint.operation}
        if self.client_call_id:
            environment["client_call_id"] = self.client_call_id[:128]
        if surfaces.uninspected:
            context = {**context, "uninspected": surfaces.uninspected}
        return AccessRequest(
            stage=stage,
            subject=self.identity.subject,
            resource=resource,
            context={"operation": self.endpoint.operation, "environment": environment, **context},
            segments=tuple(surfaces.segments),
            supports=supports,
            call_id=self.call_id,
            attempt=max(self.attempt, 1),
            identity=self.identity.facts,
        )

    def _write(self, decision: Decision, data: dict[str, Any], surfaces: Surfaces) -> None:
        self.write(decision, lambda: write_request(data, decision.changes, surfaces, self.endpoint))

    def _hold(self, decision: Decision) -> Decision:
        if decision.denied:
            self.denial = decision
            raise CallDenied(decision)
        return decision


def _asked_for(data: Mapping[str, Any]) -> Entity:
    model = data.get("model")
    return Entity(type="model", id=model if isinstance(model, str) and model else "unknown")


def _copy(answer: Any) -> Any:
    if isinstance(answer, BaseModel):
        return answer.model_copy(deep=True)
    return _plain(answer)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.model_copy(deep=True) if isinstance(value, BaseModel) else value
