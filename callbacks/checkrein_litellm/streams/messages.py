"""The stream of Anthropic's messages: bytes that hold events, each about a block of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from checkrein.errors import RequestError
from checkrein_litellm.text.leaves import Path, leaves, member

from .shape import Event, Piece, Step, number_of, own
from .sse import DONE, FrameReader, frame

__all__ = ["MessagesShape"]

# By the kind of a delta, where its text stands.
_FLOWS: Final[Mapping[str, str]] = {"text_delta": "text", "thinking_delta": "thinking"}
# By the kind of a block.
_BLOCKS: Final[Mapping[str, str]] = {"text": "text", "thinking": "thinking"}
# An answer's own book-keeping.
_NOT_SAID: Final = frozenset({"id", "index", "model", "type", "usage"})
_SIGNATURE: Final = "signature_delta"
_FRAMES: Final = frozenset({"content_block_stop", "message_delta", "message_start", "message_stop", "ping"})


class MessagesShape:
    """Text and thinking flow; what a tool is called with waits.

    Args:
        limit: bytes of text that a stream may hold.
    """

    def __init__(self, limit: int) -> None:
        self._reader = FrameReader(limit)
        self._begun: dict[int, list[Path]] = {}

    def read(self, chunk: Any) -> Sequence[Event]:
        """The events that are complete with a chunk."""
        if isinstance(chunk, str):
            chunk = chunk.encode("utf-8", "surrogatepass")
        if not isinstance(chunk, bytes):
            raise RequestError("unsupported_answer", f"`{type(chunk).__name__}` is no piece of a stream")
        return [self._event(one.data) for one in self._reader.take(chunk)]

    def close(self) -> None:
        """End the stream."""
        self._reader.close()

    def rest(self, event: Event) -> Any:
        """The event; of a block that begins with text, the block without it."""
        rest = own(event.data)
        block = rest.get("content_block") if isinstance(rest, dict) else None
        field = _BLOCKS.get(_kind(block))
        if field is not None and isinstance(block, dict) and isinstance(block.get(field), str):
            block[field] = ""
        return rest

    def silent(self, rest: Any) -> bool:
        """Whether it frames the answer or a block of text, or signs what was thought."""
        kind = _kind(rest)
        if kind == "content_block_start":
            return _kind(member(rest, "content_block")) in _BLOCKS
        if kind == "content_block_delta":
            return _kind(member(rest, "delta")) == _SIGNATURE
        return rest == DONE or kind in _FRAMES

    def told(self, rest: Any, max_depth: int) -> Iterator[Piece]:
        """Every string that is no name or number of an event."""
        if not isinstance(rest, dict):
            return
        answer = rest.get("message") if _kind(rest) == "message_start" else rest
        for key in [key for key in answer or () if key not in _NOT_SAID]:
            for leaf in leaves(answer, key, (key,), max_depth):
                pieced = _kind(rest) == "content_block_delta" and leaf.path == ("delta", leaf.key)
                whole = not pieced or leaf.key == "type"
                yield (None if whole else (number_of(rest, "index"), leaf.key)), leaf

    def saying(self, event: Event, path: Path, text: str) -> Any:  # noqa: ARG002 -- as its protocol
        """A delta of a block."""
        field = str(path[2])
        delta = {"type": f"{field}_delta", field: text}
        return {"type": "content_block_delta", "index": path[1], "delta": delta}

    def written(self, data: Any) -> Any:
        """A frame, named by its type."""
        return frame(data) if data == DONE else frame(data, _kind(data))

    def outcome(self, events: Sequence[Any]) -> Sequence[Any]:
        """The usage, of which the beginning and the end tell a part each."""
        usage: dict[str, Any] = {}
        stop: Any = None
        for event in events:
            for holder in (member(event, "message") if isinstance(event, dict) else None, event):
                if isinstance(holder, dict) and isinstance(holder.get("usage"), dict):
                    usage |= {key: count for key, count in holder["usage"].items() if count is not None}
            delta = event.get("delta") if isinstance(event, dict) else None
            stop = (member(delta, "stop_reason") if isinstance(delta, dict) else None) or stop
        return [{"usage": usage, "stop_reason": stop}]

    def _event(self, data: Any) -> Event:
        kind = _kind(data)
        if kind == "message_start" and not isinstance(data.get("message"), dict):
            raise RequestError("unsupported_answer", "the stream begins with a message that is none")
        index = number_of(data, "index")
        if kind == "content_block_delta":
            field = _FLOWS.get(_kind(member(data, "delta")))
            text = member(member(data, "delta"), field) if field is not None else None
            if field is not None and isinstance(text, str) and not _others(data["delta"], field):
                return Event(data, self._flows(index, field, text), more=False)
        elif kind == "content_block_start":
            block = member(data, "content_block")
            field = _BLOCKS.get(_kind(block))
            text = member(block, field) if field is not None else None
            if field is not None and isinstance(text, str):
                return Event(data, self._flows(index, field, text))
        elif kind == "content_block_stop":
            return Event(data, tuple([(path, None) for path in self._begun.get(index, ())]))
        return Event(data)

    def _flows(self, index: int, field: str, text: str) -> tuple[Step, ...]:
        if not text:
            return ()
        path: Path = ("content", index, field)
        begun = self._begun.setdefault(index, [])
        if path not in begun:
            begun.append(path)
        return ((path, text),)


def _kind(holder: Any) -> str:
    kind = holder.get("type") if isinstance(holder, dict) else None
    return kind if isinstance(kind, str) else ""


def _others(delta: Mapping[str, Any], field: str) -> bool:
    return any(value for key, value in delta.items() if key not in {"type", field})
