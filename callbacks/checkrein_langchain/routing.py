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

from .choosing import Chosen, bounded
from .denial import PolicyDenied
from .formatting import Shape, formatted
from .models import ModelChangeError, asked_name, facts_of, without_tools
from .surfaces import Surface
from .tries import Try

__all__ = ["Filter", "RoutedTry"]

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


class RoutedTry(Try):
    """A call of a router, as one try.

    Its options are nobody's own until a model is chosen: tools in any format, a schema as data.

    Args:
        call: as for `Call`.
        router: the name by which records know the router.
        shape: the schema that the answer is asked for in, or None.
    """

    def __init__(self, *call: Any, router: str, shape: Shape | None = None) -> None:
        self.router, self.shape = router, shape
        Try.__init__(self, *call)

    def __post_init__(self) -> None:
        """Choose the first model that can be called so, until policy is asked.

        Raises:
            ValueError: there is none, or none of the name that is asked for.
        """
        if self.shape is not None:
            self.options = {**self.options, _SCHEMA: self.shape.data}
        wanted = asked_name(self.options)
        if wanted is not None and wanted not in self.models:
            names = "`, `".join(self.models)
            raise ValueError(f"`{wanted}` is no model of this router; ask for one of `{names}`, or for none")
        self._wanted = wanted
        self._able = self._found(list(self.models) if wanted is None else [wanted])
        self._name = next(iter(self._able))
        Try.__post_init__(self)

    def describe(self, name: str) -> Mapping[str, Any]:
        """As `Call.describe`.

        Raises:
            KeyError: no model has the name; a router calls none that it does not have.
        """
        return facts_of(self.models[name]).properties

    def around(self, called: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """The chosen model's own chain for the schema, around what is called in the model's place."""
        assert self.shape is not None  # noqa: S101 -- only a call with a schema is asked
        return self.shape.around(self.model, self.options[_SCHEMA], called)

    def _found(self, names: Sequence[str]) -> dict[str, Chosen]:
        """The models that can be called so: policy is asked about no other."""
        found: dict[str, Chosen] = {}
        failure: ModelChangeError | None = None
        for name in names:
            try:
                found[name] = self._chosen(name)
            except ModelChangeError as error:
                failure = failure or error
        if failure is not None and not found:
            raise failure
        return found

    def _choose(self) -> None:
        self.chosen = self._chosen(self._bounds.model or self._name)

    def _chosen(self, name: str) -> Chosen:
        if name not in self.models:
            raise ModelChangeError("the router has no model of the name that policy routes to")
        model = self.models[name]
        options = {key: value for key, value in self.options.items() if key != "model"}
        if self._bounds.removed:
            options = without_tools(options, self._bounds.removed)
        schema = options.pop(_SCHEMA) if self.shape is not None else None
        options = formatted(model, options)
        if self.shape is not None:
            options = self.shape.added(model, options, schema)
        return bounded(Chosen(model, name, facts_of(model), options), self.stop, self._bounds)

    def _select(self, surface: Surface | None) -> Flow[None]:
        """Take the first model that policy lets be chosen; whoever asks for one is answered about that one.

        Raises:
            PolicyDenied: there is none.
        """
        if self._wanted is not None:
            return
        first = self.chosen
        questions = [self._about(chosen, surface) for chosen in self._able.values()]
        self.chosen = first
        decision = yield Filter(self.pep, self._group(questions), [one.resource for one in questions])
        decision.raise_if_denied(PolicyDenied)
        self._name = decision.kept[0].id
        self.chosen = self._able[self._name]
        if decision.changes:
            # Nothing but `no_store`: other obligations are those of the decision on the chosen one.
            self._bounds.add(decision.changes)
            self._choose()

    def _about(self, chosen: Chosen, surface: Surface | None) -> AccessRequest:
        self.chosen = chosen
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
