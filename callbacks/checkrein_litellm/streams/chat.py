"""The streams of chat and of text completions: chunks with choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from checkrein.errors import RequestError
from checkrein_litellm.text.leaves import Path, leaves, member
from checkrein_litellm.text.tokens import is_token

from .shape import Event, Piece, Step, dropped, faithful, number_of, own, put, says

__all__ = ["ChoicesShape"]

# An answer's own book-keeping, and noise against eavesdroppers; whatever else stands there says something.
_ENVELOPE: Final = frozenset(
    {
        "choices",
        "created",
        "id",
        "model",
        "obfuscation",
        "object",
        "service_tier",
        "system_fingerprint",
        "usage",
    }
)
# What frames a choice.
_FRAME: Final = frozenset({"delta", "finish_reason", "index", "logprobs"})
_REASONING: Final = "reasoning_content"
# What does not come in pieces, though it may be told with each.
_WHOLE: Final = frozenset({"finish_reason", "id", "role", "type"})
# Where a choice's text flows: of a text completion, and of chat.
_OWN: Final = ("text",)
_OF_DELTA: Final = (_REASONING, "content", "refusal")
# Without text of their own they hold the signature of what was thought.
_QUIET: Final = frozenset({"provider_specific_fields", "role", "thinking_blocks"})
_DEPTH: Final = 32


class ChoicesShape:
    """What a choice thinks, says or refuses flows; calls of tools wait.

    Both APIs have one shape: out of its cache, LiteLLM streams a text completion as chat.
    """

    def __init__(self) -> None:
        self._begun: dict[int, list[Path]] = {}

    def read(self, chunk: Any) -> Sequence[Event]:
        """The event that a chunk is.

        Its `finish_reason` ends no text: where there are several choices, LiteLLM tells it too early, and of
        another choice.
        """
        if not isinstance(chunk, BaseModel | Mapping):
            raise RequestError("unsupported_answer", f"`{type(chunk).__name__}` is no chunk")
        chunk = faithful(chunk)
        steps: list[Step] = []
        after = False
        more = any(value for key, value in _members(chunk) if key not in _ENVELOPE)
        for place, choice in enumerate(member(chunk, "choices") or ()):
            steps += self._steps(number_of(choice, "index", place), choice)
            after = after or bool(member(choice, "finish_reason"))
            more = more or after or _says_more(choice)
        tokens = member(chunk, "usage")
        more = more or (bool(tokens) and not _is_nil(tokens))
        return [Event(chunk, tuple(steps), more, after)]

    def close(self) -> None:
        """Nothing: each chunk is whole."""

    def rest(self, event: Event) -> Any:
        """The chunk without its flowing text."""
        rest = own(event.data)
        dropped(rest)
        for choice in member(rest, "choices") or ():
            delta = member(choice, "delta")
            for key in _mirrors(choice):
                put(delta, key, None)
            for field in _OF_DELTA:
                if delta is not None and isinstance(member(delta, field), str):
                    put(delta, field, None)
            if isinstance(member(choice, "text"), str):
                put(choice, "text", "")
        return rest

    def silent(self, rest: Any) -> bool:
        """Whether it says a role, an end or the usage, and no more."""
        return all(key in _QUIET for choice in member(rest, "choices") or () for key in _besides(choice))

    def told(self, rest: Any, max_depth: int) -> Iterator[Piece]:
        """The strings of the choices, which come in pieces, and what some providers say beside them."""
        for key, _ in _members(rest):
            if key in _ENVELOPE and key != "choices":
                continue
            for leaf in leaves(rest, key, (key,), max_depth, numbered=True):
                if not is_token(leaf.path):
                    pieced = key == "choices" and leaf.key not in _WHOLE
                    yield (leaf.path if pieced else None), leaf

    def saying(self, event: Event, path: Path, text: str) -> Any:
        """A chunk with one choice."""
        chunk = event.data
        found = [
            one
            for place, one in enumerate(member(chunk, "choices"))
            if number_of(one, "index", place) == path[1]
        ]
        said = own(found[-1])
        _say(said, str(path[-1]), text)
        kept = _ENVELOPE - {"obfuscation"}
        changes: dict[str, Any] = {
            key: None for key, value in _members(chunk) if key not in kept and value is not None
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
        for path, text in _flowing(index, choice):
            if path[-1] != _REASONING:
                yield from ((one, None) for one in begun if one[-1] == _REASONING)
            if path not in begun:
                begun.append(path)
            yield path, text


def _flowing(index: int, choice: Any) -> Iterator[tuple[Path, str]]:
    delta = member(choice, "delta")
    for field in _OF_DELTA:
        text = member(delta, field) if delta is not None else None
        if isinstance(text, str) and text:
            yield ("choices", index, "delta", field), text
    text = member(choice, "text")
    if isinstance(text, str) and text:
        yield ("choices", index, "text"), text


def _says_more(choice: Any) -> bool:
    besides = _besides(choice)
    return bool(besides) and not set(_mirrors(choice)).issuperset(besides)


def _besides(choice: Any) -> list[str]:
    """What a choice holds besides its frame and its flowing text."""
    delta = _members(member(choice, "delta"))
    found = [key for key, value in _members(choice) if _is_more(key, value, _OWN) and key not in _FRAME]
    return found + [key for key, value in delta if _is_more(key, value, _OF_DELTA)]


def _is_more(key: str, value: Any, flowing: Sequence[str]) -> bool:
    return bool(value) and not (key in flowing and isinstance(value, str))


def _mirrors(choice: Any) -> list[str]:
    """Where a choice says its flowing text once more."""
    delta = member(choice, "delta")
    said = {text for _, text in _flowing(0, choice)}
    if not said or delta is None:
        return []
    found = [key for key, value in _members(delta) if value and not isinstance(value, str)]
    told = {key: {leaf.text for leaf in says(leaves(delta, key, (key,), _DEPTH))} for key in found}
    return [key for key, texts in told.items() if texts and said.issuperset(texts)]


def _say(choice: Any, field: str, text: str) -> None:
    """Let a choice say a text, where it stands and where it stands once more, and nothing else."""
    put(choice, "finish_reason", None)
    if member(choice, "logprobs") is not None:
        put(choice, "logprobs", None)
    if field in _OWN:
        put(choice, field, text)
        return
    delta = member(choice, "delta")
    kept: dict[str, Any] = {field: text}
    for key in _mirrors(choice):
        again = list(says(leaves(delta, key, (key,), _DEPTH)))
        if all(leaf.container is not None and leaf.text == member(delta, field) for leaf in again):
            for leaf in again:
                put(leaf.container, leaf.key, text)
            kept[key] = member(delta, key)
    put(choice, "delta", type(delta)(**kept) if isinstance(delta, BaseModel) else kept)


def _is_nil(tokens: Any) -> bool:
    # LiteLLM puts such a usage into every chunk of a text completion.
    return not any(value for _, value in _members(tokens) if type(value) is int)


def _members(holder: Any) -> list[tuple[str, Any]]:
    if holder is None:
        return []
    return list(holder.items() if isinstance(holder, Mapping) else holder)
