"""What a denied caller reads in place of an answer, where the settings say `on_denied: reply`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litellm.types.utils import (
    Choices,
    Delta,
    Message,
    ModelResponse,
    ModelResponseStream,
    StreamingChoices,
    TextChoices,
    TextCompletionResponse,
)

from .denial import CallDenied

__all__ = ["reply_to", "takes_text"]

_FORMS: Final = ("output_config", "output_format", "response_format", "text_format", "text")
_GENERATION: Final = ("config", "generationConfig")
_SCHEMAS: Final = ("responseJsonSchema", "responseSchema", "response_json_schema", "response_schema")
_CHOICES: Final = ("function_call", "tool_choice")
_FREE: Final = frozenset({"auto", "none"})


def reply_to(denied: CallDenied, operation: str, data: Mapping[str, Any]) -> Any:
    """An ordinary answer that says what the exception would say, or None where no text can be one.

    Args:
        denied: the denial.
        operation: what kind of call it was.
        data: the call's parameters: who asks for a schema or forces a tool gets the exception.
    """
    if not takes_text(data):
        return None
    told = dict(denied.provider_specific_fields)
    text, end = str(denied), "content_filter"
    model = str(data.get("model") or "")
    if operation == "text_completion":
        choice = TextChoices(index=0, text=text, finish_reason=end, provider_specific_fields=told)
        return TextCompletionResponse(model=model, choices=[choice])
    if operation != "chat":
        return None
    if data.get("stream"):
        delta = Delta(role="assistant", content=text, provider_specific_fields=told)
        return ModelResponseStream(
            model=model, choices=[StreamingChoices(index=0, delta=delta, finish_reason=end)]
        )
    message = Message(role="assistant", content=text, provider_specific_fields=told)
    return ModelResponse(model=model, choices=[Choices(index=0, message=message, finish_reason=end)])


def takes_text(data: Mapping[str, Any]) -> bool:
    """Whether a text can answer a call: none who asks for a schema or forces a tool could read it.

    Args:
        data: the call's parameters.
    """
    if any(_has_shape(data.get(name)) for name in _FORMS) or any(
        _forces(data.get(name)) for name in _CHOICES
    ):
        return False
    google = [data[name] for name in _GENERATION if isinstance(data.get(name), Mapping)]
    return not any(one.get(name) for one in google for name in _SCHEMAS)


def _has_shape(value: Any) -> bool:
    if isinstance(value, Mapping):
        inner = value.get("format")
        return _has_shape(inner) if inner is not None else value.get("type", "text") != "text"
    return value is not None


def _forces(choice: Any) -> bool:
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    return bool(choice) and not (isinstance(kind, str) and kind in _FREE)
