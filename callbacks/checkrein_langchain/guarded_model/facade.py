"""What a chat model around a chat model says of itself: whatever the model in it says, and nothing secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from langchain_core.language_models import BaseChatModel, LangSmithParams, ModelProfile
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import Field

from checkrein.enforcement import EnforcementPoint
from checkrein_langchain.calls.attempted_call import AttemptedCall

__all__ = ["WORN", "ModelFacade", "is_guarded", "is_guarded_by"]

# What LangChain does above `_generate`, it does on the wrapper, with what the model was given for it.
WORN: Final = (
    "callbacks",
    "custom_get_token_ids",
    "disable_streaming",
    "metadata",
    "output_version",
    "tags",
    "verbose",
)


class _Marked(dict[str, Any]):
    """How a guarded model shows itself to callbacks: an object, so that no caller can claim to be one."""

    __slots__ = ("pep",)
    pep: EnforcementPoint


def is_guarded(serialized: Any) -> bool:
    """Whether what a callback was handed as `serialized` is a guarded model, whoever decides about it."""
    return isinstance(serialized, _Marked)


def is_guarded_by(serialized: Any, pep: EnforcementPoint) -> bool:
    """Whether what a callback was handed as `serialized` is a model that this enforcement point governs."""
    return isinstance(serialized, _Marked) and serialized.pep is pep


def _counts_here(model: BaseChatModel, *ways: str) -> bool:
    """Whether a model counts tokens without sending them anywhere: by LangChain's own methods alone."""
    kind = type(model)
    return issubclass(kind, ModelFacade) or all(
        getattr(kind, way) is getattr(BaseChatModel, way) for way in ways
    )


class ModelFacade(BaseChatModel):
    """A chat model around a chat model.

    Unknown attributes are not looked up in the model: a way of calling it could be among them.

    Args:
        inner: the model. Calling it directly passes by the policy.
        models: its alternatives by name.
        pep: decides.
        call: the call that this copy of the model is made for.
    """

    inner: BaseChatModel
    models: dict[str, BaseChatModel] = Field(default_factory=dict)
    pep: EnforcementPoint = Field(exclude=True, repr=False)
    call: AttemptedCall | None = Field(default=None, exclude=True, repr=False)

    @property
    def target(self) -> BaseChatModel:
        """The model that is called: the inner one, or where policy led the call."""
        return self.inner if self.call is None else self.call.model

    def worn_for(self, model: BaseChatModel) -> dict[str, Any]:
        """What LangChain does above `_generate`, for a call of one of the models."""
        return {} if model is self.inner else {key: getattr(model, key) for key in WORN}

    @property
    def model_name(self) -> str:
        """The inner model's name, if that is what it calls it."""
        name: str = self.inner.model_name  # type: ignore[attr-defined]
        return name

    @property
    def model(self) -> str:
        """The inner model's name, if that is what it calls it."""
        name: str = self.inner.model  # type: ignore[attr-defined]
        return name

    # Some models have their provider count, which would send it a text that nobody has judged.

    def get_token_ids(self, text: str) -> list[int]:
        """The inner model's tokens, if it has them counted by LangChain or a function of its user.

        Raises:
            NotImplementedError: it counts them itself.
        """
        custom = self.inner.custom_get_token_ids
        if custom is not None:
            return custom(text)
        if not _counts_here(self.inner, "get_token_ids"):
            raise NotImplementedError(
                "the model may have its provider tell the tokens, past the policy; call `get_num_tokens`, "
                "which estimates them, or give the model a `custom_get_token_ids`"
            )
        return self.inner.get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """How many tokens a text has; estimated, where the inner model counts them itself."""
        if self.inner.custom_get_token_ids is not None:
            return len(self.get_token_ids(text))
        if _counts_here(self.inner, "get_num_tokens", "get_token_ids"):
            return self.inner.get_num_tokens(text)
        return count_tokens_approximately([text], extra_tokens_per_message=0)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        """How many tokens messages have; estimated, where the inner model counts them itself."""
        if _counts_here(self.inner, "get_num_tokens_from_messages", "get_num_tokens", "get_token_ids"):
            return self.inner.get_num_tokens_from_messages(messages, tools)
        return count_tokens_approximately(messages, tools=list(tools) if tools else None)

    @cached_property
    def _serialized(self) -> dict[str, Any]:
        marked = _Marked(super()._serialized)
        marked.pep = self.pep
        return marked

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # Models show headers and options in their `repr`, and LangChain puts ours into traces.
        yield "inner", type(self.inner).__name__
        if self.models:
            yield "models", sorted(self.models)

    # LangChain asks a model for these by private names, and has no public ones.

    @property
    def _llm_type(self) -> str:
        return self.target._llm_type  # noqa: SLF001 -- see above

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.target._identifying_params  # noqa: SLF001 -- see above

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self.inner.profile

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return self.target._get_invocation_params(stop=stop, **kwargs)  # noqa: SLF001 -- see above

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.target._get_ls_params(stop=stop, **kwargs)  # noqa: SLF001 -- see above

    def _combine_llm_outputs(self, _llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return self.target._combine_llm_outputs(_llm_outputs)  # noqa: SLF001 -- see above

    def _streaming_disabled(self, **kwargs: Any) -> bool:
        return self.target._streaming_disabled(**kwargs)  # noqa: SLF001 -- see above

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        return self.target._should_stream(  # noqa: SLF001 -- see above
            async_api=async_api, run_manager=run_manager, **kwargs
        )
