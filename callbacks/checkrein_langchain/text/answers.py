"""What a model answered: its text, piece by piece, its tokens, and the same with changed text."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation

from checkrein.vocabulary import Origin

from .messages import copy_message, drop_derived, read_message, read_metadata
from .reader import Fields, Reader
from .surface import Path, Surface

__all__ = ["chunk_of", "finish_reason", "read_answer", "rewritten", "tokens_of", "was_cached"]

Facts = dict[str, Any]

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


def read_answer(
    generations: Sequence[Generation], llm_output: Mapping[str, Any] | None, most: int
) -> Surface:
    """Every piece of text of an answer.

    Args:
        generations: the choices of one call.
        llm_output: what the provider said about all of them.
        most: how many pieces policy would judge at all.
    """
    surface = Surface(most)
    for index, generation in enumerate(generations):
        path: Path = ("generations", index)
        if isinstance(generation, ChatGeneration):
            read_message(surface, generation.message, (*path, "message"))
        reader = Reader(surface, "assistant", Origin.ASSISTANT, since=len(surface.slots))
        if not isinstance(generation, ChatGeneration):
            reader.item(Fields(generation), "text", (*path, "text"))
        read_metadata(reader, generation.generation_info or {}, (*path, "generation_info"))
    if isinstance(llm_output, dict):
        reader = Reader(surface, "assistant", Origin.ASSISTANT, since=len(surface.slots))
        read_metadata(reader, llm_output, ("llm_output",))
    return surface


def rewritten(
    generations: Sequence[ChatGeneration],
    llm_output: Facts | None,
    surface: Surface,
    texts: Mapping[Path, str],
) -> tuple[list[ChatGeneration], Facts | None]:
    """The answer with changed text; the given one, which may lie in a cache, is left alone.

    Args:
        generations: the choices.
        llm_output: what the provider said about them.
        surface: their pieces, as `read_answer` found them.
        texts: the changed ones.

    Raises:
        WriteError: a piece cannot be written.
    """
    copies = [_copied(generation) for generation in generations]
    about = copy.deepcopy(llm_output)
    read_answer(copies, about, surface.most).write(texts)
    for one in copies:
        # Some pieces of an answer repeat others: what repeats a changed text goes with it.
        drop_derived(one.generation_info or {})
        drop_derived(one.message.response_metadata)
    read_answer(copies, about, surface.most).expect(surface, texts)
    # Made anew: `text` is computed from the message, once.
    return [type(one)(message=one.message, generation_info=one.generation_info) for one in copies], about


def _copied(generation: ChatGeneration) -> ChatGeneration:
    copied = generation.model_copy()
    copied.message = copy_message(generation.message)
    copied.generation_info = copy.deepcopy(generation.generation_info)
    return copied


def chunk_of(generation: ChatGeneration) -> ChatGenerationChunk:
    """A whole answer as the only chunk of a stream."""
    message = generation.message
    if isinstance(message, AIMessage) and not isinstance(message, AIMessageChunk):
        fields = {name: value for name, value in message.__dict__.items() if name != "type"}
        message = AIMessageChunk(**fields, chunk_position="last")
    return ChatGenerationChunk(message=message, generation_info=generation.generation_info)  # type: ignore[arg-type]


def tokens_of(
    generations: Sequence[Generation], llm_output: Mapping[str, Any] | None = None
) -> dict[str, int]:
    """What the provider counted: `prompt_tokens`, `completion_tokens`, `total_tokens`; empty when unknown."""
    # Every choice carries the usage of the whole call.
    for generation in generations:
        usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
        if usage:
            return _counted(usage, ("input_tokens", "output_tokens", "total_tokens"))
    told = (llm_output or {}).get("token_usage")
    return _counted(told, _COUNTS) if isinstance(told, Mapping) else {}


def _counted(told: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    pairs = zip(_COUNTS, names, strict=True)
    return {count: told[name] for count, name in pairs if type(told.get(name)) is int}


def was_cached(generations: Sequence[Generation]) -> bool:
    """Whether LangChain's cache gave the answer, so that nothing was used for it."""
    for generation in generations:
        usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
        if usage and usage.get("total_cost") == 0:
            return True
    return False


def finish_reason(generations: Sequence[Generation]) -> str | None:
    """Why the first choice ended, in the provider's words."""
    if not generations:
        return None
    message: BaseMessage | None = getattr(generations[0], "message", None)
    for facts in (generations[0].generation_info or {}, message.response_metadata if message else {}):
        for key in ("finish_reason", "stop_reason"):
            if isinstance(facts.get(key), str):
                return str(facts[key])
    return None
