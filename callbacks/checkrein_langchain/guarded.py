"""A chat model around a chat model: every way of calling it is governed.

Before a call is sent, policy is asked above LangChain's callbacks, so that no trace holds what it redacts;
before an answer is given out, below them, so that no callback, event or token sees what it withholds.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Self
from uuid import UUID

from langchain_core.callbacks import Callbacks
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool

from checkrein.enforcement import EnforcementPoint
from checkrein.flow import arun, run
from checkrein.vocabulary import Entity, Stage

from .attempts import place_of
from .facade import WORN
from .identity import bound_identity
from .judged import JudgedModel, Options, open_call
from .models import check_model
from .rebinding import rebound, twin_of
from .tries import Try

__all__ = ["GUARDED_STAGES", "GuardedChatModel", "check_models", "guard", "pinned"]

GUARDED_STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)


def guard(
    model: BaseChatModel, pep: EnforcementPoint, *, models: Mapping[str, BaseChatModel] | None = None
) -> GuardedChatModel:
    """Govern a chat model.

        model = guard(ChatOpenAI(model="gpt-4o"), EnforcementPoint.from_settings("checkrein.yaml"))

    Args:
        model: any chat model; bind tools and options to what is returned.
        pep: decides, at model selection, before the prompt and after the completion.
        models: alternatives that policy may route to, by the names that it knows them by. A name that is not
            among them is called with the credentials of `model`, if only its name has to change for that.

    Raises:
        TypeError: `model` is no chat model.
        ValueError: a model's own options would pass by the policy.
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """
    check_models({"model": model, **(models or {})}, pep)
    worn = {key: getattr(model, key) for key in WORN}
    worn["metadata"] = dict(model.metadata or {})
    guarded = GuardedChatModel(inner=model, models=dict(models or {}), pep=pep, name=model.name, **worn)
    # Made once, kept by every copy: each call is made by one.
    _ = guarded._serialized  # noqa: SLF001 -- LangChain's own
    return guarded


def check_models(models: Mapping[str, BaseChatModel], pep: EnforcementPoint) -> None:
    """Refuse what cannot be governed; see `guard` for what is raised.

    Args:
        models: by any names.
        pep: is to decide about them.
    """
    for name, model in models.items():
        if not isinstance(model, BaseChatModel):
            raise TypeError(
                f"`{name}` is a `{type(model).__name__}` and no chat model; guard the model first, and bind "
                "tools, options, retries and fallbacks to what that gives"
            )
        check_model(model)
    pep.require(GUARDED_STAGES)
    # LangChain's OpenAI client makes pydantic warn of parsed answers in streams, and the warning quotes them.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)


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
    ) -> tuple[Options, list[Try]]:
        """The calls, and what of their options is for callbacks alone."""
        shown: Options = {key: options.pop(key) for key in ("metadata", "run_name", "tags") if key in options}
        known = self.known(None, shown.get("metadata"))
        place = place_of({"callbacks": callbacks})
        return shown, [open_call(known, one, stop, options, known.attempt(one, place)) for one in messages]

    def _joined(self, results: Sequence[LLMResult]) -> LLMResult:
        if len(results) == 1:
            return results[0]
        return LLMResult(
            generations=[one.generations[0] for one in results],
            llm_output=self._combine_llm_outputs([one.llm_output for one in results]),
            run=[info for one in results for info in one.run or ()],
        )


def _model_of(model: GuardedChatModel, call: Try) -> GuardedChatModel:
    """A copy for one call: what LangChain does above `_generate` is done for the model that is called."""
    return model.model_copy(update={**model.worn_for(call.model), "cache": False, "call": call})


def pinned(model: GuardedChatModel, call: Try) -> tuple[GuardedChatModel, UUID | None]:
    """A copy for one call that is judged already, and the id that its run is to have in traces.

    Args:
        model: of whom the call is.
        call: is not judged again.
    """
    return _model_of(model, call), _run_id(call)


def _run_id(call: Try) -> UUID | None:
    """The run in traces is the call in the decision log, if it is its first try: runs are never the same."""
    return UUID(call.attempt.call_id) if call.attempt.number == 1 else None


def _with_run_id(config: RunnableConfig, call: Try) -> RunnableConfig:
    # Unless the caller names the run.
    return {**config, "run_id": config.get("run_id") or _run_id(call)}
