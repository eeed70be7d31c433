"""What of a stream is held back: chunks, their size, and all of them as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from langchain_core.outputs import ChatGenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

__all__ = ["Buffer"]

# At most so many chunks are kept apart; longer streams become coarser, not larger.
_MOST_CHUNKS: Final = 8192


class Buffer:
    """Chunks that have not left.

    `overflown` tells whether it was more than that, and was let pass.

    Args:
        limit: bytes of UTF-8 that are held at most; None holds everything.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.overflown = False
        self.size = 0
        self.chunks: list[ChatGenerationChunk] = []

    def add(self, chunk: ChatGenerationChunk) -> bool:
        """Keep one more; whether it is over the limit."""
        self.chunks.append(chunk)
        self.size += 1 + _size(chunk)
        if len(self.chunks) >= _MOST_CHUNKS:
            pairs = zip(self.chunks[::2], self.chunks[1::2], strict=False)
            odd = self.chunks[-1:] if len(self.chunks) % 2 else []
            self.chunks = [one + other for one, other in pairs] + odd
        return self.limit is not None and self.size > self.limit

    def whole(self) -> ChatGenerationChunk | None:
        """All of them as one, or None where there are none."""
        return merge_chat_generation_chunks(self.chunks)


def _size(chunk: ChatGenerationChunk) -> int:
    message = chunk.message
    if isinstance(message.content, str) and not message.additional_kwargs:
        calls = getattr(message, "tool_call_chunks", ())
        return _bytes(message.content) + sum(_bytes(call.get("args") or "") for call in calls)
    total = 0
    todo: list[Any] = [message.content, message.additional_kwargs, getattr(message, "tool_call_chunks", ())]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            total += _bytes(one)
        elif isinstance(one, Mapping):
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
    return total


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
