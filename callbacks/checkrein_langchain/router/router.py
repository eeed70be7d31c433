"""A chat model over several: policy chooses which of them a call reaches, and governs the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.language_models import BaseChatModel, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import Field
from typing_extensions import override

from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow
from checkrein_langchain.calls.attempted_call import AttemptedCall
from checkrein_langchain.calls.attempts import Attempt
from checkrein_langchain.guarded_model.facade import WORN
from checkrein_langchain.guarded_model.generation import Options
from checkrein_langchain.guarded_model.guard import check_models
from checkrein_langchain.guarded_model.model import GuardedChatModel
from checkrein_langchain.inner_model.formats import Shape, neutral_tools

from .routed_call import RoutedCall
from .structured_output import RoutedStructure

__all__ = ["PolicyRouter"]


class PolicyRouter(GuardedChatModel):
    """A chat model over several, by the names that policies know them by.

        router = PolicyRouter(models={"small": ChatOpenAI(...), "local": ChatOllama(...)}, pep=pep)
        router.invoke("hello")                          # the first that policy lets be chosen
        router.bind(model="local").invoke("hello")      # this one or none

    At model selection policy is asked about all of them at once, with one record; the first in the order of
    preference that may be chosen is then decided in full, as `guard` does, and policy may route it to another
    one. What is denied then is denied, at model selection as before the prompt: no other model is tried, so
    nobody can shop for the one whose policy lets a prompt pass. No other is tried when a model fails, either.
    Who asks for a model by its name gets that one, or is denied.

    Tools are bound and schemas asked for in the chosen model's way; a model that cannot do that is no
    candidate. Until one is chosen, the router says of itself what the first one says; what its `profile`
    says, all of them can do.

    Args:
        models: chat models by name. Calling them directly passes by the policy.
        pep: decides.
        prefer: names in the order of preference; the others follow in the order of `models`.
        name: what records and runs call the router.
        more: what any chat model can be given: `tags`, `metadata`, `callbacks`, `verbose`; it is added to
            what the chosen model has of its own.

    Raises:
        TypeError: one of the models is no chat model, or an argument is unknown.
        ValueError: there is no model, `prefer` names one that is not there or twice, or a model's own options
            would pass by the policy.
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """

    shape: Shape | None = Field(default=None, exclude=True, repr=False)

    def __init__(
        self,
        *,
        models: Mapping[str, BaseChatModel],
        pep: EnforcementPoint,
        prefer: Sequence[str] = (),
        name: str | None = None,
        **more: Any,
    ) -> None:
        unknown = sorted(more.keys() - set(WORN))
        if unknown:
            raise TypeError(f"`{unknown[0]}` is no argument of a router; give it to its models")
        ordered = _ordered(models, prefer)
        check_models(ordered, pep)
        super().__init__(inner=next(iter(ordered.values())), models=ordered, pep=pep, name=name, **more)
        # Made once, kept by every copy: each call is made by one.
        _ = self._serialized

    # What it says of itself

    @property
    @override
    def model_name(self) -> str:
        raise AttributeError("a router has no model of its own")

    @property
    @override
    def model(self) -> str:
        raise AttributeError("a router has no model of its own")

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        return _common([model.profile for model in self.models.values()])

    @override
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "models", list(self.models)

    @override
    def worn_for(self, model: BaseChatModel) -> dict[str, Any]:
        return {
            **{key: getattr(model, key) for key in WORN},
            "callbacks": _joined_callbacks(self.callbacks, model.callbacks),
            "metadata": {**(model.metadata or {}), **(self.metadata or {})},
            "tags": [*(self.tags or ()), *(model.tags or ())],
            "verbose": self.verbose or model.verbose,
        }

    # What is made of it

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; each call binds them anew, in the way of the model that is chosen.

        Args:
            tools: data is taken as it is, whosever format it has. Of anything else its name, description and
                arguments are: what it says to one provider alone is left out.
            kwargs: as any chat model's `bind_tools` takes them: `tool_choice`, `strict`,
                `parallel_tool_calls`.
        """
        given = {key: value for key, value in kwargs.items() if value is not None}
        return cast("Runnable[LanguageModelInput, AIMessage]", self.bind(tools=neutral_tools(tools), **given))

    @override
    def with_structured_output(
        self, schema: Any = None, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer in a schema, asked for and read in the way of the model that is chosen.

        Args:
            schema: a class, or a JSON schema.
            include_raw: whether the message is wanted as well.
            kwargs: `method` and `strict`, as the models take them, and options of the call.

        Raises:
            ValueError: there is no schema, or it is none.
        """
        if schema is None:
            raise ValueError("a router needs a schema: which model would read an answer without one?")
        told = {key: kwargs[key] for key in ("method", "strict") if kwargs.get(key) is not None}
        shape = Shape.of(schema, include_raw=include_raw, told=told)
        # `method` is about the schema alone; whether it is strict, models want to hear of their tools, too.
        options = {key: value for key, value in kwargs.items() if key != "method" and value is not None}
        return RoutedStructure(router=self.model_copy(update={"shape": shape}), options=options)

    # The calls

    @override
    def tried(
        self, attempt: Attempt, messages: list[BaseMessage], stop: list[str] | None, options: Options
    ) -> AttemptedCall:
        assert self.identity is not None  # noqa: S101 -- only a model that knows who calls is asked
        if options.get("tools"):
            options["tools"] = neutral_tools(options["tools"])
        return RoutedCall(
            self.pep,
            self.identity,
            self.inner,
            self.models,
            attempt,
            messages,
            stop,
            options,
            router=self.name or "router",
            # In a call that is already made for a model, the model has been asked for it.
            shape=self.shape if self.call is None else None,
        )

    @override
    def _judged(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Options
    ) -> Flow[AttemptedCall]:
        if self.call is not None:
            # Whatever a callback made of the call, its model is chosen, and everybody has heard which.
            options = {**options, "model": self.call.chosen.name}
        return (yield from super()._judged(messages, stop, options))


def _ordered(models: Mapping[str, BaseChatModel], prefer: Sequence[str]) -> dict[str, BaseChatModel]:
    if not models:
        raise ValueError("a router needs a model")
    if isinstance(prefer, str):
        raise TypeError("`prefer` is one name; pass a sequence of them")
    for name in prefer:
        if name not in models:
            raise ValueError(
                f"`{name}` is preferred and no model of this router; its models are `{[*models]}`"
            )
    if len({*prefer}) < len(prefer):
        raise ValueError(f"`prefer` names a model twice: `{[*prefer]}`")
    return {name: models[name] for name in (*prefer, *(name for name in models if name not in prefer))}


def _common(profiles: Sequence[Mapping[str, Any] | None]) -> ModelProfile | None:
    """What all models can do: the smallest of each number, and what each of them says it can."""
    first, *others = (profile or {} for profile in profiles)
    common: dict[str, Any] = {}
    for key, value in first.items():
        values = [value, *(profile.get(key) for profile in others)]
        if all(type(one) is int for one in values):
            common[key] = min(values)
        elif all(isinstance(one, bool) for one in values):
            common[key] = all(values)
        elif all(one == value for one in values):
            common[key] = value
    return cast("ModelProfile", common) if common else None


def _joined_callbacks(own: Any, other: Any) -> Any:
    if not own or not other:
        return own or other
    return [
        handler
        for one in (own, other)
        for handler in (one.handlers if isinstance(one, BaseCallbackManager) else one)
    ]
