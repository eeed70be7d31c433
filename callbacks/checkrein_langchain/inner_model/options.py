"""The options of a call: which would pass by the policy, and the tools among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from .facts import ADDRESSES, TOKEN_LIMITS

__all__ = [
    "asked_name",
    "check_model",
    "check_options",
    "offered_tools",
    "tool_names",
    "without_tools",
    "without_tracing",
]

# What would choose a model, or bring text, past the policy.
_FORBIDDEN_OPTIONS: Final = frozenset({*ADDRESSES, "fallbacks", "input", "messages", "models"})
_FORBIDDEN_BODY: Final = frozenset(
    {*_FORBIDDEN_OPTIONS, *TOKEN_LIMITS, "functions", "model", "prompt", "stream", "tools"}
)

Options = Mapping[str, Any]


def check_options(options: Options) -> None:
    """Refuse options of a call that would reach a model or send text past the policy.

    Raises:
        ValueError: naming the option.
    """
    _refuse(sorted(_FORBIDDEN_OPTIONS & options.keys()) + _wrong_in_body(options.get("extra_body")))
    if "model" in options and not isinstance(options["model"], str):
        raise ValueError(f"`model` must be a name, not `{type(options['model']).__name__}`")


def check_model(model: BaseChatModel) -> None:
    """Refuse a model whose own options replace, unseen, what policy judges.

    Raises:
        ValueError: naming the option.
    """
    more = getattr(model, "model_kwargs", None)
    _refuse(_wrong_in_body(getattr(model, "extra_body", None)))
    _refuse(_wrong_in_body(more.get("extra_body") if isinstance(more, Mapping) else None))


def _wrong_in_body(body: Any) -> list[str]:
    return (
        sorted(f"extra_body.{key}" for key in _FORBIDDEN_BODY & body.keys())
        if isinstance(body, Mapping)
        else []
    )


def _refuse(wrong: list[str]) -> None:
    if wrong:
        raise ValueError(f"`{wrong[0]}` would pass by the policy; pass messages as input and `model` by name")


def asked_name(options: Options) -> str | None:
    """The model that this call asks for by itself."""
    name: str | None = options.get("model")
    return name


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


def tool_names(options: Options) -> list[str]:
    """The names of the tools that a call offers."""
    names = []
    for tool in [*_listed(options.get("tools")), *_listed(options.get("functions"))]:
        name = _tool_name(tool)
        if name is not None:
            names.append(name)
    return names


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _tool_name(tool: Any) -> str | None:
    if isinstance(tool, Mapping):
        function = tool.get("function")
        inner = function if isinstance(function, Mapping) else tool.get("toolSpec")
        name = (inner if isinstance(inner, Mapping) else tool).get("name") or tool.get("type")
    else:
        name = getattr(tool, "name", None) or getattr(tool, "__name__", None)
    return name if isinstance(name, str) else None


def without_tools(options: Options, removed: frozenset[str]) -> dict[str, Any]:
    """The options without tools; a choice that names a removed one, or the last one, goes too."""
    kept = dict(options)
    for key in ("tools", "functions"):
        if key in kept:
            kept[key] = [one for one in _listed(kept[key]) if _tool_name(one) not in removed]
            if not kept[key]:
                del kept[key]
    choice = kept.get("tool_choice")
    named = choice if isinstance(choice, str) else _tool_name(choice)
    if "tools" not in kept or named in removed:
        for key in ("tool_choice", "parallel_tool_calls"):
            kept.pop(key, None)
    return kept


def without_tracing(options: Options) -> dict[str, Any]:
    """The options without those that LangChain takes out for tracers."""
    tracing = ("ls_structured_output_format", "structured_output_format")
    return {key: value for key, value in options.items() if key not in tracing}
