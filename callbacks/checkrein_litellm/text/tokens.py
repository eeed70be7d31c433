"""Where an answer says its text once more, token by token: told apart from a tool's argument of that name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from pydantic import BaseModel

from .leaves import Leaf, Path, leaves, member

__all__ = ["OF_AN_ANSWER", "OF_AN_EVENT", "Places", "drop", "holders", "is_token", "strays"]

Places = tuple[tuple[str | type[int], ...], ...]
"""Paths, in which `int` stands for any number."""

OF_AN_ANSWER: Final[Places] = (
    ("choices", int, "logprobs"),
    ("candidates", int, "logprobsResult"),
    ("output", int, "content", int, "logprobs"),
)
"""Of chat and text completions, of Google's API, and of the responses API."""

OF_AN_EVENT: Final[Places] = (
    ("logprobs",),
    ("part", "logprobs"),
    ("item", "content", int, "logprobs"),
    ("response", "output", int, "content", int, "logprobs"),
)
"""Of the events of the responses API."""

_ALTERNATIVES: Final = frozenset({"topCandidates", "top_logprobs"})
# What is shorter is said by a token, and none of what detectors search for fits into it.
_SHORT: Final = 9
_DEPTH: Final = 32


def is_token(path: Path, places: Places = OF_AN_ANSWER) -> bool:
    """Whether a path leads to tokens.

    Args:
        path: from the top of an answer, or of an event.
        places: where tokens stand there.
    """
    return any(_fits(path, place) for place in places)


def holders(value: Any, places: Places = OF_AN_ANSWER) -> Iterator[tuple[Path, Any]]:
    """Everything that has tokens, and the path of these."""
    for place in places:
        for path, holder in _at(value, place[:-1]):
            if isinstance(holder, BaseModel | MutableMapping) and member(holder, place[-1]):
                yield (*path, str(place[-1])), holder


def drop(holder: Any, key: Any) -> None:
    """Take tokens away."""
    empty: list[Any] | None = [] if isinstance(member(holder, key), list) else None
    if isinstance(holder, BaseModel):
        setattr(holder, key, empty)
    else:
        holder[key] = empty


def strays(holder: Any, key: Any, texts: list[str]) -> str:
    """What tokens say that no text does, a line each: some servers leave words out of the text alone.

    Args:
        holder: has the tokens.
        key: where.
        texts: what is said beside them.

    Raises:
        RequestError: they are nested deeper than any tokens.
    """
    told: dict[Path, list[str]] = {}
    found: dict[str, None] = {}
    for leaf in leaves(holder, key, (key,), _DEPTH):
        if leaf.key == "token" and not _ALTERNATIVES.intersection(leaf.path):
            told.setdefault(leaf.path[:-2], []).append(leaf.text)
        elif leaf.path[-2:-1] == ("tokens",):
            told.setdefault(leaf.path[:-1], []).append(leaf.text)
        elif len(leaf.text) >= _SHORT and _says(leaf):
            found[leaf.text] = None
    lines = ["".join(pieces) for pieces in told.values()]
    lines += found
    return "\n".join(line for line in lines if not any(line.strip() in text for text in texts))


def _says(leaf: Leaf) -> bool:
    return leaf._replace(text=leaf.text.strip()).is_text


def _fits(path: Path, place: tuple[str | type[int], ...]) -> bool:
    return len(path) >= len(place) and all(
        isinstance(one, int) if wanted is int else one == wanted
        for one, wanted in zip(path, place, strict=False)
    )


def _at(value: Any, place: tuple[str | type[int], ...], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if not place:
        yield path, value
        return
    first, *others = place
    if first is int:
        for number, one in enumerate(value if isinstance(value, list) else ()):
            yield from _at(one, tuple(others), (*path, number))
    elif isinstance(value, BaseModel | MutableMapping):
        yield from _at(member(value, first), tuple(others), (*path, str(first)))
