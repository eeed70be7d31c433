"""Finds the model and the options that asking and policy come to, and shows that they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel

from checkrein.decision import Changes

from .changes import keeps_answers, limited, payload_of, renamed, show_changes
from .facts import ModelFacts, facts_of
from .formats import formatted
from .options import asked_name, without_tools

__all__ = ["Bounds", "Chosen", "bounded", "choose"]


@dataclass(slots=True)
class Bounds:
    """What policy bound a call to, over all stages; applied anew to whatever model is called in the end.

    Args:
        model: the model to call instead.
        removed: names of tools to take out.
        parameters: options to set.
        max_tokens: the largest answer, in tokens.
        no_store: keep nothing of the call.
    """

    model: str | None = None
    removed: frozenset[str] = frozenset()
    parameters: dict[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    no_store: bool = False

    def add(self, changes: Changes) -> None:
        """Add what one more decision asks for."""
        self.no_store |= changes.no_store
        self.model = changes.model or self.model
        self.removed |= changes.remove_tools
        self.parameters |= changes.parameters
        if changes.max_tokens is not None:
            self.max_tokens = min(changes.max_tokens, self.max_tokens or changes.max_tokens)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is called.

    Args:
        model: the model.
        name: the name by which policies know it.
        facts: what it tells of itself.
        options: the options that it is called with.
    """

    model: BaseChatModel
    name: str
    facts: ModelFacts
    options: dict[str, Any]


def choose(
    home: BaseChatModel,
    models: Mapping[str, BaseChatModel],
    asked: Mapping[str, Any],
    stop: list[str] | None,
    bounds: Bounds,
) -> Chosen:
    """Find the model and the options of a call.

    Args:
        home: the guarded model.
        models: its alternatives by name.
        asked: the options, as asked.
        stop: what ends the answer.
        bounds: what policy bound the call to.

    Raises:
        ModelChangeError: a model or a change that cannot be shown to hold.
    """
    options = {key: value for key, value in asked.items() if key != "model"}
    wanted = bounds.model or asked_name(asked)
    own = facts_of(home)
    if wanted is None or (wanted == own.name and wanted not in models):
        model, name = home, own.name
    elif wanted in models:
        model, name = models[wanted], wanted
    else:
        model, name = renamed(home, wanted, options), wanted
    if bounds.removed:
        options = without_tools(options, bounds.removed)
    if type(model) is not type(home):
        # Tools were bound in the guarded model's way, and another provider's way may be another.
        options = formatted(model, options)
    facts = own if model is home else facts_of(model)
    return bounded(Chosen(model, name, facts, options), stop, bounds)


def bounded(chosen: Chosen, stop: list[str] | None, bounds: Bounds) -> Chosen:
    """Bind what is called to what policy bound the call to.

    Args:
        chosen: with options in the model's own way, and without the tools that policy removed.
        stop: what ends the answer.
        bounds: what policy bound the call to.

    Raises:
        ModelChangeError: a change that cannot be shown to hold.
    """
    model, options = chosen.model, {**chosen.options, **bounds.parameters}
    if bounds.max_tokens is not None:
        model, options = limited(model, options, bounds.max_tokens)
    if bounds.removed or bounds.parameters or bounds.max_tokens is not None:
        payload = payload_of(model, stop, options)
        show_changes(payload, bounds.removed, bounds.parameters, bounds.max_tokens)
    if bounds.no_store and keeps_answers(payload_of(model, stop, options)):
        options["store"] = False
    facts = chosen.facts if model is chosen.model else facts_of(model)
    return Chosen(model, chosen.name, facts, options)
