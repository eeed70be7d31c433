"""Which model a call really reaches, by what name policies know it, and whether a change to it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

__all__ = [
    "ADDRESSES",
    "TOKEN_LIMITS",
    "ModelChangeError",
    "ModelFacts",
    "asked_name",
    "check_model",
    "check_options",
    "facts_of",
    "keeps_answers",
    "largest_answer",
    "limited",
    "payload_of",
    "renamed",
    "show_changes",
    "tells_request",
    "tool_names",
    "without_tools",
    "without_tracing",
]

# Beside its name, a model with one of these reaches something that the name does not choose.
ADDRESSES: Final = (
    "azure_deployment",
    "deployment",
    "deployment_id",
    "deployment_name",
    "endpoint",
    "endpoint_id",
    "endpoint_name",
    "endpoint_url",
    "engine",
    "model_id",
    "model_path",
    "repo_id",
)
TOKEN_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# What would choose a model, or bring text, past the policy.
_FORBIDDEN_OPTIONS: Final = frozenset({*ADDRESSES, "fallbacks", "input", "messages", "models"})
_FORBIDDEN_BODY: Final = frozenset(
    {*_FORBIDDEN_OPTIONS, *TOKEN_LIMITS, "functions", "model", "prompt", "stream", "tools"}
)

Options = Mapping[str, Any]


class ModelChangeError(ValueError):
    """A change of the model or its options that cannot be shown to hold."""


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


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model tells of itself.

    Args:
        name: the name by which policies know it.
        properties: what else policies may know: its `provider`.
        max_tokens: the largest answer that it was made for, in tokens, or None when nothing limits it.
    """

    name: str
    properties: Mapping[str, Any]
    max_tokens: int | None


def facts_of(model: BaseChatModel) -> ModelFacts:
    """Ask a model what it tells tracers, or else what it is called."""
    told: Mapping[str, Any] = model._get_ls_params()  # noqa: SLF001 -- LangChain has no public way
    name = told.get("ls_model_name") or getattr(model, "model_name", None) or getattr(model, "model", None)
    provider, limit = told.get("ls_provider"), told.get("ls_max_tokens")
    return ModelFacts(
        name=str(name or model._llm_type),  # noqa: SLF001 -- the same
        properties={"provider": provider} if isinstance(provider, str) else {},
        max_tokens=limit if type(limit) is int else None,
    )


def largest_answer(facts: ModelFacts, options: Options) -> int | None:
    """The largest answer that a call allows, in tokens, or None when nothing limits it."""
    asked = next((options[key] for key in TOKEN_LIMITS if type(options.get(key)) is int), None)
    return facts.max_tokens if asked is None else asked


def renamed(model: BaseChatModel, name: str, options: Options) -> BaseChatModel:
    """The same model under another name: the same provider, credentials and settings.

    Raises:
        ModelChangeError: it cannot be shown that the call reaches the model of that name.
    """
    fields = type(model).model_fields
    field = next((one for one in ("model_name", "model") if one in fields), None)
    if field is None or not isinstance(getattr(model, field), str):
        raise ModelChangeError("the model's name cannot be changed; name the target in `models`")
    if is_addressed(model):
        raise ModelChangeError("not its name but its address chooses the model; name the target in `models`")
    copied = model.model_copy(update={field: name})
    forget_identity(copied)
    payload = payload_of(copied, None, options)
    reached = facts_of(copied).name if payload is None else payload.get("model")
    if reached != name:
        raise ModelChangeError("the call would not reach the model that the policy routes to")
    return copied


def is_addressed(model: BaseChatModel) -> bool:
    """Whether something beside its name chooses what is called."""
    return any(getattr(model, key, None) for key in ADDRESSES)


def forget_identity(model: BaseChatModel) -> None:
    """Drop what a copy remembers of its original: LangChain builds cache keys and traces from it."""
    model.__dict__.pop("_serialized", None)


def tells_request(model: BaseChatModel) -> bool:
    """Whether the model's package can say what a call would send; those of OpenAI and Anthropic do."""
    return hasattr(type(model), "_get_request_payload")


def payload_of(model: BaseChatModel, stop: list[str] | None, options: Options) -> Mapping[str, Any] | None:
    """The request that a call with these options would send, or None where a provider does not tell.

    Raises:
        ModelChangeError: the model refuses the options.
    """
    if not tells_request(model):
        return None
    build: Any = model._get_request_payload  # type: ignore[attr-defined]  # noqa: SLF001 -- see `tells_request`
    try:
        payload = build([HumanMessage("-")], stop=stop, **without_tracing(options))
    except Exception as error:  # noqa: BLE001 -- a provider may raise anything
        raise ModelChangeError(f"`{type(error).__name__}`: the model refuses the options") from None
    return payload if isinstance(payload, Mapping) else None


def without_tracing(options: Options) -> dict[str, Any]:
    """The options without those that LangChain takes out for tracers."""
    tracing = ("ls_structured_output_format", "structured_output_format")
    return {key: value for key, value in options.items() if key not in tracing}


def limited(model: BaseChatModel, options: Options, limit: int) -> tuple[BaseChatModel, dict[str, Any]]:
    """The model and the options with a limit of the answer, in tokens; `show_changes` says if it holds."""
    kept = {key: value for key, value in options.items() if key not in TOKEN_LIMITS}
    if "max_tokens" in type(model).model_fields:
        return model.model_copy(update={"max_tokens": limit}), kept
    return model, {**kept, "max_tokens": limit}


def keeps_answers(payload: Mapping[str, Any] | None) -> bool:
    """Whether the provider would keep the answer: on demand, or by default in OpenAI's Responses API."""
    return payload is not None and bool(payload.get("store", "input" in payload))


def show_changes(
    payload: Mapping[str, Any] | None, removed: Iterable[str], parameters: Options, limit: int | None
) -> None:
    """Show that changes of the options reach the request.

    Raises:
        ModelChangeError: one does not, or the provider does not tell.
    """
    if payload is None:
        raise ModelChangeError(
            "the provider does not tell its request, so no change of it can be shown to hold"
        )
    limits = [payload[key] for key in TOKEN_LIMITS if payload.get(key) is not None]
    if limit is not None and (not limits or any(one > limit for one in limits)):
        raise ModelChangeError("the limit of tokens does not reach the request")
    if any(key not in payload or payload[key] != value for key, value in parameters.items()):
        raise ModelChangeError("a parameter does not reach the request")
    if set(removed) & set(tool_names(payload)):
        raise ModelChangeError("a removed tool is still in the request")


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
