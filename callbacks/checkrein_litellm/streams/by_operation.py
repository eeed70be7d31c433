"""Which shape the stream of a call has, by the kind of call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from checkrein.settings import Limits

from .chat import ChoicesShape
from .google import GenerateShape
from .messages import MessagesShape
from .responses import ResponsesShape
from .shape import Shape

__all__ = ["shape_of"]

_SHAPES: Final[Mapping[str, Callable[[Limits, frozenset[str]], Shape]]] = {
    "chat": lambda _, __: ChoicesShape(),
    "generate_content": lambda limits, _: GenerateShape(limits.text),
    "messages": lambda limits, _: MessagesShape(limits.text),
    "responses": lambda _, said: ResponsesShape(said),
    "text_completion": lambda _, __: ChoicesShape(),
}


def shape_of(operation: str, limits: Limits, said: frozenset[str]) -> Shape | None:
    """How the stream of a kind of call is read and written; None where nobody knows.

    Args:
        operation: what kind of call it is.
        limits: what never reaches an engine.
        said: every text of the request.
    """
    made = _SHAPES.get(operation)
    return None if made is None else made(limits, said)
