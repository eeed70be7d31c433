"""Tools and schemas before a model is known, and the same in the way of the model that is called."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Final, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from .chains import bindings_of, twin_of
from .changes import ModelChangeError

__all__ = ["Chain", "Shape", "formatted", "has_tools", "neutral_tools", "with_shape"]

Options = Mapping[str, Any]
Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

# How tools are called, not which: a model whose package has no word for it does without.
_HINTS: Final = ("parallel_tool_calls", "strict")
_TOLD: Final = ("tool_choice", "response_format", *_HINTS)
_WORDS: Final = {"any": "any", "auto": "auto", "none": "none", "required": "any"}


def neutral_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Tools as data that policy can read and every provider's package understands.

    Args:
        tools: data is kept as it is, whosever format it has.

    Raises:
        ValueError: something is no tool.
    """
    # Copies: policy may rewrite them.
    return [copy.deepcopy(dict(tool)) if isinstance(tool, Mapping) else _data_of(tool) for tool in tools]


def _data_of(tool: type | Callable[..., Any] | BaseTool) -> dict[str, Any]:
    made = convert_to_openai_tool(tool)
    # The function alone: OpenAI's package takes a whole tool as it is, and adds no `strict` to it.
    function: dict[str, Any] = made.get("function", made)
    return function


def formatted(model: BaseChatModel, options: Options) -> dict[str, Any]:
    """The options with tools as this model's own `bind_tools` formats them.

    Args:
        model: is only asked to format them.
        options: with tools in any format, and a choice among them in LangChain's words or another provider's.

    Raises:
        ModelChangeError: the model cannot be offered them.
    """
    rest = dict(options)
    tools = rest.pop("tools", None)
    if not tools:
        return {key: value for key, value in rest.items() if key not in {"tool_choice", *_HINTS}}
    known = signature(model.bind_tools).parameters
    told = {key: rest.pop(key) for key in _TOLD if key in rest and (key in known or key in _HINTS)}
    choice, one_by_one = _choice_of(told.pop("tool_choice", None))
    if choice is not None:
        told["tool_choice"] = choice
    if one_by_one:
        told["parallel_tool_calls"] = False
    told = {key: value for key, value in told.items() if key in known}
    try:
        made = model.bind_tools(copy.deepcopy(tools), **told)
    except Exception as error:  # noqa: BLE001 -- a provider may raise anything
        raise ModelChangeError(f"`{type(error).__name__}`: the model cannot be offered the tools") from None
    if not isinstance(made, RunnableBinding) or made.bound is not model:
        raise ModelChangeError("the model hides in what it makes of tools, so it cannot be offered them here")
    return {**rest, **made.kwargs}


def has_tools(model: BaseChatModel) -> bool:
    """Whether the model's package has a way of its own to bind tools, which schemas need as well."""
    kind = type(model)
    own = kind.bind_tools is not BaseChatModel.bind_tools
    return own or kind.with_structured_output is not BaseChatModel.with_structured_output


def _choice_of(choice: Any) -> tuple[Any, bool]:
    """A choice of tools in LangChain's words, and whether they are to be called one by one."""
    if choice is True:
        return "any", False
    if isinstance(choice, str) and choice:
        return _WORDS.get(choice, choice), False
    if not isinstance(choice, Mapping) or not choice:
        return None, False
    one_by_one = bool(choice.get("disable_parallel_tool_use"))
    inner = choice.get("function", choice.get("tool", choice))
    if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
        return inner["name"], one_by_one
    word = choice.get("type") or next(iter(choice))
    # What nobody else has a word for, the model may know.
    return _WORDS.get(word, choice), one_by_one


class Chain(NamedTuple):
    """The chain that a model makes of itself for a schema, and the place in it where the model is called."""

    made: Runnable[Any, Any]
    place: RunnableBinding[Any, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema that answers are asked for in, before it is known which model answers.

    Args:
        schema: as the caller gave it.
        include_raw: whether the message is wanted beside what is read out of it.
        told: how the model is to be asked, if the caller says so: `method`, `strict`.
        data: the schema as data that policy can read.
    """

    schema: Any = field(repr=False)
    include_raw: bool
    told: Options
    data: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, schema: Any, *, include_raw: bool, told: Options) -> Shape:
        """Read a schema.

        Raises:
            ValueError: it is none.
        """
        if isinstance(schema, Mapping):
            known = copy.deepcopy(dict(schema))
        elif isinstance(schema, type) and issubclass(schema, BaseModel):
            # All of it: what one provider's package leaves out, another one's sends.
            known = schema.model_json_schema()
        else:
            known = convert_to_json_schema(schema)
        return cls(schema, include_raw, told, known)

    def chain(self, model: BaseChatModel, data: Any) -> Chain:
        """The chain that the model makes of itself for the schema.

        Args:
            model: the model; what stands in the chain is a copy that cannot be called.
            data: the schema as policy left it.

        Raises:
            ModelChangeError: the model cannot, or policy changed what cannot be changed.
        """
        schema = copy.deepcopy(data) if isinstance(self.schema, Mapping) else self.schema
        if schema is self.schema and data != self.data:
            raise ModelChangeError("a schema that is a class cannot be rewritten; pass it as a JSON schema")
        twin = twin_of(model)
        try:
            made = twin.with_structured_output(schema, include_raw=self.include_raw, **self.told)
            (place,) = bindings_of(made, twin)
        except Exception as error:  # noqa: BLE001 -- a provider may raise anything
            raise ModelChangeError(
                f"`{type(error).__name__}`: the model cannot be asked for the schema"
            ) from None
        return Chain(made, place)


def with_shape(options: Options, chain: Chain) -> dict[str, Any]:
    """The options, and those by which a chain asks its model for a schema.

    Raises:
        ModelChangeError: the model can have either tools or a schema.
    """
    asked = chain.place.kwargs
    if "tools" in options and "tools" in asked:
        raise ModelChangeError("the model answers in a schema as it calls a tool, so it can have no other")
    return {**options, **asked}
