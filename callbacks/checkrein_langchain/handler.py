"""A callback handler that blocks what policy denies, and judges what models and tools answered.

A callback can refuse, and nothing else: it changes no prompt, chooses no model, withholds no stream and no
cache. What would need that is denied, with a message that names `guard`.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables.config import ensure_config
from typing_extensions import override

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.identity import Identity, current_identity
from checkrein.ids import new_id
from checkrein.vocabulary import Entity, Origin, Stage

from .denial import PolicyDenied, can_stand
from .facade import is_guarded_by
from .guarded import GUARDED_STAGES
from .identity import bound_identity, identity_of
from .listening import (
    heard_limit,
    heard_model,
    plain,
    read_chat,
    read_documents,
    read_texts,
    read_tool_output,
)
from .reading import Reader
from .requests import ask, offered_tools
from .results import finish_reason, read_answer, tokens_of, was_cached
from .streaming import note_start, streams
from .surfaces import Surface

__all__ = ["PolicyCallbackHandler"]

_HINT: Final = "a callback cannot do what the policy asks for: call the model as `guard(model, pep)`"
# A call that is cancelled ends without a word: what is remembered of it has to go some day.
_MOST_RUNS: Final = 10_000


class NeedsGuardError(Exception):
    """Names in the record why a permit cannot be kept here; nobody raises it."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What the end of a run has to know of its start."""

    who: Identity
    resource: Entity
    call_id: str = field(default_factory=new_id)
    guarded: bool = False


