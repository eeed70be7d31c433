"""What a denied caller reads in place of an answer, where the settings say `on_denied: reply`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration

import checkrein
from checkrein_langchain.inner_model.changes import ModelChangeError, payload_of
from checkrein_langchain.text.answers import tokens_of

__all__ = ["WITHHELD", "awaits_text", "calls_tools", "reply_to"]

# What callbacks and traces are shown of a prompt that policy denied.
WITHHELD: Final = HumanMessage("[denied by policy]")

# By these, callers ask for an answer in a schema.
_SHAPES: Final = (
    "format",
    "guided_json",
    "ls_structured_output_format",
    "output_format",
    "response_format",
    "response_json_schema",
    "response_mime_type",
    "response_schema",
    "structured_output_format",
)
# These hold one among other things.
_HOLDERS: Final = ("output_config", "text")
_CHOICES: Final = ("function_call", "tool_choice")
_FREE: Final = frozenset({"auto", "none"})


def awaits_text(model: BaseChatModel, stop: list[str] | None, options: Mapping[str, Any]) -> bool:
    """Whether a text can be an answer: neither a schema is asked for, nor must a tool be called.

    Args:
        model: the model that is called.
        stop: what ends the answer.
        options: the options of the call.
    """
    try:
        payload = payload_of(model, stop, options) or {}
    except ModelChangeError:
        return False
    own = {key: getattr(model, key, None) for key in (*_SHAPES, *_HOLDERS, "model_kwargs")}
    more = own.pop("model_kwargs")
    asked = [options, payload, own, more if isinstance(more, Mapping) else {}]
    return not any(_has_shape(one) or _forces_tool(one) for one in asked)


def calls_tools(generation: ChatGeneration) -> bool:
    """Whether an answer calls tools."""
    message = generation.message
    return bool(
        getattr(message, "tool_calls", None)
        or getattr(message, "invalid_tool_calls", None)
        or message.additional_kwargs.get("function_call")
    )


def reply_to(denied: checkrein.PolicyDenied, answered: Sequence[ChatGeneration]) -> ChatGeneration:
    """An ordinary answer that says what the exception would say.

    Args:
        denied: the denial.
        answered: what the model said, if it was asked: its tokens are used, whoever reads the answer.
    """
    decision = denied.decision
    facts = {
        "finish_reason": "content_filter",
        "decision_id": decision.decision_id,
        "stage": decision.request.stage.value,
        "reasons": [reason.code for reason in decision.reasons],
    }
    message = AIMessage(
        str(denied), response_metadata=facts, usage_metadata=_usage(tokens_of(answered)) if answered else None
    )
    return ChatGeneration(message=message, generation_info={"finish_reason": "content_filter"})


def _usage(tokens: Mapping[str, int]) -> UsageMetadata | None:
    asked, answered = tokens.get("prompt_tokens"), tokens.get("completion_tokens")
    if asked is None or answered is None:
        return None
    total = tokens.get("total_tokens", asked + answered)
    return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=total)


def _has_shape(options: Mapping[str, Any]) -> bool:
    held = [options[key].get("format") for key in _HOLDERS if isinstance(options.get(key), Mapping)]
    asked = [*held, *(options.get(key) for key in _SHAPES)]
    return any(one and not (isinstance(one, Mapping) and one.get("type") == "text") for one in asked)


def _forces_tool(options: Mapping[str, Any]) -> bool:
    for key in _CHOICES:
        choice = options.get(key)
        if isinstance(choice, Mapping):
            choice = choice.get("mode") or choice.get("type") or choice
        if choice and not (isinstance(choice, str) and choice in _FREE):
            return True
    return False
