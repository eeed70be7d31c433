"""The text of a call: what of it is refused, and the facts about it that engines see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .errors import RequestError
from .plain import encodable
from .settings import Limits
from .vocabulary import AccessRequest, Origin, Segment, Stage

__all__ = ["check_text", "current_from", "text_facts"]

# What prose hardly ever holds; a word such as `class` or `import` says nothing.
# The character before each mark is looked for first: one that is not there costs next to nothing.
_CODE_MARKS: Final = (
    ("`", "```"),
    ("{", "{\n"),
    (";", ";\n"),
    (")", "):\n"),
    (")", "();"),
    ("#", "#include"),
    ("<", "</"),
)
# What `str.split` splits ASCII at becomes a space, all else an `x`.
_SHAPE: Final = bytes(ord(" " if chr(code).isspace() else "x") for code in range(256))
# What a model answers or calls is judged whole.
_ALL_CURRENT: Final = frozenset({Stage.POST_COMPLETION, Stage.TOOL_CALL, Stage.TOOL_RESULT})


def check_text(segments: Sequence[Segment], limits: Limits) -> int:
    """Refuse text that is over the limits or not strict; how many words it has, as `str.split` has them."""
    if len(segments) > limits.segments:
        raise RequestError("limit.segments", f"`{len(segments)}` segments are over `{limits.segments}`")
    most, size, words = limits.text, 0, 0
    for segment in segments:
        text = segment.text
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            raise RequestError(
                "limit.encoding", "the text holds a lone surrogate; send strict UTF-8"
            ) from None
        size += len(encoded) + len(segment.role)
        if size > most:
            raise RequestError("limit.text", f"the text is over the limit of `{most}` bytes")
        if len(encoded) == len(text):
            # ASCII: a word starts at every `x` after a space. Half the cost of making the words.
            shape = encoded.translate(_SHAPE)
            words += shape.count(b" x") + shape.startswith(b"x")
        else:
            words += len(text.split())
    return words


def current_from(request: AccessRequest) -> int:
    """The index of the first segment of the turn being answered."""
    if request.stage in _ALL_CURRENT:
        return 0
    spoken = False
    for index in range(len(request.segments) - 1, -1, -1):
        segment = request.segments[index]
        if segment.origin is Origin.ASSISTANT:
            # An assistant's words at the very end are put into its mouth: the turn is the one before them.
            if spoken:
                return index + 1
        elif segment.origin is not Origin.SYSTEM and segment.text and not segment.text.isspace():
            spoken = True
    return 0


def text_facts(request: AccessRequest, text: str, words: int, current: int) -> dict[str, Any]:
    """What the document says of the text.

    Args:
        request: whose text it is.
        text: its segments, joined.
        words: how many it has.
        current: index of the first segment of the turn being answered.
    """
    segments: list[dict[str, Any]] = []
    start = 0
    for index, segment in enumerate(request.segments):
        end = start + len(segment.text)
        role, origin = segment.role, segment.origin
        segments.append(
            {
                "role": role if role.isascii() else encodable(role),
                "origin": origin._value_,
                "current": index >= current and origin is not Origin.SYSTEM,
                "start": start,
                "end": end,
            }
        )
        start = end + 1
    facts: dict[str, Any] = {
        "length": len(text),
        "words": words,
        "code": _has_code(text),
        "segments": segments,
    }
    if request.stage is not Stage.MODEL_SELECTION:
        facts["text"] = text
    return facts


def _has_code(text: str) -> bool:
    for char, mark in _CODE_MARKS:  # noqa: SIM110 -- a generator costs more than looking
        if char in text and mark in text:
            return True
    return False
