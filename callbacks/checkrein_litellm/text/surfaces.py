"""The texts of a request, of its answer and of its stream: read as segments, written back in place."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from checkrein import Origin, Segment

from .leaves import MOST_NODES, Leaf, Path, Room, leaves, member
from .notes import NOTES, SESSION, notes
from .tokens import drop, holders, is_token, strays
from .turns import CONVERSATION, OF_THE_SYSTEM, pieces

__all__ = [
    "Content",
    "Surfaces",
    "UnwritableError",
    "answer_surfaces",
    "content_of",
    "request_surfaces",
]

# An answer's own book-keeping.
_NOT_SAID: Final = frozenset(
    {
        "_hidden_params",
        "created",
        "created_at",
        "id",
        "model",
        "modelVersion",
        "object",
        "responseId",
        "service_tier",
        "system_fingerprint",
        "usage",
        "usageMetadata",
    }
)
# Where an answer stands, in whichever API.
_ANSWERS: Final = frozenset({"candidates", "choices", "content", "data", "output"})
# What the provider adds out of its own memory, and nobody here sees.
_STORED: Final = ("cachedContent", "cached_content", "conversation", "previous_response_id")
# What a tool is called with, whole and in the pieces of a stream.
_JSON: Final = frozenset({"arguments", "delta", "partial_json"})
_NOTED: Final = frozenset({*NOTES, SESSION})
_ENCRYPTED: Final = "encrypted_content"
_FILES: Final = {"file": "audio", "image": "image", "mask": "image"}


class Content(NamedTuple):
    """What a prompt says, whatever API it is told in.

    Args:
        said: who says what, in order.
        uninspected: what is no text, and after which text.
    """

    said: tuple[tuple[Origin, str], ...]
    uninspected: tuple[tuple[str, int], ...]


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
        parts = copies[0]
        whole = parts[0]._replace(text=_joined(parts))
        kind = whole.kind or whole.content
        if kind is not None:
            if kind and not told:
                self.uninspected.append({"kind": kind, "segment": max(len(self.segments) - 1, 0)})
            if not kind:
                # A signature says nothing that a policy could read, or what looks like one does.
                sealed = "encrypted" if whole.key == _ENCRYPTED else "signature"
                self.uninspected.append({"kind": sealed, "segment": max(len(self.segments) - 1, 0)})
            return bool(kind)
        if whole.is_text:
            self._places[whole.path] = copies
            self.segments.append(Segment(path=whole.path, role=role, origin=origin, text=whole.text))
        return False

    def add_fixed(self, role: str, text: str, kind: str = "") -> None:
        """Add a text that cannot be changed: a redaction of it fails.

        Args:
            role: what it is, in the host's words.
            text: the text.
            kind: what it is instead, if it is no text.
        """
        self.add([[Leaf((-1, role), None, role, text, kind)]], role, Origin.USER)

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
            for parts in self._places[path]:
                first, *others = parts
                if first.container is None:
                    raise UnwritableError("the name of a field cannot be changed")
                if first.key in _JSON and _is_json(_joined(parts)) and not _is_json(text):
                    raise UnwritableError("the arguments of a tool call would be no JSON any more")
                _put(first, text)
                for part in others:
                    _put(part, "")


def request_surfaces(
    data: Mapping[str, Any],
    keys: Iterable[str],
    max_depth: int,
    *,
    noted: bool = True,
    nodes: int = MOST_NODES,
) -> Surfaces:
    """Read a request.

    What the application writes beside the conversation comes first, what the user writes there last: so that
    it counts as part of the turn that is being answered.

    Args:
        data: the request.
        keys: the parameters beside `messages` that reach the provider.
        max_depth: longest path that is read.
        noted: whether what the caller notes about the call is read as well.
        nodes: most strings, objects and lists that are read.

    Raises:
        RequestError: it is nested over the limit, or there is too much of it.
    """
    surfaces, room = Surfaces(), Room(nodes)
    keys = list(keys)
    for key in keys:
        if key in OF_THE_SYSTEM:
            surfaces.read(leaves(data, key, (key,), max_depth, room=room), key, Origin.SYSTEM)
    for key in CONVERSATION:
        if key == "messages" or key in keys:
            for piece in pieces(data, key, max_depth, room):
                surfaces.read(piece.found, piece.role, piece.origin)
    for key in keys:
        if key not in OF_THE_SYSTEM and key not in CONVERSATION and key not in _NOTED:
            surfaces.read(leaves(data, key, (key,), max_depth, room=room), key, Origin.USER)
            surfaces.read(_file_names(data, key), key, Origin.USER)
    if noted:
        for copies in notes(data, keys, max_depth, room):
            surfaces.add(copies, "metadata", Origin.USER)
    place = max(len(surfaces.segments) - 1, 0)
    surfaces.uninspected += [{"kind": kind, "segment": place} for kind in _unseen(data, keys)]
    return surfaces


def content_of(
    data: Mapping[str, Any], keys: Iterable[str], max_depth: int, *, nodes: int = MOST_NODES
) -> Content:
    """What a request's prompt alone says: two requests that say the same have equal ones.

    Args:
        data: the request.
        keys: the parameters that hold the prompt.
        max_depth: longest path that is read.
        nodes: most strings, objects and lists that are read.

    Raises:
        RequestError: it is nested over the limit, or there is too much of it.
    """
    surfaces = request_surfaces(data, keys, max_depth, noted=False, nodes=nodes)
    return Content(
        tuple([(segment.origin, segment.text) for segment in surfaces.segments]),
        tuple([(one["kind"], one["segment"]) for one in surfaces.uninspected]),
    )


def answer_surfaces(
    answer: Any, max_depth: int, repeated: Collection[str] = (), *, nodes: int = MOST_NODES
) -> Surfaces:
    """Read a whole answer: every choice, and whatever a provider says beside them.

    Args:
        answer: a mapping or a model.
        max_depth: longest path that is read.
        repeated: texts of the request, which some providers repeat beside their answer.
        nodes: most strings, objects and lists that are read.

    Raises:
        RequestError: it is nested over the limit, or there is too much of it.
    """
    surfaces, room = Surfaces(), Room(nodes)
    for key in _said(answer):
        found = (
            leaf for leaf in leaves(answer, key, (key,), max_depth, room=room) if not is_token(leaf.path)
        )
        if key not in _ANSWERS:
            found = (leaf for leaf in found if leaf.kind or leaf.text not in repeated)
        surfaces.read(found, "assistant", Origin.ASSISTANT)
    said = [segment.text for segment in surfaces.segments]
    for path, holder in holders(answer):
        text = strays(holder, path[-1], said)
        surfaces.add([[Leaf(path, holder, path[-1], text)]], "assistant", Origin.ASSISTANT)
    return surfaces


def _unseen(data: Mapping[str, Any], keys: Collection[str]) -> Iterator[str]:
    """What of a request is neither text nor in it."""
    for key in keys:
        value = data.get(key)
        if key in _FILES and value and not isinstance(value, str | Mapping):
            yield _FILES[key]
        elif key in _STORED and value:
            yield "stored"
        elif key == "prompt" and isinstance(value, Mapping):
            yield "template"
        elif key in CONVERSATION and isinstance(value, list) and _has_tokens(value):
            yield "tokens"


def _has_tokens(value: list[Any]) -> bool:
    return any(
        type(one) is int or (isinstance(one, list) and any(type(x) is int for x in one)) for one in value
    )


def _file_names(data: Mapping[str, Any], key: str) -> Iterator[Leaf]:
    """The names of files that were sent along: they go to the provider, and cannot be changed."""
    value = data.get(key)
    for index, file in enumerate(value if isinstance(value, list | tuple) else (value,)):
        name = getattr(file, "name", None)
        if isinstance(name, str) and not isinstance(file, BaseModel):
            yield Leaf((-1, key, index, "name"), None, "content", name)


def _joined(parts: Sequence[Leaf]) -> str:
    return "".join(part.text for part in parts)


def _said(answer: Any) -> list[str]:
    keys = answer if isinstance(answer, Mapping) else dict(answer)
    return [str(key) for key in keys if key not in _NOT_SAID]


def _put(leaf: Leaf, text: str) -> None:
    standing = member(leaf.container, leaf.key)
    if isinstance(standing, int | float) and isinstance(leaf.container, BaseModel):
        raise UnwritableError("a number of a model cannot become a text")
    if isinstance(standing, Mapping | BaseModel | list):
        # Nobody could part a new text into tokens.
        drop(leaf.container, leaf.key)
    elif isinstance(leaf.container, BaseModel):
        setattr(leaf.container, leaf.key, text)
    else:
        leaf.container[leaf.key] = text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
