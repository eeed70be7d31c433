"""The texts of a chat request, of its answer and of its stream: read as segments, written back in place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from checkrein import Origin, Segment

from .leaves import Leaf, Path, leaves, member

__all__ = [
    "Surfaces",
    "UnwritableError",
    "answer_surfaces",
    "message_segments",
    "request_surfaces",
    "stream_surfaces",
    "text_size",
]

_ORIGINS: Final = {
    "assistant": Origin.ASSISTANT,
    "developer": Origin.SYSTEM,
    "function": Origin.TOOL,
    "system": Origin.SYSTEM,
    "tool": Origin.TOOL,
    "user": Origin.USER,
}
# What an application writes beside its system prompt; whatever else stands beside the messages counts as the
# user's.
_OF_THE_SYSTEM: Final = frozenset(
    {"function_call", "functions", "response_format", "stop", "tool_choice", "tools", "web_search_options"}
)
# An answer's own book-keeping.
_NOT_SAID: Final = frozenset(
    {"created", "id", "model", "object", "service_tier", "system_fingerprint", "usage"}
)


class UnwritableError(Exception):
    """A change that cannot be written where the text stands; becomes the denial `obligation_failed`."""


class Surfaces:
    """The texts of one request or answer.

    Attributes:
        segments: the texts, in order, for an `AccessRequest`.
        uninspected: what is no text, for the context: `[{"kind": "image", "segment": 3}]`.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.uninspected: list[dict[str, Any]] = []
        self._places: dict[Path, Sequence[Sequence[Leaf]]] = {}

    def add(self, copies: Sequence[Sequence[Leaf]], role: str, origin: Origin, *, told: bool = False) -> bool:
        """Add one text.

        Args:
            copies: where it stands: each copy of it, in one piece or, in a stream, in many.
            role: who says it, in the host's words.
            origin: who says it, in ours.
            told: whether the kind of what stands here is told already.

        Returns:
            Whether it is no text but of a kind that is told now.
        """
        pieces = copies[0]
        whole = pieces[0]._replace(text=_joined(pieces))
        kind = whole.kind or whole.content
        if kind is not None:
            if kind and not told:
                self.uninspected.append({"kind": kind, "segment": max(len(self.segments) - 1, 0)})
            return bool(kind)
        if whole.is_text:
            self._places[whole.path] = copies
            self.segments.append(Segment(path=whole.path, role=role, origin=origin, text=whole.text))
        return False

    def read(self, found: Iterable[Leaf], role: str, origin: Origin) -> None:
        """Add the strings of one message, choice or parameter."""
        told_below: Path | None = None
        for leaf in found:
            inside = told_below is not None and leaf.path[: len(told_below)] == told_below
            if self.add([[leaf]], role, origin, told=inside) and leaf.kind:
                told_below = leaf.path

    def write(self, texts: Mapping[Path, str]) -> None:
        """Write new texts where the old ones stand; a stream's first piece gets all of it.

        Raises:
            UnwritableError: one of them cannot be changed, or JSON would break.
        """
        for path, text in texts.items():
            for pieces in self._places[path]:
                first, *others = pieces
                if first.container is None:
                    raise UnwritableError("the name of a field cannot be changed")
                if first.key == "arguments" and _is_json(_joined(pieces)) and not _is_json(text):
                    raise UnwritableError("the arguments of a tool call would be no JSON any more")
                _put(first, text)
                for piece in others:
                    _put(piece, "")


def request_surfaces(data: Mapping[str, Any], keys: Iterable[str], max_depth: int) -> Surfaces:
    """Read a chat request.

    What the application writes beside its messages comes first, what the user writes there last: so that it
    counts as part of the turn that is being answered.

    Args:
        data: the request.
        keys: the parameters beside `messages` that reach the provider.
        max_depth: longest path that is read.

    Raises:
        RequestError: it is nested over the limit.
    """
    surfaces = Surfaces()
    keys = list(keys)
    for key in keys:
        if key in _OF_THE_SYSTEM:
            surfaces.read(leaves(data, key, (key,), max_depth), key, Origin.SYSTEM)
    messages = data.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        role = member(message, "role") if isinstance(message, Mapping) else None
        role = role if isinstance(role, str) else "user"
        found = leaves(messages, index, ("messages", index), max_depth)
        surfaces.read(found, role, _ORIGINS.get(role, Origin.USER))
    if isinstance(messages, str):
        surfaces.read(leaves(data, "messages", ("messages",), max_depth), "user", Origin.USER)
    for key in keys:
        if key not in _OF_THE_SYSTEM:
            surfaces.read(leaves(data, key, (key,), max_depth), key, Origin.USER)
    return surfaces


def message_segments(data: Mapping[str, Any], max_depth: int) -> tuple[Segment, ...]:
    """The texts of a request's messages alone: two requests that say the same have equal ones.

    Raises:
        RequestError: they are nested over the limit.
    """
    return tuple(request_surfaces(data, (), max_depth).segments)


def text_size(chunk: Any, max_depth: int) -> int:
    """Bytes of the strings in one chunk of a stream, in UTF-8.

    Raises:
        RequestError: it is nested over the limit.
    """
    return sum(
        len(leaf.text.encode("utf-8", "surrogatepass"))
        for key in _said(chunk)
        for leaf in leaves(chunk, key, (key,), max_depth)
    )


def answer_surfaces(answer: Any, max_depth: int) -> Surfaces:
    """Read a whole answer: every choice, and whatever a provider says beside them.

    Raises:
        RequestError: it is nested over the limit.
    """
    surfaces = Surfaces()
    for key in _said(answer):
        surfaces.read(
            (leaf for leaf in leaves(answer, key, (key,), max_depth) if "logprobs" not in leaf.path),
            "assistant",
            Origin.ASSISTANT,
        )
    return surfaces


def stream_surfaces(chunks: Sequence[Any], max_depth: int) -> Surfaces:
    """Read a stream: the pieces of one text, chunk by chunk, are one segment.

    Raises:
        RequestError: it is nested over the limit.
    """
    said: dict[Path, list[Leaf]] = {}
    beside: dict[tuple[Path, str], list[list[Leaf]]] = {}
    for chunk in chunks:
        for key in _said(chunk):
            for leaf in leaves(chunk, key, (key,), max_depth, numbered=True):
                if key != "choices":
                    # Nothing here comes in pieces, but some providers repeat it in every chunk.
                    copies = beside.setdefault((leaf.path, leaf.text), [])
                    copies.append([leaf._replace(path=(*leaf.path, -len(beside)))])
                elif "logprobs" not in leaf.path:
                    said.setdefault(leaf.path, []).append(leaf)
    surfaces = Surfaces()
    for copies in (*([pieces] for pieces in said.values()), *beside.values()):
        surfaces.add(copies, "assistant", Origin.ASSISTANT)
    return surfaces


def _joined(pieces: Sequence[Leaf]) -> str:
    return "".join(piece.text for piece in pieces)


def _said(answer: Any) -> list[str]:
    keys = answer if isinstance(answer, Mapping) else dict(answer)
    return [str(key) for key in keys if key not in _NOT_SAID]


def _put(leaf: Leaf, text: str) -> None:
    if isinstance(leaf.container, BaseModel):
        setattr(leaf.container, leaf.key, text)
    else:
        leaf.container[leaf.key] = text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
