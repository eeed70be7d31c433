"""One call of a router: which of its models policy lets be chosen, and the chosen one's call in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from langchain_core.runnables import Runnable

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow
from checkrein.vocabulary import AccessRequest, Entity, Stage
from checkrein_langchain.calls.attempted_call import AttemptedCall
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.inner_model.chains import rebound
from checkrein_langchain.inner_model.changes import ModelChangeError
from checkrein_langchain.inner_model.facts import facts_of
from checkrein_langchain.inner_model.formats import Chain, Shape, formatted, has_tools, with_shape
from checkrein_langchain.inner_model.options import asked_name, without_tools
from checkrein_langchain.inner_model.selection import Chosen, bounded
from checkrein_langchain.text.surface import Surface

__all__ = ["Filter", "RoutedCall"]

_NOTHING: Final = Surface(0)
# Where a schema stands among the options, as data, until a model says how it wants to be asked for it.
_SCHEMA: Final = "response_format"


@dataclass(slots=True)
class Filter:
    """Ask the enforcement point which of several models may be chosen."""

    pep: EnforcementPoint
    request: AccessRequest
    candidates: Sequence[Entity]

    def perform(self) -> Decision:
        """Ask, blocking."""
        return self.pep.filter_candidates(self.request, self.candidates)

    async def aperform(self) -> Decision:
        """Ask without blocking the event loop on a remote engine."""
        return await self.pep.afilter_candidates(self.request, self.candidates)


class RoutedCall(AttemptedCall):
    """A call of a router, as one attempt.

    Its options are nobody's own until a model is chosen: tools in any format, a schema as data.

    Args:
        call: as for `Call`.
        router: the name by which records know the router.
        shape: the schema that the answer is asked for in, or None.
    """

    def __init__(self, *call: Any, router: str, shape: Shape | None = None) -> None:
        self.router, self.shape = router, shape
        self._chain: Chain | None = None
        AttemptedCall.__init__(self, *call)

    def __post_init__(self) -> None:
        """Choose the first model that can be called so, until policy is asked.

        Raises:
            ValueError: there is none, or none of the name that is asked for.
        """
        if self.shape is not None:
            self.options = {**self.options, _SCHEMA: self.shape.data}
        self._wanted = asked_name(self.options)
        if self._wanted is not None and self._wanted not in self.models:
            names = "`, `".join(self.models)
            raise ValueError(
                f"`{self._wanted}` is no model of this router; ask for one of `{names}`, or for none"
            )
        named = [*self.models] if self._wanted is None else [self._wanted]
        tools = self.shape is not None or bool(self.options.get("tools"))
        self._able = [name for name in named if not tools or has_tools(self.models[name])] or named
        self._name: str | None = None
        AttemptedCall.__post_init__(self)

    def describe(self, name: str) -> Mapping[str, Any]:
        """As `Call.describe`.

        Raises:
            KeyError: no model has the name; a router calls none that it does not have.
        """
        return facts_of(self.models[name]).properties

    def around(self, called: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """The chosen model's own chain for the schema, around what is called in the model's place."""
        assert self._chain is not None  # noqa: S101 -- only a call with a schema is asked
        made, place = self._chain
        return rebound(made, place, called)

    def _choose(self) -> None:
        name = self._bounds.model or self._name
        if name is None:
            self._take_first(self._able)
        else:
            # Decided about: what cannot be done with this model is not done with another one.
            self._take(name)

    def _take_first(self, names: Sequence[str]) -> None:
        """Choose the first of some models that can be called so.

        Raises:
            ModelChangeError: none can; why the first one cannot.
        """
        failure: ModelChangeError | None = None
        for name in names:
            try:
                self._take(name)
            except ModelChangeError as error:
                failure = failure or error
            else:
                self._name = name
                return
        assert failure is not None  # noqa: S101 -- there is a name
        raise failure

    def _take(self, name: str) -> None:
        """Choose a model, and say the call in its own way.

        Raises:
            ModelChangeError: it cannot be called so.
        """
        if name not in self.models:
            raise ModelChangeError("the router has no model of the name that policy routes to")
        model = self.models[name]
        options = {key: value for key, value in self.options.items() if key != "model"}
        if self._bounds.removed:
            options = without_tools(options, self._bounds.removed)
        schema = options.pop(_SCHEMA) if self.shape is not None else None
        options, chain = formatted(model, options), None
        if self.shape is not None:
            chain = self.shape.chain(model, schema)
            options = with_shape(options, chain)
        self.chosen = bounded(Chosen(model, name, facts_of(model), options), self.stop, self._bounds)
        self._chain = chain

    def _select(self, surface: Surface | None) -> Flow[None]:
        """Take the first model that policy lets be chosen; whoever asks for one is answered about that one.

        Raises:
            PolicyDenied: there is none.
            ModelChangeError: none of those that may be chosen can be called so.
        """
        if self._wanted is not None:
            return
        first = self.chosen
        questions = [self._about(name, surface) for name in self._able]
        self.chosen = first
        decision = yield Filter(self.pep, self._group(questions), [one.resource for one in questions])
        decision.raise_if_denied(PolicyDenied)
        # Nothing but `no_store`: other obligations are those of the decision on the chosen one.
        self._bounds.add(decision.changes)
        kept = [one.id for one in decision.kept]
        if decision.changes or kept[0] != first.name:
            self._take_first(kept)

    def _about(self, name: str, surface: Surface | None) -> AccessRequest:
        model = self.models[name]
        self.chosen = Chosen(model, name, facts_of(model), self.options)
        return self._question(Stage.MODEL_SELECTION, surface or _NOTHING)

    def _group(self, questions: Sequence[AccessRequest]) -> AccessRequest:
        """One question about all models: what any of them supports, and the largest answer of them all."""
        first = questions[0]
        context = {key: value for key, value in first.context.items() if key != "estimated"}
        limits = [one.context.get("estimated", {}).get("max_tokens") for one in questions]
        if None not in limits:
            # What one of them does not tell stays unknown for all of them.
            context["estimated"] = {"max_tokens": max(limits)}
        return replace(
            first,
            resource=Entity(type="router", id=self.router),
            context=context,
            supports=frozenset().union(*(one.supports for one in questions)),
        )
