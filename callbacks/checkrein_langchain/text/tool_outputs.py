"""What a tool gave back, whatever it is: every piece of text in it, and the same with changed text."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.messages.tool import ToolOutputMixin
from langchain_core.tools.base import TOOL_MESSAGE_BLOCK_TYPES
from pydantic import BaseModel

from checkrein.vocabulary import Origin

from .messages import copy_message, read_message
from .reader import Fields, Reader
from .surface import Path, Surface, WriteError

__all__ = ["Output", "as_content", "check_size", "is_data", "is_outputs", "read_output", "rewritten_output"]

# Data of a tool may be its own: in a circle, or shared so often that it is endless.
_MOST_NODES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool gave back.

    Args:
        content: what the model will read: data, a message, a command, or a list of the last two.
        artifact: what the model will not read.
        streamed: what it wrote into a stream meanwhile.
        tool: the tool's name; a message that bears it says nothing by that.
        seen: messages that were there before the tool ran: a command may hand them on.
        origin: who wrote it.
        opaque: whether there is more to it than can be read.
    """

    content: Any
    artifact: Any = None
    streamed: Any = None
    tool: str = ""
    seen: Sequence[Any] = ()
    origin: Origin = Origin.TOOL
    opaque: bool = False


def read_output(output: Output, most: int) -> Surface:
    """Every piece of text that a tool gave back.

    Args:
        output: read only.
        most: how many pieces policy would judge at all.

    Raises:
        ValueError: it is too large or too strange to be read.
    """
    box = {"content": output.content, "artifact": output.artifact, "streamed": output.streamed}
    return _OutputReader(Surface(most), output).read(box)


def rewritten_output(output: Output, surface: Surface, texts: Mapping[Path, str]) -> Output:
    """The same with changed text; what the tool gave back, which it may keep, is left alone.

    Args:
        output: what the tool gave back.
        surface: its pieces, as `read_output` found them.
        texts: the changed ones.

    Raises:
        WriteError: a piece cannot be written.
    """
    told = {"content": output.content, "artifact": output.artifact, "streamed": output.streamed}
    box = {key: _copied(value) for key, value in told.items()}
    _OutputReader(Surface(surface.most), output, own=True).read(box).write(texts)
    changed = replace(output, **box)
    read_output(changed, surface.most).expect(surface, texts)
    return changed


