"""The part of a guarded model below LangChain's callbacks: they hear of an answer when it is judged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableWithFallbacks
from langchain_core.runnables.config import ensure_config
from pydantic import Field
from typing_extensions import override

from checkrein.flow import Flow, arun, run
from checkrein.identity import Identity
from checkrein_langchain.calls.attempted_call import AttemptedCall
from checkrein_langchain.calls.attempts import Attempt, first_attempt, next_attempt, place_of
from checkrein_langchain.identity import identity_of
from checkrein_langchain.inner_model.chains import models_in
from checkrein_langchain.inner_model.options import check_options
from checkrein_langchain.streams.flow import Give, StreamFlow, arun_stream, run_stream
from checkrein_langchain.text.answers import chunk_of
from checkrein_langchain.text.calls import said_in

from .facade import ModelFacade

__all__ = ["JudgedModel", "Options", "open_call"]

Options = dict[str, Any]


class JudgedModel(ModelFacade):
    """A chat model that asks policy about every answer, and about every prompt that nobody has judged.

    Args:
        identity: for whom calls are made, or None to find out per call.
    """

    identity: Identity | None = Field(default=None, exclude=True, repr=False)
    # Above policy, a cache would hand one caller's answer to the next; the inner model's lies below it.
    cache: Literal[False] = Field(default=False, exclude=True)

    def known(self, config: RunnableConfig | None, metadata: Mapping[str, Any] | None = None) -> Self:
        """A copy that knows who calls.

        Args:
            config: of the call.
            metadata: of the call, where it is not in the config.
        """
        if self.identity is not None:
            return self
        who = identity_of(self.pep.settings, ensure_config(config), metadata)
        return self.model_copy(update={"identity": who})

    def opened(
        self, sent: LanguageModelInput, config: RunnableConfig, stop: list[str] | None, options: Options
    ) -> AttemptedCall:
        """A call, neither judged nor sent yet, of a copy that knows who calls.

        Args:
            sent: what is to be sent.
            config: of the call.
            stop: what ends the answer.
            options: the options of the call.
        """
        messages = self._convert_input(sent).to_messages()
        call = open_call(self, messages, stop, options, self.attempt(messages, place_of(config)))
        call.config = config
        return call

    def tried(
        self, attempt: Attempt, messages: list[BaseMessage], stop: list[str] | None, options: Options
    ) -> AttemptedCall:
        """A call, neither judged nor sent yet, whose options are known to be sound; see `open_call`."""
        assert self.identity is not None  # noqa: S101 -- only a model that knows who calls is asked
        return AttemptedCall(
            self.pep, self.identity, self.inner, self.models, attempt, messages, stop, options
        )

    def attempt(self, messages: list[BaseMessage], place: str | None) -> Attempt:
        """Which attempt at which call it is to send these messages in a place that `place_of` says."""
        assert self.identity is not None  # noqa: S101 -- only a model that knows who calls is asked
        said = said_in(messages, self.pep.settings.limits.segments)
        return next_attempt(self.pep, place, self.identity.subject, said)

    @override
    def with_fallbacks(
        self, fallbacks: Sequence[Runnable[LanguageModelInput, AIMessage]], **kwargs: Any
    ) -> RunnableWithFallbacks[LanguageModelInput, AIMessage]:
        """As LangChain's: a denial is a reason to try a fallback, so each of them must be governed, too.

        Args:
            fallbacks: what to try next, in order.
            kwargs: as LangChain's.

        Raises:
            TypeError: a fallback calls a chat model that is not.
        """
        for model in models_in(fallbacks):
            if not isinstance(model, JudgedModel):
                raise TypeError(
                    f"a fallback calls a `{type(model).__name__}` that no policy governs, and a denied call "
                    "would go on there; pass `guard(model, pep)`"
                )
        return super().with_fallbacks(fallbacks, **kwargs)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return run(self._answer(messages, stop, kwargs))

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await arun(self._answer(messages, stop, kwargs))

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from run_stream(self._chunks(messages, stop, kwargs, async_api=False))

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(arun_stream(self._chunks(messages, stop, kwargs, async_api=True))) as chunks:
            async for chunk in chunks:
                yield chunk

    def _answer(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Options
    ) -> Flow[ChatResult]:
        call = yield from self._judged(messages, stop, options)
        return (yield from call.answer())

    def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Options, *, async_api: bool
    ) -> StreamFlow:
        call = yield from self._judged(messages, stop, options)
        if call.streams(async_api=async_api):
            yield from call.stream()
            return
        result = yield from call.answer()
        for one in result.generations[:1]:
            yield Give(chunk_of(one))

    def _judged(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Options
    ) -> Flow[AttemptedCall]:
        """The call; judged now if nobody has judged these messages, as a callback may have changed them."""
        call = self.call
        if call is None or not (call.reply or call.is_judged(messages)):
            # The same attempt, if a callback changed what was judged.
            attempt = call.attempt if call else first_attempt()
            call = open_call(self.known(None), messages, stop, options, attempt)
            yield from call.before()
        return call


def open_call(
    model: JudgedModel,
    messages: list[BaseMessage],
    stop: list[str] | None,
    options: Options,
    attempt: Attempt,
) -> AttemptedCall:
    """A call that is neither judged nor sent yet.

    Args:
        model: the guarded model; it knows who calls.
        messages: what is to be sent.
        stop: what ends the answer.
        options: the options of the call.
        attempt: which attempt at which call it is.

    Raises:
        ValueError: an option would pass by the policy, or the model asked for cannot be called by its name.
    """
    check_options(options)
    return model.tried(attempt, messages, stop, dict(options))
