"""The stream of the responses API: events that tell a text piece by piece, and then again as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from checkrein.errors import RequestError
from checkrein_litellm.text.leaves import Leaf, Path, leaves, member
from checkrein_litellm.text.tokens import OF_AN_EVENT, is_token

from .shape import Event, Piece, Step, dropped, faithful, number_of, own

__all__ = ["ResponsesShape"]

# By the beginning of an event's type: the number of the text in its item.
_FLOWS: Final[Mapping[str, str]] = {
    "response.output_text": "content_index",
    "response.reasoning_summary_text": "summary_index",
    "response.reasoning_text": "content_index",
    "response.refusal": "content_index",
}
# The last is noise against eavesdroppers.
_NOT_SAID: Final = frozenset(
    {"content_index", "item_id", "output_index", "sequence_number", "summary_index", "type", "obfuscation"}
)
_BOOKS: Final = frozenset(
    {"_hidden_params", "created_at", "id", "model", "object", "service_tier", "system_fingerprint", "usage"}
)
_ENDS: Final = ("response.completed", "response.failed", "response.incomplete")
_ITEMS: Final = ("response.output_item.added", "response.output_item.done")
# `item.id`, and `response.output.0.id`.
_NAMES: Final = (2, 4)
_SPEAKING: Final = frozenset({"message", "reasoning"})
_FRAMES: Final = frozenset(
    {
        "response.completed",
        "response.content_part.added",
        "response.content_part.done",
        "response.created",
        "response.in_progress",
        "response.incomplete",
        "response.queued",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        *(f"{one}.done" for one in _FLOWS),
    }
)


class ResponsesShape:
    """Text, refusals and what is thought flow; what tools are called with waits.

    Args:
        repeated: texts of the request, which the answer repeats beside its own.
    """

    def __init__(self, repeated: Collection[str]) -> None:
        self._repeated = repeated
        self._begun: dict[int, dict[Path, None]] = {}
        self._number: int | None = None

    def read(self, chunk: Any) -> Sequence[Event]:
        """The event that a chunk is."""
        if not isinstance(chunk, BaseModel | Mapping):
            raise RequestError("unsupported_answer", f"`{type(chunk).__name__}` is no event")
        chunk = faithful(chunk, OF_AN_EVENT)
        base, _, end = _kind(chunk).rpartition(".")
        output = number_of(chunk, "output_index")
        if base in _FLOWS:
            path: Path = ("output", output, base, number_of(chunk, _FLOWS[base]))
            if end == "delta":
                return [self._flowing(chunk, output, path)]
            return [Event(chunk, self._ended(output, [path]))]
        if _kind(chunk) == _ITEMS[1]:
            return [Event(chunk, self._ended(output, list(self._begun.get(output, ()))))]
        return [Event(chunk)]

    def close(self) -> None:
        """Nothing: each chunk is whole."""

    def rest(self, event: Event) -> Any:
        """The event without its tokens."""
        rest = own(event.data)
        dropped(rest, OF_AN_EVENT)
        return rest

    def silent(self, rest: Any) -> bool:
        """Whether it frames the answer or a text of it, or tells such a text again."""
        if _kind(rest) in _ITEMS:
            return member(member(rest, "item") or {}, "type") in _SPEAKING
        return _kind(rest) in _FRAMES

    def told(self, rest: Any, max_depth: int) -> Iterator[Piece]:
        """Every string of the event, or of the answer that it holds."""
        response = member(rest, "response")
        if isinstance(response, BaseModel | Mapping):
            for key in _keys(response):
                for leaf in () if key in _BOOKS else leaves(response, key, ("response", key), max_depth):
                    told_before = key != "output" and not leaf.kind and leaf.text in self._repeated
                    if not told_before and not _is_book_keeping(leaf):
                        yield None, leaf
            return
        place = tuple(str(member(rest, key)) for key in ("type", "item_id", "output_index", "content_index"))
        for key in _keys(rest):
            for leaf in () if key in _NOT_SAID else leaves(rest, key, (key,), max_depth):
                if not _is_book_keeping(leaf):
                    yield ((*place, leaf.path) if key == "delta" else None), leaf

    def saying(self, event: Event, path: Path, text: str) -> Any:  # noqa: ARG002 -- as its protocol
        """A delta of the text."""
        changes: dict[str, Any] = {"delta": text}
        if member(event.data, "logprobs"):
            changes["logprobs"] = []
        if member(event.data, "obfuscation"):
            changes["obfuscation"] = ""
        if isinstance(event.data, BaseModel):
            return event.data.model_copy(update=changes)
        return {**event.data, **changes}

    def written(self, data: Any) -> Any:
        """The event, with the number that is due: what was taken out or put together would leave a gap."""
        number = member(data, "sequence_number")
        if type(number) is not int:
            return data
        self._number = number if self._number is None else self._number + 1
        if number == self._number:
            return data
        if isinstance(data, BaseModel):
            return data.model_copy(update={"sequence_number": self._number})
        return {**data, "sequence_number": self._number}

    def outcome(self, events: Sequence[Any]) -> Sequence[Any]:
        """The answer that the last event holds."""
        ends = [event for event in events if _kind(event) in _ENDS and member(event, "response") is not None]
        return [member(ends[-1], "response") if ends else events[-1]]

    def _flowing(self, chunk: Any, output: int, path: Path) -> Event:
        text = member(chunk, "delta")
        others = any(
            value for key, value in dict(chunk).items() if key not in {*_NOT_SAID, "logprobs", "delta"}
        )
        if not isinstance(text, str) or others:
            return Event(chunk)
        if text:
            self._begun.setdefault(output, {})[path] = None
        return Event(chunk, ((path, text),) if text else (), more=False)

    def _ended(self, output: int, paths: Sequence[Path]) -> tuple[Step, ...]:
        begun = self._begun.get(output, {})
        return tuple([(path, None) for path in paths if path in begun])


def _kind(event: Any) -> str:
    kind = member(event, "type") if isinstance(event, BaseModel | Mapping) else None
    return str(getattr(kind, "value", kind))


def _is_book_keeping(leaf: Leaf) -> bool:
    """Whether it is a token that is told elsewhere, or the name of an item."""
    of_item = leaf.key == "id" and (leaf.path[:1] == ("item",) or leaf.path[1:2] == ("output",))
    return is_token(leaf.path, OF_AN_EVENT) or (of_item and len(leaf.path) in _NAMES)


def _keys(holder: Any) -> list[str]:
    return list(holder if isinstance(holder, Mapping) else dict(holder))