def as_content(value: Any) -> str | list[Any]:
    """What LangChain makes of a tool's data in a message for the model."""
    if isinstance(value, str):
        return value
    if _is_blocks(value):
        return list(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        return str(value)


def _is_blocks(value: Any) -> bool:
    """Whether LangChain takes data for the blocks of a message."""
    return isinstance(value, list | tuple) and all(
        isinstance(one, str) or (isinstance(one, dict) and one.get("type") in TOOL_MESSAGE_BLOCK_TYPES)
        for one in value
    )


def is_outputs(value: Any) -> bool:
    """Whether it is a message, a command, or a list of these: LangChain passes them on as they are."""
    many = value if isinstance(value, list) else [value]
    return bool(many) and all(isinstance(one, ToolOutputMixin | BaseMessage) for one in many)


def _is_command(one: Any) -> bool:
    return is_dataclass(one) and all(hasattr(one, name) for name in ("goto", "graph", "resume", "update"))


@dataclass(slots=True)
class _OutputReader:
    """Reads into a surface.

    Args:
        surface: where the pieces go.
        output: what it is about.
        own: whether it is a copy of our own, that may be written.
    """

    surface: Surface
    output: Output
    own: bool = False
    _seen: dict[str, BaseMessage] | None = None

    def read(self, box: dict[str, Any]) -> Surface:
        """Add the content, the artifact and what was streamed."""
        content = box["content"]
        if is_outputs(content):
            for index, one in enumerate(content if isinstance(content, list) else [content]):
                self._one(one, ("content", index))
        elif _is_blocks(content):
            self._data(box, "content", ("content",), whole=False, name="text")
        else:
            self._part(box, "content", ("content",))
        if self.output.opaque:
            self.surface.skip("object")
        self._part(box, "artifact", ("artifact",))
        self._data(box, "streamed", ("streamed",))
        return self.surface

    def _one(self, one: Any, path: Path) -> None:
        if isinstance(one, BaseMessage):
            self._message(one, path)
        elif _is_command(one):
            self._command(one, path)
        else:
            raise TypeError("a tool gave back what is neither a message nor a command")

    def _message(self, message: BaseMessage, path: Path) -> None:
        if self._was_there(message):
            return
        name = message.name
        if name is not None and name == self.output.tool:
            message = message if self.own else message.model_copy()
            Fields(message)["name"] = None
            read_message(self.surface, message, path)
            Fields(message)["name"] = name
        else:
            read_message(self.surface, message, path)
        if isinstance(message, ToolMessage):
            self._part(Fields(message), "artifact", (*path, "artifact"))

    def _was_there(self, message: BaseMessage) -> bool:
        if self._seen is None:
            self._seen = {one.id: one for one in self.output.seen if getattr(one, "id", None)}
        return message.id is not None and self._seen.get(message.id) == message

    def _command(self, command: Any, path: Path) -> None:
        update = command.update
        if isinstance(update, Mapping):
            self._update(update, (*path, "update"))
        elif isinstance(update, list | tuple) and all(isinstance(one, BaseMessage) for one in update):
            for index, one in enumerate(update):
                self._message(one, (*path, "update", index))
        elif update is not None:
            raise TypeError("a command's update is neither a mapping nor a list of messages")
        self._data(_Attributes(command), "resume", (*path, "resume"))
        for index, target in enumerate(_targets(command)):
            sent = getattr(target, "arg", None)
            if isinstance(sent, Mapping):
                self._update(sent, (*path, "goto", index))
            elif sent is not None:
                self._data(_Attributes(target), "arg", (*path, "goto", index))

    def _update(self, holder: Any, path: Path) -> None:
        for key in holder:
            self._part(holder, key, (*path, str(key)))

    def _part(self, holder: Any, key: Any, path: Path) -> None:
        value = holder[key]
        if isinstance(value, BaseMessage):
            self._message(value, path)
        elif isinstance(value, list | tuple) and any(isinstance(one, BaseMessage) for one in value):
            for index in range(len(value)):
                self._part(value, index, (*path, index))
        elif is_dataclass(value) and not isinstance(value, type):
            for one in fields(value):
                self._part(_Attributes(value), one.name, (*path, one.name))
        else:
            self._data(holder, key, path)

    def _data(self, holder: Any, key: Any, path: Path, *, whole: bool = True, name: str = "") -> None:
        value = holder[key]
        since = len(self.surface.slots)
        if not is_data(value):
            self.surface.skip("object", since)
        elif value is not None:
            check_size(value)
            origin = self.output.origin
            reader = Reader(self.surface, origin.value, origin, since)
            reader.read(holder, key, path, whole=whole, name=name)


def _targets(command: Any) -> Sequence[Any]:
    return command.goto if isinstance(command.goto, list | tuple) else [command.goto]


def is_data(value: Any) -> bool:
    """Whether it is data of a kind that can be read, and no object of the tool's own."""
    return value is None or isinstance(value, str | int | float | dict | list | tuple | BaseModel)


def check_size(value: Any) -> int:
    """Refuse data without an end, before anybody reads on and on; how many parts it has.

    Raises:
        ValueError: it has more parts than policy would judge.
    """
    todo, nodes = [value], 0
    while todo:
        one = todo.pop()
        below = _below(one)
        nodes += 1 + len(below)
        if nodes > _MOST_NODES:
            raise ValueError("the data of a tool is larger than policy would judge, or endless")
        todo += [inner for inner in below if isinstance(inner, dict | list | tuple | BaseModel)]
    return nodes


def _below(value: Any) -> Sequence[Any]:
    if isinstance(value, BaseModel):
        return [*value.__dict__.values(), *(value.__pydantic_extra__ or {}).values()]
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def _copied(value: Any) -> Any:
    """A copy of what can be read; tuples become lists, so that they can be written."""
    if isinstance(value, BaseMessage):
        copied: Any = copy_message(value)
        if isinstance(copied, ToolMessage):
            Fields(copied)["artifact"] = _copied(copied.artifact)
    elif isinstance(value, BaseModel):
        copied = value.model_copy()
        copied.__dict__.update({name: _copied(one) for name, one in value.__dict__.items()})
        object.__setattr__(copied, "__pydantic_extra__", _copied(value.__pydantic_extra__))
    elif isinstance(value, dict):
        copied = {key: _copied(one) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        copied = [_copied(one) for one in value]
    else:
        names = _names(value)
        copied = copy.copy(value) if names else value
        for name in names:
            object.__setattr__(copied, name, _copied(getattr(value, name)))
    return copied


def _names(value: Any) -> Sequence[str]:
    """The attributes of an object that are read: all of a dataclass, and what LangGraph sends to a node."""
    if is_dataclass(value) and not isinstance(value, type):
        return [one.name for one in fields(value)]
    return ("arg",) if hasattr(value, "arg") and hasattr(value, "node") else ()


class _Attributes:
    """Attributes as items; of a frozen object, too: it is a copy of our own that is written."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> Any:
        return getattr(self._owner, name)

    def __setitem__(self, name: str, value: Any) -> None:
        if not hasattr(self._owner, name):
            raise WriteError("a piece of text stands where nothing can be changed")
        object.__setattr__(self._owner, name, value)
