"""One governed call: what policy is asked before it is sent and before its answer is given out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from checkrein.decision import Changes, Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow
from checkrein.identity import Identity
from checkrein.vocabulary import AccessRequest, Entity, Stage
from checkrein_langchain.access_requests import Decide, ask
from checkrein_langchain.denial import PolicyDenied, can_stand
from checkrein_langchain.errors import withholding
from checkrein_langchain.inner_model.changes import tells_request
from checkrein_langchain.inner_model.facts import facts_of, largest_answer
from checkrein_langchain.inner_model.options import offered_tools, without_tracing
from checkrein_langchain.inner_model.selection import Bounds, Chosen, choose
from checkrein_langchain.text.answers import finish_reason, read_answer, rewritten, tokens_of, was_cached
from checkrein_langchain.text.calls import read_call
from checkrein_langchain.text.messages import copy_message
from checkrein_langchain.text.surface import Surface

from .attempts import Attempt
from .replies import calls_tools
from .steps import Generate, Store

__all__ = ["Call"]

_NOTHING: Final = Surface(0)
_REQUEST_OBLIGATIONS: Final = frozenset({"limit_tokens", "remove_tools", "set_parameters"})


@dataclass(slots=True)
class Call:
    """A call on its way: mutable, of one call alone.

    Args:
        pep: decides.
        who: for whom the call is made.
        home: the guarded model.
        models: its alternatives by name.
        attempt: which attempt at which call.
        messages: what is to be sent; the caller's own are never changed.
        stop: what ends the answer.
        options: the options of the call, as asked.
    """

    pep: EnforcementPoint
    who: Identity
    home: BaseChatModel
    models: Mapping[str, BaseChatModel]
    attempt: Attempt
    messages: list[BaseMessage]
    stop: list[str] | None
    options: dict[str, Any]
    chosen: Chosen = field(init=False)
    heard: Sequence[ChatGeneration] = field(default=(), init=False, repr=False)
    _bounds: Bounds = field(default_factory=Bounds, init=False)
    _judged: list[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._choose()

    # Before it is sent

    def before(self) -> Flow[None]:
        """Ask at model selection and before the prompt, and change the call as policy says.

        Raises:
            PolicyDenied: the call is denied, or a change cannot be made.
        """
        surface = self._read()
        yield from self._select(surface)
        for stage in (Stage.MODEL_SELECTION, Stage.PRE_PROMPT):
            if surface is None and stage is Stage.PRE_PROMPT:
                self._refuse(self._question(stage, _NOTHING), "request_unreadable")
                return
            question = self._question(stage, surface or _NOTHING)
            decision = yield Decide(self.pep, question, self.describe)
            decision.raise_if_denied(PolicyDenied)
            if decision.changes:
                surface = self._changed(decision, surface)
        self._judged = _texts(surface)

    def is_judged(self, messages: Sequence[BaseMessage]) -> bool:
        """Whether these messages are still the ones that were judged: a callback can have changed them."""
        return _texts(self._read(messages)) == self._judged

    @property
    def model(self) -> BaseChatModel:
        """The model that is called."""
        return self.chosen.model

    @property
    def sent(self) -> dict[str, Any]:
        """The options that are sent."""
        return self.chosen.options

    def describe(self, name: str) -> Mapping[str, Any]:
        """What policies may know of the model that they route to."""
        return facts_of(self.models.get(name, self.home)).properties

    def _read(self, messages: Sequence[BaseMessage] | None = None) -> Surface | None:
        sent = self.messages if messages is None else messages
        try:
            return read_call({"messages": sent, "stop": self.stop, "options": self.options}, self._most)
        except Exception:  # noqa: BLE001 -- what cannot be read cannot be judged
            return None

    def _refuse(self, question: AccessRequest, code: str) -> None:
        """Deny what policy cannot be asked about; under monitor it is recorded, and passes."""
        decision = self.pep.refuse(
            question, code, "the text cannot be read; it has a shape that nothing sends"
        )
        decision.raise_if_denied(PolicyDenied)

    def _select(self, surface: Surface | None) -> Flow[None]:  # noqa: ARG002 -- a router's call needs it
        """Choose a model, where there is a choice."""
        yield from ()

    @property
    def _most(self) -> int:
        return self.pep.settings.limits.segments

    def _question(self, stage: Stage, surface: Surface) -> AccessRequest:
        tools, brought = offered_tools(self.options, self.messages)
        estimated = largest_answer(self.chosen.facts, self.sent)
        supports = {"route"}
        if tells_request(self.model):
            supports |= _REQUEST_OBLIGATIONS - ({"remove_tools"} if brought else set())
        if stage is Stage.PRE_PROMPT:
            supports |= {"redact"} if surface.uninspected else {"redact", "replace"}
        context = {
            **({"tools": tools} if tools else {}),
            **({"estimated": {"max_tokens": estimated}} if estimated is not None else {}),
        }
        return ask(
            stage,
            self._resource(),
            self.who,
            call_id=self.attempt.call_id,
            attempt=self.attempt.number,
            surface=surface,
            context=context,
            supports=frozenset(supports),
        )

    def _resource(self) -> Entity:
        return Entity(type="model", id=self.chosen.name, properties=self.chosen.facts.properties)

    def _changed(self, decision: Decision, surface: Surface | None) -> Surface | None:
        failure: Exception
        try:
            if decision.changes.texts and surface is not None:
                surface = self._write(decision.changes, surface)
            self._bounds.add(decision.changes)
            self._choose()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the permit does not hold
            failure = error
        else:
            return surface
        raise PolicyDenied(self.pep.report_failure(decision, failure))

    def _write(self, changes: Changes, before: Surface) -> Surface:
        call: dict[str, Any] = {
            "messages": [copy_message(message) for message in self.messages],
            "stop": copy.copy(self.stop),
            "options": copy.deepcopy(self.options),
        }
        read_call(call, self._most).write(changes.texts)
        surface = read_call(call, self._most)
        surface.expect(before, changes.texts)
        self.messages, self.stop, self.options = call["messages"], call["stop"], call["options"]
        return surface

    def _choose(self) -> None:
        self.chosen = choose(self.home, self.models, self.options, self.stop, self._bounds)

    def streams(self, *, async_api: bool) -> bool:
        """Whether the model can stream its answer."""
        options = {**self.sent, "stream": True}
        return self.model._should_stream(async_api=async_api, **options)  # noqa: SLF001 -- LangChain's own

    # Before it is given out

    def answer(self) -> Flow[ChatResult]:
        """Ask the model, then policy about what it said.

        Raises:
            PolicyDenied: the answer is denied, or a change cannot be made.
        """
        step = Generate(
            self.model, self.messages, self.stop, without_tracing(self.sent), self._bounds.no_store
        )
        result: ChatResult | Exception = yield step
        if isinstance(result, Exception):
            raise self._shown(result)
        generations, about, no_store = yield from self._judge(result.generations, result.llm_output)
        if step.unstored is not None and not no_store:
            yield Store(step.unstored)
        return ChatResult(generations=generations, llm_output=about)

    def _judge(
        self, generations: Sequence[ChatGeneration], about: dict[str, Any] | None
    ) -> Flow[tuple[list[ChatGeneration], dict[str, Any] | None, bool]]:
        self._settle(generations, about)
        surface = self._readable(generations, about)
        if surface is None:
            self._refuse(self._outcome(generations, about, _NOTHING), "answer_unreadable")
            return list(generations), about, self._bounds.no_store
        decision = yield Decide(self.pep, self._outcome(generations, about, surface))
        decision.raise_if_denied(PolicyDenied)
        no_store = self._bounds.no_store or decision.changes.no_store
        if not decision.changes.texts:
            return list(generations), about, no_store
        failure: Exception
        try:
            changed, told = rewritten(generations, about, surface, decision.changes.texts)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the permit does not hold
            failure = error
        else:
            return changed, told, no_store
        raise PolicyDenied(self.pep.report_failure(decision, failure))

    def _settle(self, generations: Sequence[ChatGeneration], about: Mapping[str, Any] | None) -> None:
        self.heard = generations
        tokens = tokens_of(generations, about)
        if tokens and not was_cached(generations):
            self.pep.settle(self.attempt.call_id, self.attempt.number, tokens)

    def _readable(
        self, generations: Sequence[ChatGeneration], about: Mapping[str, Any] | None
    ) -> Surface | None:
        try:
            return read_answer(generations, about, self._most)
        except Exception:  # noqa: BLE001 -- what cannot be read cannot be judged
            return None

    def _outcome(
        self, generations: Sequence[ChatGeneration], about: Mapping[str, Any] | None, surface: Surface
    ) -> AccessRequest:
        tokens, finish = tokens_of(generations, about), finish_reason(generations)
        called = any(calls_tools(generation) for generation in generations)
        return ask(
            Stage.POST_COMPLETION,
            self._resource(),
            self.who,
            call_id=self.attempt.call_id,
            attempt=self.attempt.number,
            surface=surface,
            context={
                **({"tokens": tokens} if tokens else {}),
                **({"finish_reason": finish} if finish else {}),
                "partial": False,
            },
            # In the place of a tool call a text would be a call with other arguments.
            supports=frozenset({"redact"} if called or surface.uninspected else {"redact", "replace"}),
        )

    def _shown(self, failure: Exception) -> Exception:
        covered = self.pep.node.covers(Stage.POST_COMPLETION)
        if covered and can_stand(self.pep.settings, Stage.POST_COMPLETION, self.who.subject):
            return withholding(failure)
        return failure


def _texts(surface: Surface | None) -> list[str] | None:
    return None if surface is None else [slot.segment.text for slot in surface.slots]
