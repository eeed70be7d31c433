"""A chat model around a chat model: every way of calling it is governed.

Before a call is sent, policy is asked above LangChain's callbacks, so that no trace holds what it redacts;
before an answer is given out, below them, so that no callback, event or token sees what it withholds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Self
from uuid import UUID

from langchain_core.callbacks import Callbacks
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool

from checkrein.flow import arun, run
from checkrein.vocabulary import Entity
from checkrein_langchain.calls.attempted_call import AttemptedCall
from checkrein_langchain.calls.attempts import place_of
from checkrein_langchain.identity import bound_identity
from checkrein_langchain.inner_model.chains import rebound, twin_of

from .generation import JudgedModel, Options, open_call

__all__ = ["GuardedChatModel", "pinned"]


class GuardedChatModel(JudgedModel):
    """A chat model whose calls are governed; made by `guard`."""

    def acting_as(self, user: Entity | str) -> Self:
        """A copy whose calls are made for a subject, wherever they run.

        Args:
            user: who acts; a string is the id of a `user`.
        """
        return self.model_copy(update={"identity": bound_identity(user)})

    # Ways of calling it, above the callbacks

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Call it."""
        return BaseChatModel.invoke(self.known(config), input, config, stop=stop, **kwargs)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Call it and wait."""
        return await BaseChatModel.ainvoke(self.known(config), input, config, stop=stop, **kwargs)

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        run_id: UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Call it once for each list of messages; nothing is sent unless all of them may be."""
        if self.call is not None:
            return super().generate(messages, stop, callbacks, run_id=run_id, **kwargs)
        shown, calls = self._opened(messages, stop, kwargs, callbacks)
        for call in calls:
            run(call.before())
        results = [
            _model_of(self, call).generate(
                [call.messages],
                call.stop,
                callbacks,
                run_id=run_id or _run_id(call),
                **shown,
                **call.sent,
            )
            for call in calls
        ]
        return self._joined(results)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        run_id: UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As `generate`, all calls at once."""
        if self.call is not None:
            return await super().agenerate(messages, stop, callbacks, run_id=run_id, **kwargs)
        shown, calls = self._opened(messages, stop, kwargs, callbacks)
        for call in calls:
            await arun(call.before())
        answers = await asyncio.gather(
            *(
                _model_of(self, call).agenerate(
                    [call.messages],
                    call.stop,
                    callbacks,
                    run_id=run_id or _run_id(call),
                    **shown,
                    **call.sent,
                )
                for call in calls
            ),
            # All of them end before an error is raised, as LangChain's own do.
            return_exceptions=True,
        )
        results: list[LLMResult] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            results.append(answer)
        return self._joined(results)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream it: what is given out has been judged, at the end or, in a window, on the way."""
        if self.call is not None:
            return super().stream(input, config, stop=stop, **kwargs)
        # Who calls is found out now: a generator may be stepped where nobody knows it any more.
        known, config = self.known(config), ensure_config(config)

        def chunks() -> Iterator[AIMessageChunk]:
            call = known.opened(input, config, stop, kwargs)
            run(call.before())
            model, settings = _model_of(known, call), _with_run_id(config, call)
            yield from model.stream(call.messages, settings, stop=call.stop, **call.sent)

        return chunks()

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """As `stream`."""
        if self.call is not None:
            return super().astream(input, config, stop=stop, **kwargs)
        known, config = self.known(config), ensure_config(config)

        async def chunks() -> AsyncIterator[AIMessageChunk]:
            call = known.opened(input, config, stop, kwargs)
            await arun(call.before())
            model, settings = _model_of(known, call), _with_run_id(config, call)
            inner: Any = model.astream(call.messages, settings, stop=call.stop, **call.sent)
            async with aclosing(inner):
                async for chunk in inner:
                    yield chunk

        return chunks()

    def stream_events(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Stream LangChain's events, governed as `stream` is."""
        if self.call is not None or kwargs.get("version") != "v3":
            return super().stream_events(input, config, **kwargs)
        known, config = self.known(config), ensure_config(config)
        version, stop = kwargs.pop("version"), kwargs.pop("stop", None)
        call = known.opened(input, config, stop, kwargs)
        run(call.before())
        model, settings = _model_of(known, call), _with_run_id(config, call)
        return model.stream_events(call.messages, settings, version=version, stop=call.stop, **call.sent)

    def astream_events(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """As `stream_events`."""
        if self.call is not None or kwargs.get("version") != "v3":
            return super().astream_events(input, config, **kwargs)
        known, config = self.known(config), ensure_config(config)
        version, stop = kwargs.pop("version"), kwargs.pop("stop", None)

        async def events() -> Any:
            call = known.opened(input, config, stop, kwargs)
            await arun(call.before())
            model, settings = _model_of(known, call), _with_run_id(config, call)
            return await model.astream_events(
                call.messages, settings, version=version, stop=call.stop, **call.sent
            )

        return events()

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools, in the inner model's own way."""
        twin = twin_of(self.inner)
        return rebound(twin.bind_tools(tools, **kwargs), twin, self)

    def with_structured_output(
        self, schema: Any = None, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer in a schema, in the inner model's own way."""
        twin = twin_of(self.inner)
        made = twin.with_structured_output(schema, include_raw=include_raw, **kwargs)
        return rebound(made, twin, self)

    # The calls

    def _opened(
        self,
        messages: Sequence[list[BaseMessage]],
        stop: list[str] | None,
        options: Options,
        callbacks: Callbacks,
    ) -> tuple[Options, list[AttemptedCall]]:
        """The calls, and what of their options is for callbacks alone."""
        shown: Options = {key: options.pop(key) for key in ("metadata", "run_name", "tags") if key in options}
        known = self.known(None, shown.get("metadata"))
        config: RunnableConfig = {"callbacks": callbacks}
        place = place_of(config)
        calls = [open_call(known, one, stop, options, known.attempt(one, place)) for one in messages]
        for call in calls:
            call.config = config
        return shown, calls

    def _joined(self, results: Sequence[LLMResult]) -> LLMResult:
        if len(results) == 1:
            return results[0]
        return LLMResult(
            generations=[one.generations[0] for one in results],
            llm_output=self._combine_llm_outputs([one.llm_output for one in results]),
            run=[info for one in results for info in one.run or ()],
        )


def _model_of(model: GuardedChatModel, call: AttemptedCall) -> GuardedChatModel:
    """A copy for one call: what LangChain does above `_generate` is done for the model that is called."""
    return model.model_copy(update={**model.worn_for(call.model), "cache": False, "call": call})


def pinned(model: GuardedChatModel, call: AttemptedCall) -> tuple[GuardedChatModel, UUID | None]:
    """A copy for one call that is judged already, and the id that its run is to have in traces.

    Args:
        model: of whom the call is.
        call: is not judged again.
    """
    return _model_of(model, call), _run_id(call)


def _run_id(call: AttemptedCall) -> UUID | None:
    """The run in traces is the call in the decision log, at its first attempt: runs are never the same."""
    return UUID(call.attempt.call_id) if call.attempt.number == 1 else None


def _with_run_id(config: RunnableConfig, call: AttemptedCall) -> RunnableConfig:
    # Unless the caller names the run.
    return {**config, "run_id": config.get("run_id") or _run_id(call)}
