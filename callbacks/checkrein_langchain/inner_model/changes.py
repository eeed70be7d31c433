"""Changes of the model that a call reaches and of its options, and whether they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from .facts import ADDRESSES, TOKEN_LIMITS, facts_of, is_limit
from .options import tool_names, without_tracing

__all__ = [
    "ModelChangeError",
    "keeps_answers",
    "limited",
    "payload_of",
    "renamed",
    "show_changes",
    "tells_request",
]

Options = Mapping[str, Any]


class ModelChangeError(ValueError):
    """A change of the model or its options that cannot be shown to hold."""


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
    if limit is not None and (not limits or any(not is_limit(one) or one > limit for one in limits)):
        raise ModelChangeError("the limit of tokens does not reach the request")
    if any(key not in payload or payload[key] != value for key, value in parameters.items()):
        raise ModelChangeError("a parameter does not reach the request")
    if set(removed) & set(tool_names(payload)):
        raise ModelChangeError("a removed tool is still in the request")
