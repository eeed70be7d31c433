"""What of a call is text: its messages, tools, schemas and options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage

from checkrein.vocabulary import Origin

from .messages import read_messages
from .reader import Reader, is_word
from .surface import Path, Surface

__all__ = ["read_call", "said_in"]

# What of a tool or a schema is written for the model to read.
_PROSE: Final = frozenset({"const", "default", "description", "enum", "examples", "title"})
_SCHEMAS: Final = ("tools", "functions", "response_format", "tool_choice", "function_call")
_TEXT: Final = frozenset({"instructions", "prompt", "safety_identifier", "suffix", "user"})
_NO_TEXT: Final = frozenset({"ls_structured_output_format", "model", "structured_output_format"})
_MANY_DIGITS: Final = 6


def read_call(call: dict[str, Any], most: int) -> Surface:
    """Every piece of text that a call sends.

    Args:
        call: `messages`, `stop` and `options`; changed when the surface is written.
        most: how many pieces policy would judge at all.
    """
    surface = Surface(most)
    reader = Reader(surface, "parameter", Origin.SYSTEM)
    options = call["options"]
    for key in options:
        if key in _SCHEMAS:
            _read_prose(reader, options, key, ("options", key))
        elif key in _TEXT or (key not in _NO_TEXT and _is_text(options[key])):
            reader.read(options, key, ("options", key), whole=True)
    if call["stop"]:
        reader.read(call, "stop", ("stop",), whole=True)
    read_messages(surface, call["messages"], ("messages",))
    for key in ("conversation", "previous_response_id"):
        if options.get(key):
            surface.skip("history")
    return surface


def _is_text(value: Any) -> bool:
    if isinstance(value, str):
        return not is_word(value) or sum(char.isdigit() for char in value) >= _MANY_DIGITS
    return isinstance(value, dict | list | tuple)


def _read_prose(reader: Reader, holder: Any, key: Any, path: Path) -> None:
    todo: list[tuple[Any, Any, Path]] = [(holder, key, path)]
    while todo:
        holder, key, path = todo.pop()
        value = holder[key]
        # `properties` has names for keys: one that is called `title` is no title.
        named = isinstance(holder, dict) and key in _PROSE and path[-2:-1] != ("properties",)
        if named:
            reader.read(holder, key, path, whole=True)
        elif isinstance(value, str):
            # Names, patterns, grammars: what is no word of a schema, a model may read as well.
            if _is_text(value):
                reader.item(holder, key, path)
        elif isinstance(value, dict):
            reader.names(path, value)
            todo += [(value, name, (*path, str(name))) for name in reversed(value)]
        elif isinstance(value, list):
            todo += [(value, index, (*path, index)) for index in range(len(value) - 1, -1, -1)]


def said_in(messages: Sequence[BaseMessage], most: int) -> Iterator[str]:
    """The text of messages, whatever is called with them: what two attempts at a call have in common.

    Args:
        messages: of the call.
        most: how many pieces policy would judge at all.
    """
    call: dict[str, Any] = {"messages": messages, "stop": None, "options": {}}
    try:
        surface = read_call(call, most)
    except Exception:  # noqa: BLE001 -- what cannot be read is denied, again and again
        return
    for slot in surface.slots:
        yield slot.segment.text
