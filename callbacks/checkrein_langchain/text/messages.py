"""Messages as pieces of text: content, tool calls, tool results, reasoning, whatever providers add."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.utils.json import parse_partial_json

from checkrein.vocabulary import Origin, Segment

from .reader import Fields, Reader, dump_json, is_word, load_json
from .surface import Path, Surface

__all__ = ["copy_message", "drop_derived", "read_message", "read_messages", "read_metadata"]

# What providers say about an answer and not in it: read by nobody as text.
_ABOUT: Final = frozenset(
    {
        "created",
        "created_at",
        "done",
        "done_reason",
        "finish_reason",
        "headers",
        "id",
        "model",
        "model_id",
        "model_name",
        "model_provider",
        "object",
        "output_version",
        "role",
        "service_tier",
        "status",
        "stop_reason",
        "system_fingerprint",
        "token_usage",
        "usage",
        "usage_metadata",
    }
)
# The same text once more, in pieces that no detector can read: it goes when the text is changed.
_DERIVED: Final = frozenset({"avg_logprobs", "logprobs", "logprobs_result"})
_ROLES: Final = {
    "ai": Origin.ASSISTANT,
    "assistant": Origin.ASSISTANT,
    "developer": Origin.SYSTEM,
    "function": Origin.TOOL,
    "model": Origin.ASSISTANT,
    "system": Origin.SYSTEM,
    "tool": Origin.TOOL,
}


def copy_message(message: BaseMessage) -> BaseMessage:
    """A deep copy, but for a tool's artifact: it is not sent, and can be anything."""
    copied = message.model_copy()
    for name, value in message.__dict__.items():
        if name != "artifact":
            copied.__dict__[name] = copy.deepcopy(value)
    if copied.__pydantic_extra__:
        object.__setattr__(copied, "__pydantic_extra__", copy.deepcopy(message.__pydantic_extra__))
    return copied


def read_message(surface: Surface, message: BaseMessage, path: Path) -> None:
    """Add every piece of text of one message.

    Args:
        surface: where the pieces go.
        message: read, and changed when the surface is written.
        path: where it stands.
    """
    role, origin = _author(message)
    reader = Reader(surface, role, origin, since=len(surface.slots))
    fields = Fields(message)
    if message.name:
        reader.item(fields, "name", (*path, "name"))
    if isinstance(message, ChatMessage):
        _read_id(reader, fields, "role", path)
    if isinstance(message, ToolMessage):
        _read_id(reader, fields, "tool_call_id", path)
    if isinstance(message.content, str):
        reader.item(fields, "content", (*path, "content"))
    elif origin is Origin.ASSISTANT:
        _read_answer(reader, message.content, (*path, "content"))
    else:
        reader.read(fields, "content", (*path, "content"), name="text")
    if isinstance(message, AIMessageChunk):
        _read_call_chunks(reader, message, (*path, "tool_call_chunks"))
    elif isinstance(message, AIMessage):
        _read_calls(reader, message, path)
    _read_extras(reader, message, path)
    read_metadata(reader, message.response_metadata, (*path, "response_metadata"))
    if not surface.slots[reader.since :] and any(
        one["segment"] == reader.since for one in surface.uninspected
    ):
        surface.hold_place(Segment(path=(*path, "content"), role=role, origin=origin, text=""))
    surface.after(path, lambda: drop_derived(message.response_metadata))


def read_metadata(reader: Reader, metadata: dict[Any, Any], path: Path) -> None:
    """Add what a provider put beside its answer, but for what is known to be no text of it."""
    for key in metadata:
        if key not in _ABOUT and key not in _DERIVED:
            reader.read(metadata, key, (*path, str(key)))


def drop_derived(metadata: dict[Any, Any]) -> None:
    """Take out what repeats a text that was changed."""
    for key in _DERIVED & metadata.keys():
        del metadata[key]


def _author(message: BaseMessage) -> tuple[str, Origin]:
    if isinstance(message, SystemMessage):
        return "system", Origin.SYSTEM
    if isinstance(message, AIMessage):
        return "assistant", Origin.ASSISTANT
    if isinstance(message, ToolMessage | FunctionMessage):
        return "tool", Origin.TOOL
    if isinstance(message, ChatMessage):
        return (message.role if is_word(message.role) else "other"), _ROLES.get(
            message.role.lower(), Origin.USER
        )
    return ("user" if message.type == "human" else message.type), Origin.USER


