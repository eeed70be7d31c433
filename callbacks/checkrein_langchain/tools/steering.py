"""What a tool raises to steer its graph: questions to people, and commands; both show text that it wrote."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

from checkrein_langchain.text.tool_outputs import Output, is_data, is_outputs

__all__ = ["judged_steering"]


def judged_steering(error: Exception) -> Generator[Output, Output, None]:
    """Change what a tool raised as policy changes the text in it.

    Args:
        error: LangGraph's, with interrupts or a command; anything else shows nothing.

    Yields:
        Each part of it that shows text; is sent what policy left of that.
    """
    steering = error.args[0] if error.args else None
    if is_outputs(steering):
        judged = yield Output(steering)
        error.args = (judged.content, *error.args[1:])
    elif isinstance(steering, Sequence) and not isinstance(steering, str):
        asked = []
        for one in steering:
            if is_dataclass(one) and not isinstance(one, type) and hasattr(one, "value"):
                judged = yield _output(one.value)
                asked.append(one if judged.content is one.value else replace(one, value=judged.content))
            else:
                asked.append(one)
        error.args = (tuple(asked), *error.args[1:])


def _output(value: Any) -> Output:
    known = is_data(value) or is_dataclass(value) or is_outputs(value)
    return Output(value, opaque=not known)
