"""A router that answers in a schema: the chain around the model is the chosen model's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import ensure_config
from pydantic import Field
from typing_extensions import override

from checkrein.flow import arun, run
from checkrein_langchain.guarded_model.model import GuardedChatModel, pinned

from .routed_call import RoutedCall

__all__ = ["RoutedStructure"]


class RoutedStructure(RunnableSerializable[LanguageModelInput, Any]):
    """Asks policy first; then it is the chain that the chosen model's `with_structured_output` makes.

    Args:
        router: knows the schema.
        options: of every call.
    """

    router: GuardedChatModel
    options: dict[str, Any] = Field(default_factory=dict, repr=False)

    @override
    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        known, config = self.router.known(config), ensure_config(config)
        call = self._opened(known, input, config, kwargs)
        run(call.before())
        return _chain(known, call).invoke(call.messages, config)

    @override
    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        known, config = self.router.known(config), ensure_config(config)
        call = self._opened(known, input, config, kwargs)
        await arun(call.before())
        return await _chain(known, call).ainvoke(call.messages, config)

    @override
    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        # Who calls is found out now: a generator may be stepped where nobody knows it any more.
        known, config = self.router.known(config), ensure_config(config)

        def parts() -> Iterator[Any]:
            call = self._opened(known, input, config, kwargs)
            run(call.before())
            yield from _chain(known, call).stream(call.messages, config)

        return parts()

    @override
    def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        known, config = self.router.known(config), ensure_config(config)

        async def parts() -> AsyncIterator[Any]:
            call = self._opened(known, input, config, kwargs)
            await arun(call.before())
            chain: Any = _chain(known, call).astream(call.messages, config)
            async with aclosing(chain):
                async for part in chain:
                    yield part

        return parts()

    def _opened(
        self, known: GuardedChatModel, sent: LanguageModelInput, config: RunnableConfig, more: dict[str, Any]
    ) -> RoutedCall:
        options = {**self.options, **more}
        call = known.opened(sent, config, options.pop("stop", None), options)
        return cast("RoutedCall", call)


def _chain(known: GuardedChatModel, call: RoutedCall) -> Runnable[Any, Any]:
    """The chosen model's own chain, and in its place a copy of the router for this call."""
    model, run_id = pinned(known, call)
    options = {**call.sent, **({"stop": call.stop} if call.stop else {})}
    called = RunnableBinding(bound=model, kwargs=options, config={"run_id": run_id} if run_id else {})
    return call.around(called)
