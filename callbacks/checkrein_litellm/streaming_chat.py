"""The streams of chat and of text completions: chunks with choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from checkrein.errors import RequestError

from .leaves import Path, leaves, member
from .streaming_shape import LOGPROBS, Event, Piece, Step, number_of, own, put, says

__all__ = ["ChatShape", "CompletionShape"]

# An answer's own book-keeping; whatever else stands beside the choices says something.
_ENVELOPE: Final = frozenset(
    {"choices", "created", "id", "model", "object", "service_tier", "system_fingerprint", "usage"}
)
# What frames a choice.
_FRAME: Final = frozenset({"delta", "finish_reason", "index", "logprobs"})
_ROLE: Final = "role"
_REASONING: Final = "reasoning_content"
_DEPTH: Final = 32


class _Choices:
    """What both have in common."""

    _fields: tuple[str, ...]
    _quiet: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._begun: dict[int, list[Path]] = {}

    def read(self, chunk: Any) -> Sequence[Event]:
        """The event that a chunk is.

        Its `finish_reason` ends no text: where there are several choices, LiteLLM tells it too early, and of
        another choice.
        """
        if not isinstance(chunk, BaseModel | Mapping):
            raise RequestError("unsupported_answer", f"`{type(chunk).__name__}` is no chunk")
        steps: list[Step] = []
        after = False
        more = any(value for key, value in _members(chunk) if key not in _ENVELOPE)
        for place, choice in enumerate(member(chunk, "choices") or ()):
            index = number_of(choice, "index", place)
            steps += self._steps(index, choice)
            after = after or bool(member(choice, "finish_reason"))
            more = more or after or self._more(choice)
        tokens = member(chunk, "usage")
        more = more or (bool(tokens) and not any(text for _, text in steps) and not self._is_nil(tokens))
        return [Event(chunk, tuple(steps), more, after)]

    def close(self) -> None:
        """Nothing: each chunk is whole."""

    def rest(self, event: Event) -> Any:
        """The chunk without its flowing text."""
        rest = own(event.data)
        for choice in member(rest, "choices") or ():
            holder = self._holder(choice)
            for field in self._fields:
                if isinstance(member(holder, field) if holder is not None else None, str):
                    put(holder, field, None if field != "text" else "")
            for key in self._mirrors(event, choice):
                put(holder, key, None)
            if member(choice, "logprobs") is not None:
                put(choice, "logprobs", None)
        return rest

    def silent(self, rest: Any) -> bool:
        """Whether it says a role, an end or the usage, and no more."""
        known = (_ROLE, *self._fields, *self._quiet)
        return all(
            key in known for choice in member(rest, "choices") or () for key, _ in self._besides(choice)
        )

    def told(self, rest: Any, max_depth: int) -> Iterator[Piece]:
        """The strings of the choices, which come in pieces, and what some providers say beside them."""
        for key, _ in _members(rest):
            if key in _ENVELOPE and key != "choices":
                continue
            for leaf in leaves(rest, key, (key,), max_depth, numbered=True):
                if not LOGPROBS.intersection(leaf.path):
                    yield (leaf.path if key == "choices" else None), leaf

    def saying(self, event: Event, path: Path, text: str) -> Any:
        """A chunk with one choice."""
        chunk = event.data
        choices = member(chunk, "choices")
        (choice,) = [one for place, one in enumerate(choices) if number_of(one, "index", place) == path[1]][
            -1:
        ]
        said = own(choice)
        put(said, "finish_reason", None)
        if member(said, "logprobs") is not None:
            put(said, "logprobs", None)
        self._say(said, str(path[-1]), self._mirrors(event, said), text)
        changes: dict[str, Any] = {
            key: None for key, value in _members(chunk) if key not in _ENVELOPE and value is not None
        }
        changes["choices"] = [said]
        if isinstance(chunk, BaseModel):
            return chunk.model_copy(update=changes)
        return {**chunk, **changes}

    def written(self, data: Any) -> Any:
        """The chunk itself."""
        return data

    def outcome(self, events: Sequence[Any]) -> Sequence[Any]:
        """Every chunk: the last that tells counts."""
        return events

    def _steps(self, index: int, choice: Any) -> Iterator[Step]:
        begun = self._begun.setdefault(index, [])
        holder = self._holder(choice)
        for field in self._fields:
            text = member(holder, field) if holder is not None else None
            if not isinstance(text, str) or not text:
                continue
            path = self._path(index, field)
            if field != _REASONING:
                yield from ((one, None) for one in begun if one[-1] == _REASONING)
            if path not in begun:
                begun.append(path)
            yield path, text

    def _more(self, choice: Any) -> bool:
        """Whether a choice says anything besides."""
        return any(
            key not in self._fields and not self._is_mirror(choice, key) for key, _ in self._besides(choice)
        )

    def _besides(self, choice: Any) -> list[tuple[str, Any]]:
        """What a choice holds besides its frame."""
        holder = self._holder(choice)
        found = _members(choice) if holder is choice else [*_members(choice), *_members(holder)]
        return [(key, value) for key, value in found if value and key not in _FRAME]

    def _mirrors(self, event: Event, choice: Any) -> list[str]:
        """Where a choice says its flowing text once more."""
        index = member(choice, "index")
        for place, one in enumerate(member(event.data, "choices") or ()):
            if number_of(one, "index", place) == index:
                return [
                    key for key, value in _members(self._holder(one)) if value and self._is_mirror(one, key)
                ]
        return []

    def _is_mirror(self, choice: Any, key: str) -> bool:
        holder = self._holder(choice)
        if isinstance(member(holder, key), str):
            return False
        said = {member(holder, field) for field in self._fields} - {None, ""}
        found = [leaf.text for leaf in says(leaves(holder, key, (key,), _DEPTH))] if said else []
        return bool(found) and said.issuperset(found)

    def _path(self, index: int, field: str) -> Path:
        raise NotImplementedError

    def _holder(self, choice: Any) -> Any:
        raise NotImplementedError

    def _say(self, choice: Any, field: str, mirrors: Sequence[str], text: str) -> None:
        raise NotImplementedError

    @staticmethod
    def _is_nil(tokens: Any) -> bool:
        # LiteLLM puts such a usage into every chunk of a text completion.
        return not any(value for _, value in _members(tokens) if type(value) is int)


class ChatShape(_Choices):
    """Chat: what a choice thinks, says or refuses flows; calls of tools wait."""

    _fields = (_REASONING, "content", "refusal")
    # Without text of their own they hold the signature of what was thought.
    _quiet = ("provider_specific_fields", "thinking_blocks")

    def _path(self, index: int, field: str) -> Path:
        return "choices", index, "delta", field

    def _holder(self, choice: Any) -> Any:
        return member(choice, "delta")

    def _say(self, choice: Any, field: str, mirrors: Sequence[str], text: str) -> None:
        delta = member(choice, "delta")
        kept: dict[str, Any] = {field: text}
        for key in mirrors:
            for leaf in says(leaves(delta, key, (key,), _DEPTH)):
                if leaf.container is not None and leaf.text == member(delta, field):
                    put(leaf.container, leaf.key, text)
                    kept[key] = member(delta, key)
        put(choice, "delta", type(delta)(**kept) if isinstance(delta, BaseModel) else kept)


class CompletionShape(_Choices):
    """Text completions: a choice is its text."""

    _fields = ("text",)

    def _path(self, index: int, field: str) -> Path:
        return "choices", index, field

    def _holder(self, choice: Any) -> Any:
        return choice

    def _say(self, choice: Any, field: str, mirrors: Sequence[str], text: str) -> None:  # noqa: ARG002 -- it has none
        put(choice, field, text)


def _members(holder: Any) -> list[tuple[str, Any]]:
    if holder is None:
        return []
    return list(holder.items() if isinstance(holder, Mapping) else holder)
