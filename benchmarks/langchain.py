"""What governing a LangChain call costs: beside a bare model and a handler that does nothing, and a chunk.

    python benchmarks/langchain.py

The model answers at once, an engine permits at once, and records are thrown away: what is left is LangChain's
work and ours. Chunks are five characters, as providers send them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pairing import Measured, measured
from typing_extensions import override

from checkrein import EnforcementPoint, Settings
from checkrein.testing import StaticEngine, obligation, permit
from checkrein_langchain import PolicyCallbackHandler, guard

SIZES: Final = (100, 1_000, 10_000)
CHUNK: Final = 5
PROSE: Final = "Please summarise the quarterly report for the board and list three risks, one to a line.\n"
SECRET: Final = PROSE * 4 + "Her number is 123-45-6789, his address is bob@example.com.\n"
TYPES: Final = ["us_ssn", "email"]
PROMPT: Final = [HumanMessage((PROSE * 12)[:1024])]


class Instant(BaseChatModel):
    """Says at once what it is told."""

    text: str

    @property
    def _llm_type(self) -> str:
        return "instant"

    @override
    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.text))])

    @override
    async def _agenerate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return self._generate(messages)

    @override
    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for at in range(0, len(self.text), CHUNK):
            yield ChatGenerationChunk(message=AIMessageChunk(content=self.text[at : at + CHUNK]))

    @override
    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk


class Nothing(BaseCallbackHandler):
    """Does nothing."""


def point(types: Sequence[str] = (), **told: Any) -> EnforcementPoint:
    """An enforcement point whose engine permits, and redacts what is looked for."""
    answer = permit(obligation("redact", types=[*types])) if types else permit()
    if types:
        told["detectors"] = {"post_completion": [*types]}
    engine = StaticEngine(
        lambda question: answer if question.document["stage"] == "post_completion" else permit()
    )
    return EnforcementPoint(engine, Settings.model_validate(told), record=lambda _: None)


def blocking(model: BaseChatModel, config: Any) -> Callable[[], Any]:
    """A call."""
    return lambda: model.invoke(PROMPT, config)


def awaited(loop: asyncio.AbstractEventLoop, model: BaseChatModel, config: Any) -> Callable[[], Any]:
    """A call, on a loop."""
    return lambda: loop.run_until_complete(model.ainvoke(PROMPT, config))


def streamed(model: BaseChatModel) -> int:
    """Read a stream; gives its length in code points."""
    return sum(len(chunk.text) for chunk in model.stream(PROMPT))


def astreamed(loop: asyncio.AbstractEventLoop, model: BaseChatModel) -> int:
    """The same, on a loop."""

    async def read() -> int:
        return sum([len(chunk.text) async for chunk in model.astream(PROMPT)])

    return loop.run_until_complete(read())


def calls(loop: asyncio.AbstractEventLoop) -> None:
    """Print what a call costs."""
    bare = Instant(text=PROSE)
    pep = point()
    ways: tuple[tuple[str, BaseChatModel, Any], ...] = (
        ("bare", bare, None),
        ("a handler that does nothing", bare, {"callbacks": [Nothing()]}),
        ("`PolicyCallbackHandler`", bare, {"callbacks": [PolicyCallbackHandler(pep)]}),
        ("`guard`", guard(bare, pep), None),
    )
    found: list[Measured] = [
        measured([blocking(model, config) for _, model, config in ways], 1_000),
        measured([awaited(loop, model, config) for _, model, config in ways], 1_000),
    ]
    print("| call | invoke, us | beside bare | ainvoke, us | beside bare |")
    print("|---|---|---|---|---|")
    for number, (name, _, _) in enumerate(ways):
        cells = [cell for one in found for cell in (f"{one.us(number):.0f}", one.ratio(number))]
        print("| " + " | ".join([name, *cells]) + " |")


def streams(loop: asyncio.AbstractEventLoop) -> None:
    """Print what a chunk costs, as streams grow."""
    peps = {
        "hold": point(TYPES),
        "window": point(TYPES, stream={"mode": "window"}),
        "monitor": point(TYPES, enforcement={"default": "monitor"}),
    }
    print("| API | chunks | bare, us a chunk | hold | window | monitor | window beside bare |")
    print("|---|---|---|---|---|---|---|")
    for name, read in (("stream", streamed), ("astream", partial(astreamed, loop))):
        for size in SIZES:
            text = (SECRET * (size * CHUNK // len(SECRET) + 1))[: size * CHUNK]
            bare = Instant(text=text)
            models = [bare, *(guard(bare, pep) for pep in peps.values())]
            found = measured([partial(read, model) for model in models], max(5, 20_000 // size))
            costs = [f"{found.us(number) / size:.1f}" for number in range(len(models))]
            print("| " + " | ".join([name, str(size), *costs, found.ratio(2)]) + " |")


def main() -> None:
    """Print both tables."""
    loop = asyncio.new_event_loop()
    try:
        calls(loop)
        print()
        streams(loop)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


if __name__ == "__main__":
    main()
