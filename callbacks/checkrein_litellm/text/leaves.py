"""Every string in a JSON value or a model of LiteLLM's, and whether it is text.

The walk knows no message format by heart: what it does not know it reads, so that a field which a provider
adds tomorrow is judged too. No text is only one word, an identifier, or binary content, which is told as
`uninspected`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from checkrein.errors import RequestError
from checkrein.settings import Limits

__all__ = ["CREDENTIAL_HEADERS", "MOST_NODES", "Leaf", "Path", "Room", "is_credential", "leaves", "member"]

Path = tuple[str | int, ...]

# What people and models say: text even when it is a single word.
_SPOKEN: Final = frozenset(
    {
        "args",
        "arguments",
        "content",
        "contents",
        "documents",
        "extra_headers",
        "headers",
        "input",
        "instructions",
        "messages",
        "output",
        "prompt",
        "query",
        "reasoning",
        "reasoning_content",
        "refusal",
        "revised_prompt",
        "summary",
        "system",
        "text",
        "thinking",
        "transcript",
    }
)
CREDENTIAL_HEADERS: Final = frozenset(
    {
        "api-key",
        "authorization",
        "ocp-apim-subscription-key",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
    }
)
"""The headers, in small letters, by which a provider knows who calls it."""

MOST_NODES: Final = Limits().nodes
"""How many strings, objects and lists are read where nobody says otherwise, as in one piece of a stream."""

# Any name could be a header's.
_HEADERS: Final = frozenset({"extra_headers", "headers"})
# Sealed: with the digits of a card or an account in it, or of short words alone, it could be a text.
_CREDENTIAL: Final = re.compile(
    r"(?:(?i:basic|bearer|key|token) )?(?=[^ ]*[A-Za-z0-9_]{12})(?=[^ ]*[0-9])"
    r"(?![^ ]*(?:[0-9][._\-]?){7})[A-Za-z0-9._~+/=\-]{16,}"
)
# What tools are handed and give back is data of any depth: all of it is said.
_HANDED: Final = ("args", "arguments", "input", "response")
# At the top, `input` holds turns and `response` an answer.
_HANDED_AT: Final = frozenset({("args",), ("arguments",), ("documents",)})
# A card, a phone or an account; what is shorter counts something.
_MOST_DIGITS_OF_A_COUNT: Final = 5
_WORD: Final = re.compile(r"[A-Za-z_]{1,32}")
# The last is a token's number, as in `logit_bias`.
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z_$.\-]{0,63}[0-9]{0,3}|[0-9]{1,7}")
_IDENTIFIER: Final = re.compile(
    r"(?:call|chatcmpl|fc|file|msg|resp|rs|toolu)[_-]"
    # Digits alone could be a card's.
    r"(?![0-9]{9,}$|.*[0-9]{4}-[0-9]{4}-[0-9]{4})(?:[A-Za-z0-9]{4,128}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
)
# What is shorter could be a number that matters; a signature or a picture is longer.
_BINARY: Final = re.compile(r"[A-Za-z0-9+/_=\-]{64,}")
_DATA_URL: Final = re.compile(r"data:([a-z]{1,32})/[a-zA-Z0-9.+\-]{1,64};base64,[A-Za-z0-9+/]*={0,2}")
_URL_KEYS: Final = frozenset({"audio_url", "file_data", "file_url", "image_url", "url", "video_url"})
# By key, what is there; and inside of what, where that matters.
_BINARY_KEYS: Final[Mapping[Any, str]] = {
    "b64_json": "image",
    "data": "audio",
    "encrypted_content": "",
    "file_data": "file",
    "signature": "",
    "thoughtSignature": "",
    "thought_signature": "",
}
_AROUND_DATA: Final = frozenset({"audio", "file", "inlineData", "inline_data", "input_audio", "source"})
_MEDIA_TYPES: Final = ("mimeType", "mime_type", "media_type")
_KINDS: Final = {
    "application": "file",
    "audio": "audio",
    "document": "file",
    "file": "file",
    "image": "image",
    "image_url": "image",
    "input_audio": "audio",
    "input_file": "file",
    "input_image": "image",
    "video": "video",
    "video_url": "video",
}
# Of Google's API, whose parts have no type.
_FILE_PARTS: Final = frozenset({"fileData", "file_data"})
# No path of a value begins with a number.
_NAME_OF: Final = -1


class Leaf(NamedTuple):
    """A string and where it stands.

    Args:
        path: its place, from the top.
        container: the mapping, list or model that holds it; None for the name of a field.
        key: its key, index or field there.
        text: the string; empty where only `kind` is told.
        kind: what stands here besides text: `image`, `audio`, `video`, `file`, `credential`, or nothing.
    """

    path: Path
    container: Any
    key: Any
    text: str
    kind: str = ""

    @property
    def is_spoken(self) -> bool:
        """Whether somebody says it: then it is text, whatever it looks like."""
        if self.container is None or self.key in _SPOKEN or self._around in _SPOKEN:
            return True
        # At the top, `input` holds turns and `response` an answer; further in, they are a tool's.
        return self.path[0] in _HANDED[:2] or any(one in _HANDED for one in self.path[1:])

    @property
    def is_text(self) -> bool:
        """Whether it says something."""
        if not self.text.strip():
            return False
        return self.is_spoken or not (_WORD.fullmatch(self.text) or _IDENTIFIER.fullmatch(self.text))

    @property
    def content(self) -> str | None:
        """What it holds if it is no text: such as `image` or `credential`, or `""` for a signature."""
        if self._is_header and str(self.key).lower() in CREDENTIAL_HEADERS and is_credential(self.text):
            return "credential"
        if self.is_spoken:
            return None
        if self.key in _URL_KEYS and (url := _DATA_URL.fullmatch(self.text)):
            return _KINDS.get(url.group(1), "file")
        if self.key in _BINARY_KEYS and (self.key != "data" or self._around in _AROUND_DATA):
            return self._binary_kind if _BINARY.fullmatch(self.text) else None
        return None

    @property
    def _binary_kind(self) -> str:
        kinds = [member(self.container, name) for name in _MEDIA_TYPES] if self.key == "data" else []
        told = next((kind for kind in kinds if isinstance(kind, str)), None)
        return _BINARY_KEYS[self.key] if told is None else _KINDS.get(told.partition("/")[0], "file")

    @property
    def _is_header(self) -> bool:
        return self.container is not None and self._around in _HEADERS

    @property
    def _around(self) -> Any:
        return self.path[-2] if len(self.path) > 1 else None


class Room:
    """How much of one request or answer is read: a value costs time, whatever it says.

    Args:
        nodes: most strings, objects and lists.
    """

    def __init__(self, nodes: int = MOST_NODES) -> None:
        self._left = nodes

    def take(self) -> None:
        """Read one more.

        Raises:
            RequestError: there are too many.
        """
        self._left -= 1
        if self._left < 0:
            raise RequestError(
                "limit.nodes", "there are more strings, objects and lists to read than `limits.nodes` allows"
            )


def leaves(  # noqa: PLR0913 -- where a walk begins, and where it ends
    container: Any, key: Any, path: Path, max_depth: int, *, numbered: bool = False, room: Room | None = None
) -> Iterator[Leaf]:
    """Every string at or below one member of a mapping, a list or a model, and the numbers that are said.

    Args:
        container: a mapping, a list or a model.
        key: the member's key, index or field.
        path: the member's path.
        max_depth: longest path that is read.
        numbered: members of a list that number themselves (`index`), as the pieces of a stream do, go by that
            number instead of their place; never in a request, whose members could share a number.
        room: what is left of the nodes that may be read; one walk's own unless it is given.

    Raises:
        RequestError: it is nested over the limit, or there is too much of it.
    """
    value = member(container, key)
    if value is None or isinstance(value, int | float):
        if digits := _digits(value, key, path):
            yield Leaf(path, container, key, digits)
        return
    room = room or Room()
    room.take()
    if isinstance(value, str):
        yield Leaf(path, container, key, value)
    elif isinstance(value, list | Mapping | BaseModel):
        if len(path) > max_depth:
            raise RequestError("limit.depth", "the request is nested over the limit `limits.depth`")
        yield from _told_of(value, key, path, room)
        for name, place in _places(value, path, numbered=numbered):
            yield from leaves(value, name, (*path, place), max_depth, numbered=numbered, room=room)


def is_credential(text: str) -> bool:
    """Whether it looks like a key or a token, alone or after its scheme (`Bearer`), and like no text."""
    return _CREDENTIAL.fullmatch(text) is not None


def member(container: Any, key: Any) -> Any:
    """One member of a mapping, a list or a model; None where there is none."""
    if isinstance(container, BaseModel):
        return getattr(container, key, None)
    if isinstance(container, Mapping):
        return container.get(key)
    return container[key]


def _places(value: Any, path: Path, *, numbered: bool) -> Iterator[tuple[Any, Any]]:
    """The members of a value that can say something, and what their paths call them."""
    if not isinstance(value, list):
        yield from ((name, name) for name in (value if isinstance(value, Mapping) else dict(value)))
        return
    handed = _is_handed(path)
    for index, child in enumerate(value):
        # The tokens of a prompt can be a million.
        if child is None or (isinstance(child, int | float) and not handed):
            continue
        number = member(child, "index") if numbered and isinstance(child, Mapping | BaseModel) else None
        yield index, number if type(number) is int else index


def _told_of(value: Any, key: Any, path: Path, room: Room) -> Iterator[Leaf]:
    """What an object is, if it is no text, and those of its names that say something."""
    if isinstance(value, list):
        return
    kind = member(value, "type")
    if isinstance(kind, str) and kind in _KINDS:
        yield Leaf(path, None, key, "", _KINDS[kind])
    elif key in _FILE_PARTS:
        yield Leaf(path, None, key, "", "file")
    for name in value if isinstance(value, Mapping) else dict(value):
        if key in _HEADERS or not _NAME.fullmatch(str(name)):
            room.take()
            yield Leaf((_NAME_OF, *path, name), None, name, str(name))


def _is_handed(path: Path) -> bool:
    return path[:1] in _HANDED_AT or any(one in _HANDED for one in path[1:])


def _digits(value: Any, key: Any, path: Path) -> str:
    """A number as it is told, where tools are handed it or give it back, or where it is there for a text."""
    if type(value) not in {int, float} or not (key in _SPOKEN or _is_handed(path)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        text = str(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        raise RequestError("limit.text", "there is a number of too many digits") from None
    return text if sum(map(str.isdigit, text)) > _MOST_DIGITS_OF_A_COUNT else ""
