"""The way of a call through a governed router: where it is begun, narrowed, judged and given out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from litellm.router import Router

from checkrein import EnforcementPoint, Entity
from checkrein.flow import Flow
from checkrein.identity import Identity
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.deployments import entity_of, group_of, shared
from checkrein_litellm.endpoints import ENDPOINTS, UNNAMED
from checkrein_litellm.sdk.identity import caller_of
from checkrein_litellm.sdk.releasing import released, replying
from checkrein_litellm.sdk.tickets import Ticket, passage_of
from checkrein_litellm.steps import Send
from checkrein_litellm.withholding import shown

from .attempt import RoutedPassage, noted_in
from .methods import GOVERNED

__all__ = ["RoutedCalls"]

_MAX_HOPS: Final = 3


class RoutedCalls:
    """The calls of one router.

    Args:
        router: chooses deployments, and calls them.
        pep: decides.
    """

    def __init__(self, router: Router, pep: EnforcementPoint) -> None:
        self._router = router
        self._pep = pep

    def flow(
        self,
        name: str,
        original: Callable[..., Any],
        data: dict[str, Any],
        identity: Identity | None = None,
    ) -> Flow[Any]:
        """One call: judged at each try, and when it is answered.

        Args:
            name: the router's method.
            original: as it was before it was governed.
            data: the call's parameters.
            identity: for whom it is made, where that is bound.

        Raises:
            CallDenied: policy denied it, and no reply can say so.
        """
        if passage_of(data) is not None:
            # A call of the router's own, on the way of one that is governed.
            return (yield Send(original, data))
        passage = self._passage(data, GOVERNED[name], identity)
        return (yield from replying(passage, data, self._called(passage, original, data)))

    def _called(
        self, passage: RoutedPassage, original: Callable[..., Any], data: dict[str, Any]
    ) -> Flow[Any]:
        passage.admit(data)
        moderates = passage.endpoint.operation == "moderation"
        if moderates and not self._router.get_model_list(model_name=str(data.get("model"))):
            # The router would not choose a deployment, but ask the provider at once.
            passage.refuse(_model(data), "unsupported_request.model", "it is no model of the router")
        for _ in range(_MAX_HOPS + 1):
            failure: Exception | None = None
            answer: Any = None
            try:
                answer = yield Send(original, {**data, "litellm_call_id": Ticket(passage)})
            except Exception as error:  # noqa: BLE001 -- what it means is seen below
                failure = error
            if passage.denial is not None:
                raise CallDenied(passage.denial)
            if passage.target is not None:
                data = passage.rerouted(data)
                continue
            if failure is not None:
                raise shown(failure) if passage.withholds else failure
            if not passage.attempt:
                passage.refuse(_model(data), "unsupported_endpoint", "it was answered without a deployment")
            return (yield from released(passage, data, answer))
        passage.refuse(_model(data), "route_loop", "it was routed from model to model")
        raise RuntimeError("a call that policy routes in a circle has no answer")

    def refusal(
        self,
        name: str,
        original: Callable[..., Any],
        data: dict[str, Any],
        identity: Identity | None = None,
    ) -> Flow[Any]:
        """A call that is not governed; under monitor it passes.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        passage = self._passage(data, name, identity)
        passage.refuse(_model(data), "unsupported_endpoint", f"`{name}` is not governed")
        return (yield Send(original, {**data, "litellm_call_id": Ticket(passage)}))

    def _passage(self, data: Mapping[str, Any], call: str, identity: Identity | None = None) -> RoutedPassage:
        return RoutedPassage(
            pep=self._pep,
            endpoint=ENDPOINTS.get(call, UNNAMED),
            identity=caller_of(self._pep.settings, data, identity),
            host="litellm-router",
            describe=self._describe,
            client_call_id=str(data.get("litellm_call_id") or ""),
            keys=frozenset(data),
            noted=noted_in(data),
        )

    def _describe(self, name: str) -> Mapping[str, Any]:
        """What all deployments of a model share: which of them is called is judged anew."""
        deployments = self._router.get_model_list(model_name=name)
        if not deployments:
            raise ValueError("the router has no such model")
        return shared([entity_of(name, one).properties for one in deployments])

    def narrowed(
        self,
        passage: RoutedPassage,
        name: str,
        found: list[Any],
        asked: Mapping[str, Any],
        given: Mapping[str, Any] | None,
    ) -> Flow[list[Any]]:
        """The deployments that policy lets a call choose from.

        Raises:
            CallDenied: there is none.
        """
        entities = [entity_of(group_of(one, name), one) for one in found]
        data = passage.seen(asked, given or {})
        return (yield from passage.safely(passage.narrow(name, data, found, entities), found))

    def chosen(
        self,
        passage: RoutedPassage,
        name: str,
        chosen: Mapping[str, Any],
        asked: Mapping[str, Any],
        given: dict[str, Any] | None,
    ) -> Flow[None]:
        """Judge what the chosen deployment is about to get.

        Raises:
            CallDenied: it must not get it.
        """
        yield from passage.safely(passage.chosen(name, chosen, asked, {} if given is None else given), None)

    def passage_here(self, model: str, given: Mapping[str, Any] | None) -> RoutedPassage:
        """The call for which a deployment is chosen.

        Raises:
            CallDenied: it is nobody's, unless the settings only monitor.
        """
        passage = passage_of(given)
        if isinstance(passage, RoutedPassage):
            return passage
        passage = self._passage(given or {}, "deployment")
        message = "a deployment is chosen for a call that nobody governs"
        passage.refuse(Entity(type="model", id=model), "unsupported_endpoint", message)
        return passage


def _model(data: Mapping[str, Any]) -> Entity:
    model = data.get("model")
    return Entity(type="model", id=model if isinstance(model, str) and model else "unknown")
