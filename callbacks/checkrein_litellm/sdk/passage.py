"""One call that an application makes itself, without a proxy: what policy is asked, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import litellm
from pydantic import BaseModel

from checkrein import AccessRequest, Decision, Entity, Stage
from checkrein.flow import Flow
from checkrein_litellm import facts
from checkrein_litellm.changes import write_answer, write_request
from checkrein_litellm.deployments import narrowed
from checkrein_litellm.steps import Count, Decide, Filter
from checkrein_litellm.text.request_fields import max_tokens_of, tool_names
from checkrein_litellm.text.surfaces import Surfaces, answer_surfaces, content_of, request_surfaces

from .parameters import content_keys, file_names, problem_with
from .standing import NOTHING, Standing

__all__ = ["Passage"]

_BEFORE: Final = frozenset({"limit_tokens", "no_store", "remove_tools", "set_parameters"})
_TEXT: Final = frozenset({"redact", "replace"})
_ORIGINAL: Final = "original_response"


@dataclass(slots=True, kw_only=True, eq=False)
class Passage(Standing):
    """A call on its way."""

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
        question = self.question(Stage.MODEL_SELECTION, asked, surfaces, context, _BEFORE | {"route"})
        question = replace(question, attempt=self.attempt + 1)
        decision = self.hold((yield Filter(self.pep, question, entities)))
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
            question = self.question(stage, self.model, surfaces, context, can)
            decision = self.hold((yield Decide(self.pep, question, self.describe)))
            if decision.changes:
                self._write(decision, data, surfaces)
                surfaces = None
                self.stored = self.stored and not decision.changes.no_store
            target = decision.changes.model
            if target is not None and target != self.model.id:
                self.model = Entity(type="model", id=target, properties=dict(self.describe(target)))
        self.permitted = content_of(data, self.endpoint.content, self.depth, nodes=self.nodes)
        self.said |= {segment.text for segment in (surfaces or self._read(data)).segments}
        return self.model.id

    def check_sent(self, data: Mapping[str, Any]) -> None:
        """Refuse what is no longer what was permitted.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        self.stand()
        if (
            not self.let_pass
            and content_of(data, self.endpoint.content, self.depth, nodes=self.nodes) != self.permitted
        ):
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
        surfaces = answer_surfaces(answer, self.depth, self.said, nodes=self.nodes)
        decision = yield from self.judge_answer(surfaces, [answer], _TEXT)
        if not decision.changes.texts:
            return answer
        # LiteLLM keeps the answer as well: for its logs, which are written meanwhile, and in its cache.
        changed = _copy(answer)
        surfaces = answer_surfaces(changed, self.depth, self.said, nodes=self.nodes)
        self.write(decision, lambda: write_answer([changed], decision.changes, surfaces))
        _forget_original(changed)
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
        question = self.question(Stage.POST_COMPLETION, self.model, surfaces, context, supports)
        decision = self.hold((yield Decide(self.pep, question, self.describe)))
        self.check_store(decision)
        return decision

    def check_store(self, decision: Decision) -> None:
        """Refuse an answer that policy wants kept nowhere, where LiteLLM's cache has it already.

        Raises:
            CallDenied: it is kept.
        """
        if decision.changes.no_store and self.stored and litellm.cache is not None:
            error = RuntimeError("the answer is in LiteLLM's cache; say `no_store` before the prompt")
            self.hold(self.pep.report_failure(decision, error))

    def outcome(self, answers: Sequence[Any]) -> dict[str, Any]:
        """What policies see of how an answer ended."""
        tokens, finish = facts.outcome_of(answers)
        return {"tokens": tokens, "partial": False, **({"finish_reason": finish} if finish else {})}

    def streamed(self, supports: frozenset[str]) -> AccessRequest:
        """The question about an answer that comes in pieces."""
        return self.question(Stage.POST_COMPLETION, self.model, NOTHING, {}, supports)

    def _read(self, data: Mapping[str, Any]) -> Surfaces:
        surfaces = request_surfaces(data, content_keys(data, self.endpoint), self.depth, nodes=self.nodes)
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

    def _write(self, decision: Decision, data: dict[str, Any], surfaces: Surfaces) -> None:
        self.write(decision, lambda: write_request(data, decision.changes, surfaces, self.endpoint))


def _asked_for(data: Mapping[str, Any]) -> Entity:
    model = data.get("model")
    return Entity(type="model", id=model if isinstance(model, str) and model else "unknown")


def _forget_original(answer: Any) -> None:
    """Take away what LiteLLM keeps of an answer as it came, beside the answer."""
    hidden = getattr(answer, "_hidden_params", None)
    if isinstance(hidden, dict):
        hidden.pop(_ORIGINAL, None)
    elif isinstance(hidden, BaseModel) and hasattr(hidden, _ORIGINAL):
        setattr(hidden, _ORIGINAL, None)


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
