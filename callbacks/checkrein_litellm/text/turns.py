"""Who says what in a request: the turns of a conversation, in the words of each API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from checkrein import Origin

from .leaves import Leaf, Path, Room, leaves, member

__all__ = ["CONVERSATION", "OF_THE_SYSTEM", "Piece", "pieces"]

CONVERSATION: Final = ("messages", "contents", "input", "prompt", "query", "documents")
"""The parameters that hold the turns, in whichever API."""

OF_THE_SYSTEM: Final = frozenset(
    {
        "config",
        "function_call",
        "functions",
        "generationConfig",
        "instructions",
        "response_format",
        "safetySettings",
        "stop",
        "system",
        "systemInstruction",
        "system_instruction",
        "text",
        "text_format",
        "toolConfig",
        "tool_choice",
        "tools",
        "web_search_options",
    }
)
"""What an application writes beside the conversation; whatever else stands there counts as the user's."""

_ORIGINS: Final = {
    "assistant": Origin.ASSISTANT,
    "developer": Origin.SYSTEM,
    "function": Origin.TOOL,
    "model": Origin.ASSISTANT,
    "system": Origin.SYSTEM,
    "tool": Origin.TOOL,
    "user": Origin.USER,
}
# Of an item without a role; whatever ends so is what a tool gave back.
_BY_TYPE: Final = {
    "compaction": "assistant",
    "item_reference": "user",
    "message": "user",
    "reasoning": "assistant",
}
_OUTPUTS: Final = ("_output", "_approval_response")
_CALLS: Final = ("_call", "_approval_request")
_TOOL_RESULTS: Final = ("tool_result", "_tool_result")
# `messages`, 0, `content`, 0.
_TO_A_PART: Final = 4
_FUNCTION_RESULTS: Final = ("functionResponse", "function_response")


class Piece(NamedTuple):
    """Strings that one speaker says in one go.

    Args:
        role: who says them, in the host's words.
        origin: who says them, in ours.
        found: the strings.
    """

    role: str
    origin: Origin
    found: list[Leaf]


def pieces(data: Mapping[str, Any], key: str, max_depth: int, room: Room | None = None) -> Iterator[Piece]:
    """The conversation in one parameter, turn by turn.

    Args:
        data: the request.
        key: one of `CONVERSATION`.
        max_depth: longest path that is read.
        room: what is left of the nodes that may be read.

    Raises:
        RequestError: it is nested over the limit, or there is too much of it.
    """
    room = room or Room()
    turns = data.get(key)
    if not isinstance(turns, list):
        role, origin = _speaker(turns, key)
        yield Piece(role, origin, list(leaves(data, key, (key,), max_depth, room=room)))
        return
    for index, turn in enumerate(turns):
        if key != "documents" and (turn is None or isinstance(turn, int | float)):
            continue  # the tokens of a prompt can be a million
        role, origin = _speaker(turn, key)
        results = _results(turn, (key, index)) if origin is not Origin.TOOL else frozenset()
        found = leaves(turns, index, (key, index), max_depth, room=room)
        for is_result, group in groupby(found, partial(_is_in, results)):
            yield Piece(role, Origin.TOOL if is_result else origin, list(group))


def _speaker(turn: Any, key: str) -> tuple[str, Origin]:
    if key == "documents":
        return key, Origin.RETRIEVED
    said = member(turn, "role") if isinstance(turn, Mapping | BaseModel) else None
    if isinstance(said, str):
        return said, _ORIGINS.get(said, Origin.USER)
    kind = member(turn, "type") if isinstance(turn, Mapping | BaseModel) else None
    if isinstance(kind, str):
        if kind.endswith(_OUTPUTS):
            return "tool", Origin.TOOL
        role = "assistant" if kind.endswith(_CALLS) else _BY_TYPE.get(kind, "user")
        return role, _ORIGINS[role]
    return "user", Origin.USER


def _results(turn: Any, path: Path) -> frozenset[Path]:
    """Where in a turn what a tool gave back stands, although somebody else's name is on the turn."""
    found: list[Path] = []
    for name in ("content", "parts"):
        parts = member(turn, name) if isinstance(turn, Mapping | BaseModel) else None
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            if not isinstance(part, Mapping | BaseModel):
                continue
            kind = member(part, "type")
            if (isinstance(kind, str) and kind.endswith(_TOOL_RESULTS)) or any(
                member(part, one) is not None for one in _FUNCTION_RESULTS
            ):
                found.append((*path, name, index))
    return frozenset(found)


def _is_in(places: frozenset[Path], leaf: Leaf) -> bool:
    # The name of a field stands below a number of its own.
    path = leaf.path if leaf.container is not None or leaf.kind else leaf.path[1:]
    return path[:_TO_A_PART] in places