class PolicyCallbackHandler(BaseCallbackHandler):
    """Asks policy about every call of a model or a tool that it is told of, and blocks what is denied.

        chain.invoke(question, {"callbacks": [PolicyCallbackHandler(pep)]})

    Prompts are judged before anything is sent, in sync and async calls. Answers are judged when they are
    complete: a denial reaches the caller, but other callbacks have seen the answer, and caches have it. A
    call that streams is therefore denied before it is sent, if policy judges answers. Calls of models that
    the same enforcement point guards are not judged twice. Tools are judged where an engine covers
    `tool_call` or `tool_result`.

    It runs in LangChain's thread pool in async calls: inline, a remote engine would stop the event loop, and
    LangChain would keep other handlers from the start of text models.

    Args:
        pep: decides.
        subject: for whom all calls are made; by default as `acting_as`, `as_subject` of a chain around the
            call, or trusted metadata say.

    Raises:
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """

    raise_error: bool = True
    # Properties in LangChain, constants here.
    ignore_chain: bool = True
    ignore_custom_event: bool = True
    ignore_retry: bool = True

    def __init__(self, pep: EnforcementPoint, *, subject: Entity | str | None = None) -> None:
        pep.require(GUARDED_STAGES)
        self.pep = pep
        self._most = pep.settings.limits.segments
        self._bound = None if subject is None else bound_identity(subject)
        self._runs: OrderedDict[UUID, _Run] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def run_inline(self) -> bool:  # type: ignore[override]
        """False; LangChain reads it where an asynchronous call starts: the place to see if it streams."""
        note_start(sys._getframe(1))  # noqa: SLF001 -- see `streaming`
        return False

    # Models

    @override
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Judge the prompt of a chat model."""
        if is_guarded_by(serialized, self.pep):
            self._remember(run_id, _Run(current_identity(), Entity(type="model", id="guarded"), guarded=True))
            return
        params = kwargs.get("invocation_params") or {}
        sent = [message for one in messages for message in one]
        tools, _ = offered_tools(params, sent)
        context = {"tools": tools} if tools else {}
        self._start(run_id, read_chat(sent, params, self._most), params, metadata or {}, context)

    @override
    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Judge the prompts of a text model."""
        params = kwargs.get("invocation_params") or {}
        surface = read_texts(prompts, "user", Origin.USER, self._most)
        self._start(run_id, surface, params, metadata or {}, {"operation": "completion"})

    @override
    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Stop a stream that nothing announced: this token is withheld, and the connection closes."""
        self._stop_stream(run_id)

    @override
    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Stop a stream of events that nothing announced."""
        self._stop_stream(run_id)

    @override
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Judge the answer."""
        run = self._forget(run_id)
        if run is not None and run.guarded:
            return
        about = response.llm_output or {}
        run = run or _Run(self._who({}), heard_model(about, {}))
        generations = [one for choices in response.generations for one in choices]
        tokens, finish = tokens_of(generations, about), finish_reason(generations)
        if tokens and not was_cached(generations):
            self.pep.settle(run.call_id, 1, tokens)
        context = {
            **({"tokens": tokens} if tokens else {}),
            **({"finish_reason": finish} if finish else {}),
            "partial": False,
        }
        self._judge(
            Stage.POST_COMPLETION, run, read_answer(generations, response.llm_output, self._most), context
        )

    @override
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._forget(run_id)

    # Tools and retrievers, where an engine covers them

    @override
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Judge the arguments of a tool before it runs."""
        # Not the run's name, which a caller chooses.
        run = _Run(self._who(metadata or {}), _named("tool", (serialized or {}).get("name")))
        if self.pep.node.covers(Stage.TOOL_CALL):
            arguments = plain(inputs) if inputs is not None else {"input": input_str}
            surface = Surface(self._most)
            reader = Reader(surface, "tool_call", Origin.ASSISTANT)
            reader.read({"arguments": arguments}, "arguments", ("arguments",), whole=True)
            asked = kwargs.get("tool_call_id")
            call = {"arguments": arguments, **({"call_id": asked} if isinstance(asked, str) else {})}
            self._judge(Stage.TOOL_CALL, run, surface, {"operation": "tool", "tool": call})
        self._remember(run_id, run)

    @override
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Judge what a tool gave back."""
        run = self._forget(run_id) or _Run(self._who({}), _named("tool", None))
        if self.pep.node.covers(Stage.TOOL_RESULT):
            self._judge(Stage.TOOL_RESULT, run, read_tool_output(output, self._most), {"operation": "tool"})

    @override
    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._forget(run_id)

    @override
    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Remember who asked which retriever."""
        told = metadata or {}
        self._remember(run_id, _Run(self._who(told), _named("retriever", told.get("ls_retriever_name"))))

    @override
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        """Judge retrieved documents, all of them at once."""
        run = self._forget(run_id) or _Run(self._who({}), _named("retriever", None))
        if self.pep.node.covers(Stage.TOOL_RESULT):
            self._judge(
                Stage.TOOL_RESULT, run, read_documents(documents, self._most), {"operation": "retrieval"}
            )

    @override
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._forget(run_id)

    # What they share

    def _start(
        self,
        run_id: UUID,
        surface: Surface,
        params: Mapping[str, Any],
        metadata: Mapping[str, Any],
        context: Mapping[str, Any],
    ) -> None:
        run = _Run(self._who(metadata), heard_model(params, metadata))
        limit = heard_limit(params)
        facts = {**context, **({"estimated": {"max_tokens": limit}} if limit is not None else {})}
        for stage in (Stage.MODEL_SELECTION, Stage.PRE_PROMPT):
            self._judge(stage, run, surface, facts)
        if (params.get("stream") or streams(sys._getframe(2))) and self._judges_answers(run):  # noqa: SLF001 -- see `streaming`
            self._refuse_stream(run)
        self._remember(run_id, run)

    def _judge(self, stage: Stage, run: _Run, surface: Surface, context: Mapping[str, Any]) -> None:
        question = ask(stage, run.resource, run.who, call_id=run.call_id, surface=surface, context=context)
        decision = self.pep.decide(question)
        if decision.denied:
            needs_guard = any(reason.code == "unsupported_obligation" for reason in decision.reasons)
            raise PolicyDenied(decision, _HINT if needs_guard else "")
        if decision.enforced and decision.changes:
            # Only `no_store` gets here: whether something is stored is not a callback's to say.
            raise PolicyDenied(self.pep.report_failure(decision, NeedsGuardError()), _HINT)

    def _judges_answers(self, run: _Run) -> bool:
        covered = self.pep.node.covers(Stage.POST_COMPLETION)
        return covered and can_stand(self.pep.settings, Stage.POST_COMPLETION, run.who.subject)

    def _stop_stream(self, run_id: UUID) -> None:
        run = self._runs.get(run_id)
        if run is not None and not run.guarded and self._judges_answers(run):
            self._refuse_stream(run)

    def _refuse_stream(self, run: _Run) -> None:
        question = ask(
            Stage.POST_COMPLETION, run.resource, run.who, call_id=run.call_id, surface=Surface(0), context={}
        )
        decision: Decision = self.pep.refuse(question, "stream_not_held", _HINT)
        if not decision.denied:
            # Not this reason, but another one that policy may have in the end would be enforced.
            decision = self.pep.report_failure(decision, NeedsGuardError())
        raise PolicyDenied(decision, _HINT)

    def _who(self, metadata: Mapping[str, Any]) -> Identity:
        return identity_of(self.pep.settings, ensure_config(), metadata, self._bound)

    def _remember(self, run_id: UUID, run: _Run) -> None:
        with self._lock:
            self._runs[run_id] = run
            while len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)

    def _forget(self, run_id: UUID) -> _Run | None:
        with self._lock:
            return self._runs.pop(run_id, None)


def _named(kind: str, name: Any) -> Entity:
    return Entity(type=kind, id=name if isinstance(name, str) and name else "unknown")
