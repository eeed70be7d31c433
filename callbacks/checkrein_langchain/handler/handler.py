"""A callback handler that blocks what policy denies, and judges what models and tools answered.

A callback can refuse, and nothing else: it changes no prompt, chooses no model, withholds no stream and no
cache. What would need that is denied, with a message that names `guard`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from typing_extensions import override

from checkrein.enforcement import EnforcementPoint
from checkrein.identity import current_identity
from checkrein.vocabulary import Entity, Origin, Stage
from checkrein_langchain.guarded_model.facade import is_guarded_by
from checkrein_langchain.guarded_model.guard import GUARDED_STAGES
from checkrein_langchain.inner_model.options import offered_tools
from checkrein_langchain.text.answers import finish_reason, read_answer, tokens_of, was_cached
from checkrein_langchain.text.calls import said_in
from checkrein_langchain.text.reader import Reader, plain
from checkrein_langchain.text.surface import Surface
from checkrein_langchain.tools.governed_runs import is_governed

from . import fallbacks  # noqa: F401 -- it registers itself with LangChain
from .caller_detection import note_caller
from .enforcement import Enforcer, Run, named
from .events import heard_model, read_chat, read_documents, read_texts, read_tool_output
from .stream_detection import note_start
from .tripwire import install

__all__ = ["PolicyCallbackHandler"]


class PolicyCallbackHandler(Enforcer, BaseCallbackHandler):
    """Asks policy about every call of a model or a tool that it is told of, and blocks what is denied.

        chain.invoke(question, {"callbacks": [PolicyCallbackHandler(pep)]})

    Prompts are judged before anything is sent, in sync and async calls. Answers are judged when they are
    complete: a denial reaches the caller, but other callbacks have seen the answer, and caches have it. A
    call that streams is therefore denied before it is sent, if policy judges answers. Calls of models that
    the same enforcement point guards are not judged twice. Tools are judged where an engine covers
    `tool_call` or `tool_result`. A callback has no answer to give: it raises where settings want a
    reply.

    It runs in LangChain's thread pool in async calls: inline, a remote engine would stop the event loop, and
    LangChain would keep other handlers from the start of text models.

    Args:
        pep: decides.
        subject: for whom all calls are made; by default as `as_subject`, `acting_as` or trusted metadata say.

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
        super().__init__(pep, subject)

    def install(self) -> Callable[[], None]:
        """Put it into every call of a model or a tool in this process, for good.

            PolicyCallbackHandler(pep).install()

        No `callbacks=[]`, thread, executor, fallback or subgraph leads past it. A text model with a cache is
        denied: no handler is told of an answer from there. What is called below LangChain's callbacks
        (`model._generate`, a provider's own client) is not seen. A forked child has it, too; a process that
        is spawned has nothing of this one, so install it where that begins.

        Returns:
            A function that takes it out again, for tests.

        Raises:
            RuntimeError: there is one already.
        """
        return install(self)

    @property
    def run_inline(self) -> bool:  # type: ignore[override]
        """False; LangChain reads it where an asynchronous call starts: the place to see its frames."""
        around = sys._getframe(1)  # noqa: SLF001 -- see `stream_detection`
        note_start(around)
        note_caller(around)
        return False

    # Models

    @override
    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Judge the prompt of a chat model."""
        if is_guarded_by(serialized, self.pep):
            self._remember(run_id, _governed())
            return
        params = kwargs.get("invocation_params") or {}
        sent = [message for one in messages for message in one]
        tools, _ = offered_tools(params, sent)
        context = {"tools": tools} if tools else {}
        who, said = self._who(metadata), tuple(said_in(sent, self._most))
        run = Run(who, heard_model(params, metadata or {}), self._attempt(who, parent_run_id, said), said)
        self._begin(run_id, run, read_chat(sent, params, self._most), params, context)

    @override
    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Judge the prompts of a text model."""
        params = kwargs.get("invocation_params") or {}
        surface = read_texts(prompts, "user", Origin.USER, self._most)
        who, said = self._who(metadata), tuple(prompts)
        run = Run(who, heard_model(params, metadata or {}), self._attempt(who, parent_run_id, said), said)
        self._begin(run_id, run, surface, params, {"operation": "completion"})

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
        run = run or Run(self._who(), heard_model(about, {}))
        generations = [one for choices in response.generations for one in choices]
        tokens, finish = tokens_of(generations, about), finish_reason(generations)
        if tokens and not was_cached(generations):
            self.pep.settle(run.attempt.call_id, run.attempt.number, tokens)
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
        """Forget the run; another attempt may follow."""
        self._note_failure(self._forget(run_id))

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
        if is_governed(self.pep, "tool"):
            self._remember(run_id, _governed())
            return
        # Not the run's name, which a caller chooses.
        run = Run(self._who(metadata), named("tool", (serialized or {}).get("name")))
        if self.pep.node.covers(Stage.TOOL_CALL):
            arguments = plain(inputs) if inputs is not None else {"input": input_str}
            surface = Surface(self._most)
            reader = Reader(surface, "tool_call", Origin.ASSISTANT)
            reader.read({"arguments": arguments}, "arguments", ("arguments",), whole=True)
            asked = kwargs.get("tool_call_id")
            call = {"arguments": arguments, **({"call_id": asked} if isinstance(asked, str) else {})}
            self._judge(Stage.TOOL_CALL, run, surface, {"operation": "tool", "tool": call})
        self._refuse_events(run)
        self._remember(run_id, run)

    @override
    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Judge what a tool gave back."""
        run = self._forget(run_id) or Run(self._who(), named("tool", None))
        if not run.guarded and self.pep.node.covers(Stage.TOOL_RESULT):
            try:
                surface = read_tool_output(output, self._most)
            except ValueError:
                self._refuse_result(run)
            else:
                self._judge(Stage.TOOL_RESULT, run, surface, {"operation": "tool"})

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
        if is_governed(self.pep, "retriever"):
            self._remember(run_id, _governed())
            return
        told = metadata or {}
        run = Run(self._who(metadata), named("retriever", told.get("ls_retriever_name")))
        self._refuse_events(run)
        self._remember(run_id, run)

    @override
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **kwargs: Any) -> None:
        """Judge retrieved documents, all of them at once."""
        run = self._forget(run_id) or Run(self._who(), named("retriever", None))
        if not run.guarded and self.pep.node.covers(Stage.TOOL_RESULT):
            self._judge(
                Stage.TOOL_RESULT, run, read_documents(documents, self._most), {"operation": "retrieval"}
            )

    @override
    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the run."""
        self._forget(run_id)


def _governed() -> Run:
    """A run that asks policy itself."""
    return Run(current_identity(), Entity(type="model", id="guarded"), guarded=True)
