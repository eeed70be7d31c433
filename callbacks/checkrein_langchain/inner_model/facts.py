"""What a model tells of itself: by what name policies know it, and how long its answers may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.language_models import BaseChatModel

__all__ = ["ADDRESSES", "TOKEN_LIMITS", "ModelFacts", "facts_of", "is_limit", "largest_answer"]

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
        max_tokens=limit if is_limit(limit) else None,
    )


def is_limit(value: Any) -> bool:
    """Whether it limits an answer: some providers take 0 or -1 for any number of tokens."""
    return type(value) is int and value > 0


def largest_answer(facts: ModelFacts, options: Mapping[str, Any]) -> int | None:
    """The largest answer that a call allows, in tokens, or None when nothing limits it."""
    asked = next((options[key] for key in TOKEN_LIMITS if is_limit(options.get(key))), None)
    return facts.max_tokens if asked is None else asked
