"""Builds the questions about a call, and reads what of a call is text besides its messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import BaseMessage

from checkrein.identity import Identity
from checkrein.vocabulary import AccessRequest, Entity, Origin, Stage

from .messages import read_messages
from .models import tool_names
from .reading import Reader, is_word
from .surfaces import Path, Surface

__all__ = ["ENVIRONMENT", "ask", "offered_tools", "read_call"]

ENVIRONMENT: Final = {"host": "langchain"}

# What of a tool or a schema is written for the model to read.
_PROSE: Final = frozenset({"const", "default", "description", "enum", "examples", "title"})
_SCHEMAS: Final = ("tools", "functions", "response_format")
_TEXT: Final = frozenset({"instructions", "prompt", "safety_identifier", "suffix", "user"})
_NO_TEXT: Final = frozenset(
    {"ls_structured_output_format", "model", "parallel_tool_calls", "structured_output_format", "tool_choice"}
)
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
        elif isinstance(value, dict):
            todo += [(value, name, (*path, str(name))) for name in reversed(value)]
        elif isinstance(value, list):
            todo += [(value, index, (*path, index)) for index in range(len(value) - 1, -1, -1)]


def offered_tools(options: Mapping[str, Any], messages: Sequence[BaseMessage]) -> tuple[list[str], bool]:
    """The names of the tools that a call offers, and whether messages bring any themselves."""
    names = tool_names(options)
    brought = False
    for message in messages:
        for block in message.content if isinstance(message.content, list) else ():
            if not isinstance(block, dict):
                continue
            inner = block.get("value", block)
            if isinstance(inner, dict) and inner.get("type") == "additional_tools":
                names += tool_names(inner)
                brought = True
    return names, brought


def ask(  # noqa: PLR0913 -- the parts of a question, named by their caller
    stage: Stage,
    resource: Entity,
    who: Identity,
    *,
    call_id: str,
    surface: Surface,
    context: Mapping[str, Any],
    supports: frozenset[str] = frozenset(),
    attempt: int = 1,
) -> AccessRequest:
    """A question of this host."""
    return AccessRequest(
        stage=stage,
        subject=who.subject,
        resource=resource,
        context={
            "operation": "chat",
            "environment": ENVIRONMENT,
            **context,
            **({"uninspected": surface.uninspected} if surface.uninspected else {}),
        },
        segments=surface.segments,
        supports=supports,
        call_id=call_id,
        attempt=attempt,
        identity=who.facts,
    )
