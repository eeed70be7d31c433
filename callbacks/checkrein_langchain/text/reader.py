"""Finds every piece of text in nested data.

Data that a model or a tool reads as JSON is read whole: values, numbers that could identify somebody, keys.
Data around it, the blocks of a message, holds ids and encodings besides text; those are left out, and what is
no text at all (images, audio, files) is counted as uninspected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from checkrein.vocabulary import Origin, Segment

from .surface import Path, Surface, WriteError

__all__ = ["Fields", "Reader", "dump_json", "is_word", "load_json", "plain"]

# Where a key itself is the text: no list index is negative.
_KEY: Final = -1
# Shorter numbers identify nobody, and each number read costs a segment.
_SHORTEST_NUMBER: Final = 6
_SCHEMA_WORD: Final = re.compile(r"[A-Za-z_]{0,40}")
_WORD: Final = re.compile(r"[\w.:/+=-]{0,256}", re.ASCII)
# Six digits or more that stand for themselves, as in `536-90-4399`: ids of machines have letters among them.
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9_])\d(?:[.:/+=-]?\d){5,}+(?![A-Za-z0-9_])")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/=_-]*+")
_JSON_TEXT: Final = frozenset({"arguments", "args", "input", "partial_json"})
_JSON_DATA: Final = _JSON_TEXT | {"json", "output"}
_OPAQUE: Final = frozenset({"signature", "thoughtSignature", "thought_signature"})
_BINARY: Final = frozenset({"b64_json", "base64", "bytes", "data", "encrypted_content", "file_data"})
_REFERENCES: Final = frozenset(
    {"file_id", "file_uri", "file_url", "fileUri", "image_url", "s3Location", "uri", "url"}
)
_STRUCTURAL: Final = frozenset(
    {
        "__openai_role__",
        "cache_control",
        "call_id",
        "container_id",
        "detail",
        "file_id",
        "format",
        "id",
        "index",
        "media_type",
        "mime_type",
        "model_provider",
        "output_version",
        "phase",
        "role",
        "source_type",
        "status",
        "tool_call_id",
        "tool_use_id",
        "toolUseId",
        "type",
    }
)
# A picture is never text; a file or a document may be.
_PICTURES: Final[Mapping[str, str]] = {
    "audio": "audio",
    "image": "image",
    "image_url": "image",
    "input_audio": "audio",
    "input_image": "image",
    "input_video": "video",
    "video": "video",
}
_FILES: Final[Mapping[str, str]] = {
    "container_upload": "file",
    "document": "file",
    "file": "file",
    "input_file": "file",
    "media": "file",
    "redacted_thinking": "reasoning",
    "text-plain": "file",
}


class Fields:
    """The fields of a pydantic object as items, written without validation."""

    def __init__(self, model: BaseModel) -> None:
        self._values = model.__dict__

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._values[name] = value


def is_word(text: str) -> bool:
    """Whether it looks like an id or an option, and neither like text nor like somebody's number."""
    return _WORD.fullmatch(text) is not None and _NUMBER.search(text) is None