def _read_answer(reader: Reader, blocks: list[Any], path: Path) -> None:
    """Adjacent blocks of text are one piece: providers cut an answer anywhere, and `.text` joins it."""
    run: list[tuple[Any, Any]] = []
    start = 0

    def end() -> None:
        if run:
            text = "".join(holder[key] for holder, key in run)
            reader.text((*path, start, "text"), text, _spread(tuple(run)))
            run.clear()

    for index, block in enumerate(blocks):
        place = (blocks, index) if isinstance(block, str) else _text_of(block)
        if place is None:
            end()
            reader.read(blocks, index, (*path, index), name="block")
            continue
        start = start if run else index
        run.append(place)
        if isinstance(block, dict):
            for key in block:
                if key != "text":
                    reader.read(block, key, (*path, index, str(key)))
    end()


def _text_of(block: Any) -> tuple[dict[str, Any], str] | None:
    kinds = (None, "text", "output_text")
    if isinstance(block, dict) and isinstance(block.get("text"), str) and block.get("type") in kinds:
        return block, "text"
    return None


def _spread(places: tuple[tuple[Any, Any], ...]) -> Callable[[str], None]:
    def write(text: str) -> None:
        for index, (holder, key) in enumerate(places):
            holder[key] = "" if index else text

    return write


def _read_id(reader: Reader, holder: Any, key: str, path: Path) -> None:
    """What stands where an id should, and is none, is sent as well, and given out."""
    value = holder.get(key) if isinstance(holder, dict) else holder[key]
    if isinstance(value, str) and not is_word(value):
        reader.item(holder, key, (*path, key))


def _read_calls(reader: Reader, message: AIMessage, path: Path) -> None:
    for index, call in enumerate(message.tool_calls):
        place = (*path, "tool_calls", index)
        reader.item(call, "name", (*place, "name"))
        _read_id(reader, call, "id", place)
        reader.read(call, "args", (*place, "args"), whole=True)
    for index, wrong in enumerate(message.invalid_tool_calls):
        _read_id(reader, wrong, "id", (*path, "invalid_tool_calls", index))
        for key in ("name", "args", "error"):
            if wrong.get(key):
                reader.read(wrong, key, (*path, "invalid_tool_calls", index, key), whole=True)


def _read_call_chunks(reader: Reader, message: AIMessageChunk, path: Path) -> None:
    """A chunk's tool calls are parsed from its pieces: those are read, and the calls parsed again."""
    # Registered first, run last: the pieces have to be written by then.
    reader.surface.after(path, lambda: _parse_calls(message))
    for index, chunk in enumerate(message.tool_call_chunks):
        place = (*path, index)
        _read_id(reader, chunk, "id", place)
        if chunk.get("name"):
            reader.read(chunk, "name", (*place, "name"), whole=True)
        args = chunk.get("args")
        if args:
            reader.read(chunk, "args", (*place, "args"), whole=True)
            if load_json(args) is None:
                _read_torn(reader, chunk, args, (*place, "parsed"))


def _read_torn(reader: Reader, chunk: Any, args: str, path: Path) -> None:
    """What LangChain makes of arguments that end too early: a caller sees that as well."""
    try:
        parsed = parse_partial_json(args)
    except (ValueError, RecursionError):
        return
    if isinstance(parsed, dict) and parsed:
        reader.surface.after(path, lambda: chunk.__setitem__("args", dump_json(parsed)))
        reader.read([parsed], 0, path, whole=True)


def _parse_calls(message: AIMessageChunk) -> None:
    parsed = AIMessageChunk(content="", tool_call_chunks=message.tool_call_chunks)
    fields = Fields(message)
    fields["tool_calls"], fields["invalid_tool_calls"] = parsed.tool_calls, parsed.invalid_tool_calls


def _read_extras(reader: Reader, message: BaseMessage, path: Path) -> None:
    kwargs = message.additional_kwargs
    for key in kwargs:
        reader.read(kwargs, key, (*path, "additional_kwargs", str(key)), whole=key == "parsed")
    extra = message.__pydantic_extra__ or {}
    for key in extra:
        reader.read(extra, key, (*path, "extra", key))


def read_messages(surface: Surface, messages: Sequence[BaseMessage], path: Path) -> None:
    """Add every message of a list."""
    for index, message in enumerate(messages):
        if surface.full:
            return
        read_message(surface, message, (*path, index))
