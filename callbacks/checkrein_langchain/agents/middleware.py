"""A middleware for LangChain's agents: swaps in the guarded model, and stands before the tools."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from threading import Lock
from typing import Annotated, Any, Final, NotRequired

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    OmitFromInput,
    ToolCallRequest,
    TracePolicy,
    omit_payload,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables.config import ensure_config
from langgraph.types import Command
from typing_extensions import override

from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow, arun, run
from checkrein.vocabulary import Entity, Stage
from checkrein_langchain.access_requests import ask
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.errors import PolicyWarning
from checkrein_langchain.guarded_model.facade import ModelFacade
from checkrein_langchain.guarded_model.guard import GUARDED_STAGES, guard
from checkrein_langchain.identity import identity_of
from checkrein_langchain.inner_model.facts import facts_of
from checkrein_langchain.text.surface import Surface

from .notes import Note, Notes, joined, listening
from .tool_node import Execute, ToolGate

__all__ = ["PolicyMiddleware", "PolicyState"]

_DECISIONS: Final = "policy_decisions"
# An agent that makes a model for each call would have us keep all of them.
_MOST_MODELS: Final = 64
_ASKED: Final = (Stage.PRE_PROMPT, Stage.POST_COMPLETION)
_NOT_LAST: Final = (
    "a middleware after `PolicyMiddleware` can pass by the policy: it could call another model, or another "
    "tool; put `PolicyMiddleware` last"
)


class PolicyState(AgentState[Any]):
    """The state of an agent, with the decisions about it: stages, ids, outcomes and codes, no text."""

    # LangGraph takes the last one for the reducer.
    policy_decisions: NotRequired[Annotated[list[Note], OmitFromInput, joined]]


class PolicyMiddleware(AgentMiddleware[PolicyState, Any, Any]):
    """Governs an agent: its model, its tools and what they give back.

        agent = create_agent(model, tools, middleware=[..., PolicyMiddleware(pep)], checkpointer=saver)

    It has to be the last middleware: those after it could call another model. The model is the guarded one,
    so what it redacts or denies is in no stream, event, trace or checkpoint. What the user typed is in the
    state, because the caller put it there: it is redacted on its way to the model.

    A denied tool does not run, and the model is told so. A tool that needs an approval interrupts the graph,
    where there is a checkpointer, with `tool`, `arguments`, `approvers`, `decision_id` and `digest`; it is
    resumed by `Command(resume={"approved": True, "approver": "alice", "digest": ...})`. The subject is then
    the one for whom the graph is resumed.

    A model that another enforcement point guards already is asked about by both: by this one first of its
    prompt, and last of its answer.

    The models of subagents and of other middleware, such as summaries, are called past this one: guard them
    by `guard`, or install a `PolicyCallbackHandler`.

    Args:
        pep: decides, at every stage.
        models: alternatives that policy may route to, by the names that it knows them by.

    Raises:
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """

    state_schema = PolicyState
    # The span of the hook would show what the model's own span shows redacted.
    trace_policy = TracePolicy(process_inputs=omit_payload)

    def __init__(self, pep: EnforcementPoint, *, models: Mapping[str, BaseChatModel] | None = None) -> None:
        super().__init__()
        pep.require(GUARDED_STAGES)
        self.pep = pep
        self.models = dict(models or {})
        self._gate = ToolGate(pep, decisions_key=_DECISIONS, alone=True)
        self._guarded: OrderedDict[int, tuple[BaseChatModel, ModelFacade]] = OrderedDict()
        self._lock = Lock()
        self._warned = False

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Call the guarded model."""
        return run(self._called(request, handler))

    @override
    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ExtendedModelResponse[Any]:
        """Call the guarded model and wait."""
        return await arun(self._called(request, handler))

    @override
    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Use the tool, if policy permits."""
        self._warn(handler)
        return self._gate.wrap(request, handler)

    @override
    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """Use the tool, if policy permits, and wait."""
        self._warn(handler)
        return await self._gate.awrap(request, handler)

    def _called(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]
    ) -> Flow[ExtendedModelResponse[Any]]:
        self._warn(handler)
        model = self._guard(request.model)
        notes = Notes(getattr(request.runtime, "stream_writer", None))
        with ExitStack() as hearing:
            # Whoever else governs the model is named, but answers for nothing here.
            for pep in {*_asked_in(model)} - {self.pep}:
                hearing.enter_context(listening(pep, notes.mention))
            hearing.enter_context(listening(self.pep, notes.tell))
            answer = yield Execute(handler, request.override(model=model))
        response = ModelResponse(result=[answer]) if isinstance(answer, AIMessage) else answer
        if not _was_governed(notes, response):
            self._refuse(request.model, notes)
        return ExtendedModelResponse(response, Command(update={_DECISIONS: notes.taken}))

    def _guard(self, model: BaseChatModel) -> ModelFacade:
        if isinstance(model, ModelFacade) and _asks(model, self.pep):
            return model
        with self._lock:
            # The model is kept beside the guarded one: its id stays its own.
            _, guarded = self._guarded.get(id(model)) or (model, guard(model, self.pep, models=self.models))
            self._guarded[id(model)] = (model, guarded)
            self._guarded.move_to_end(id(model))
            while len(self._guarded) > _MOST_MODELS:
                self._guarded.popitem(last=False)
        return guarded

    def _refuse(self, model: BaseChatModel, notes: Notes) -> None:
        """Deny an answer that came from somewhere else than the guarded model."""
        resource = Entity(type="model", id="unknown")
        if isinstance(model, BaseChatModel):
            resource = Entity(type="model", id=facts_of(model).name)
        who = identity_of(self.pep.settings, ensure_config())
        question = ask(
            Stage.POST_COMPLETION, resource, who, call_id="", surface=Surface(0), context={"partial": False}
        )
        decision = self.pep.refuse(question, "model_not_guarded", _NOT_LAST)
        notes.tell(decision)
        if decision.denied:
            raise PolicyDenied(decision, _NOT_LAST)

    def _warn(self, handler: Callable[..., Any]) -> None:
        if not self._warned and "_chain_" in getattr(handler, "__qualname__", ""):
            self._warned = True
            warnings.warn(_NOT_LAST, PolicyWarning, stacklevel=2)


def _asks(model: BaseChatModel, pep: EnforcementPoint) -> bool:
    """Whether an enforcement point is asked about a model already, wherever the call is led."""
    if not isinstance(model, ModelFacade):
        return False
    return model.pep is pep or all(_asks(one, pep) for one in (model.inner, *model.models.values()))


def _asked_in(model: BaseChatModel) -> Iterator[EnforcementPoint]:
    """Who is asked about a model, from the outside to the inside."""
    if isinstance(model, ModelFacade):
        yield model.pep
        for one in (model.inner, *model.models.values()):
            yield from _asked_in(one)


def _was_governed(notes: Notes, response: Any) -> bool:
    """Whether policy let an answer pass, or it is what policy replied: a denial alone lets none through."""
    passed = {one.request.stage for one in notes.decisions if not one.denied}
    if passed.issuperset(_ASKED):
        return True
    denials = {note["decision_id"] for note in notes.taken if not note["permitted"]}
    messages = getattr(getattr(response, "model_response", response), "result", ())
    answers = [one for one in messages if isinstance(one, AIMessage)]
    return bool(answers) and all(one.response_metadata.get("decision_id") in denials for one in answers)