def load_json(text: str) -> Any:
    """A JSON object or array, or None where the text hides something from a parser, or is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def dump_json(value: Any) -> str:
    """Back to text, as readable as it was."""
    return json.dumps(value, ensure_ascii=False)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice: the first value would be sent and not read")
    return value


class _Item(NamedTuple):
    """Something still to be read: where it stands, and what is known from above."""

    holder: Any
    key: Any
    path: Path
    name: str
    whole: bool
    kind: str
    told: bool


@dataclass(slots=True)
class Reader:
    """Reads data of one author into a surface.

    Args:
        surface: where the pieces go.
        role: the role in the host's words.
        origin: who wrote it.
        since: how many pieces there were when the message began.
    """

    surface: Surface
    role: str
    origin: Origin
    since: int = 0

    def text(self, path: Path, text: str, write: Callable[[str], None]) -> None:
        """Add one piece; empty text is none."""
        if text:
            segment = Segment(path=path, role=self.role, origin=self.origin, text=str(text))
            self.surface.add(segment, write)

    def item(self, holder: Any, key: Any, path: Path) -> None:
        """Add `holder[key]`, a string, as one piece."""
        self.text(path, holder[key], _put(holder, key))

    def read(self, holder: Any, key: Any, path: Path, *, whole: bool = False, name: str = "") -> None:
        """Read `holder[key]` and everything below it, without recursion: nesting is the sender's choice.

        Args:
            holder: what holds it: items can be set.
            key: where.
            path: the path of `holder[key]`.
            whole: read it as JSON: every value and key is text, whatever it is called.
            name: the name that decides what a string is; by default `key`.
        """
        told = name or (key if isinstance(key, str) else "")
        todo = [_Item(holder, key, path, told, whole, "", told=False)]
        while todo and not self.surface.full:
            item = todo.pop()
            value = item.holder[item.key]
            if isinstance(value, str):
                self._string(item, value, todo)
            elif isinstance(value, int | float):
                if item.whole and not isinstance(value, bool) and len(str(value)) >= _SHORTEST_NUMBER:
                    self.text(item.path, str(value), _put(item.holder, item.key))
            elif isinstance(value, dict):
                todo += reversed(self._mapping(item, value))
            elif isinstance(value, list | tuple):
                todo += [
                    item._replace(holder=value, key=index, path=(*item.path, index))
                    for index in range(len(value) - 1, -1, -1)
                ]
            elif isinstance(value, BaseModel):
                todo += reversed(self._object(item, value))
            elif value is not None and not item.told:
                self.surface.skip(item.kind or ("data" if isinstance(value, bytes) else "object"), self.since)

    def _string(self, item: _Item, value: str, todo: list[_Item]) -> None:
        if not item.whole:
            if (item.name in _OPAQUE and _SIGNATURE.fullmatch(value)) or (
                item.name in _STRUCTURAL and is_word(value) and not item.kind
            ):
                return
            if item.name in _BINARY and " " not in value:
                self._tell(item)
                return
            if item.name in _REFERENCES and (item.kind or value.startswith("data:")):
                self._tell(item)
                if value.startswith("data:") or is_word(value):
                    return
            if item.name in _STRUCTURAL and is_word(value):
                return
        if item.name in _JSON_TEXT:
            parsed = load_json(value)
            if parsed is not None:
                box, path = [parsed], (*item.path, "json")
                self.surface.after(path, lambda: item.holder.__setitem__(item.key, dump_json(box[0])))
                todo.append(_Item(box, 0, path, "", whole=True, kind="", told=False))
                return
        self.text(item.path, value, _put(item.holder, item.key))

    def _tell(self, item: _Item) -> None:
        if not item.told:
            self.surface.skip(item.kind or "data", self.since)

    def _mapping(self, item: _Item, value: dict[Any, Any]) -> list[_Item]:
        whole, kind, told = item.whole, item.kind, item.told
        # The source of a document that is plain text keeps it under `data`.
        plain = "text" in (value.get("type"), value.get("source_type"))
        if not whole:
            word = value.get("type")
            if not (isinstance(word, str) and (word in _PICTURES or word in _FILES)):
                word = item.name
            if word in _PICTURES:
                if not told:
                    self.surface.skip(_PICTURES[word], self.since)
                kind, told = _PICTURES[word], True
            kind = _FILES.get(word, kind)
        items: list[_Item] = []
        if whole:
            self.names(item.path, value)
        for key in value:
            path = (*item.path, key if isinstance(key, str) else str(key))
            name = key if isinstance(key, str) else ""
            if not whole and plain and name == "data":
                name = "text"
            below = whole or name in _JSON_DATA
            items.append(_Item(value, key, path, name, below, kind, told))
        return items

    def _object(self, item: _Item, value: BaseModel) -> list[_Item]:
        """The fields of a pydantic object, and what it was given besides."""
        fields = Fields(value)
        items = [
            item._replace(holder=fields, key=name, path=(*item.path, name), name=name)
            for name in value.__dict__
        ]
        if any(one is not None for one in (value.__pydantic_private__ or {}).values()):
            self._tell(item)
        return [*items, *self._mapping(item, value.__pydantic_extra__ or {})]

    def names(self, path: Path, value: dict[Any, Any]) -> None:
        """Keys that are no words of a schema are text; all of them change at once, after the values below."""
        names: dict[Any, str] = {}
        for key in value:
            if isinstance(key, str):
                if not _SCHEMA_WORD.fullmatch(key):
                    self.text((*path, _KEY, key), key, _put(names, key))
            elif isinstance(key, int | float):
                if len(str(key)) >= _SHORTEST_NUMBER:
                    self.text((*path, _KEY, _KEY, str(key)), str(key), _put(names, key))
            elif key is not None:
                self.surface.skip("object", self.since)
        self.surface.after(path, lambda: _rename(value, names))


def _put(holder: Any, key: Any) -> Callable[[str], None]:
    def write(text: str) -> None:
        try:
            holder[key] = text
        except TypeError:
            raise WriteError("a piece of text stands where nothing can be changed") from None

    return write


def _rename(holder: dict[Any, Any], names: Mapping[Any, str]) -> None:
    if not names:
        return
    renamed = {names.get(key, key): value for key, value in holder.items()}
    if len(renamed) != len(holder):
        raise WriteError("two keys would be the same")
    holder.clear()
    holder.update(renamed)


def plain(value: Any) -> Any:
    """A value in JSON's types; of another, its type's name."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return f"<{type(value).__name__}>"
