"""A LiteLLM router whose calls are governed, the synchronous ones too; policy narrows what it chooses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Final

from litellm.router import Router
from typing_extensions import override

from checkrein import EnforcementPoint, Entity
from checkrein.flow import Flow, arun, run
from checkrein.identity import Identity

from .attempts import Rerouted, RoutedPassage
from .callers import bound_identity, caller_of
from .denial import CallDenied
from .deployments import entity_of, group_of
from .endpoints import ENDPOINTS, UNNAMED
from .governing import STAGES
from .loops import outside_of_loops
from .parameters import bound
from .releasing import released, replying
from .routercalls import GOVERNED, KEPT, REFUSED
from .steps import Send
from .tickets import Ticket, passage_of
from .withholding import shown

__all__ = ["PolicyRouter"]

_MAX_HOPS: Final = 3

# A call whose deployments are narrowed where a synchronous router looks them up.
_narrowing: ContextVar[RoutedPassage | None] = ContextVar("checkrein_narrowing", default=None)
# What an asynchronous router was told of the prompt. It leaves the choice to the synchronous one for some
# strategies, and then judges by itself.
_asked: ContextVar[Mapping[str, Any] | None] = ContextVar("checkrein_asked", default=None)


class PolicyRouter(Router):
    """A `litellm.Router`, each call of it governed, asynchronous or not.

        router = PolicyRouter(model_list=[...], pep=EnforcementPoint.from_settings("checkrein.yaml"))
        router.completion(model="gpt-4o", messages=messages)
        await router.acting_as("alice").acompletion(model="gpt-4o", messages=messages)

    Policy is asked about all deployments of a model at once, with one record, and the router chooses among
    those that are permitted. The one that it chooses is judged in full, at every try, retry and fallback;
    policy may route the call to another model of the router. A denial ends the call: it is neither retried
    nor followed by a fallback, and no deployment cools down for it. The answer is judged before it is given
    out.

    Calls that cannot be governed are denied, and so is a deployment that is chosen for anything else.

    Args:
        pep: decides.
        router: what a `litellm.Router` takes.

    Raises:
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """

    def __init__(self, *router: Any, pep: EnforcementPoint, **more: Any) -> None:
        pep.require(STAGES)
        self.pep = pep
        super().__init__(*router, **more)

    def acting_as(self, user: Entity | str) -> _Acting:
        """The router's governed calls, made for a subject, whatever thread or task makes them.

        Args:
            user: who acts; a string is the id of a `user`.
        """
        return _Acting(self, bound_identity(user))

    # What the router sets up for itself

    def initialize_router_endpoints(self) -> None:
        """Set the calls up, each of them governed or refused."""
        super().initialize_router_endpoints()  # type: ignore[no-untyped-call]
        made = [name for name, one in vars(self).items() if inspect.isfunction(one) and _is_routers(one)]
        for name in {*made, *REFUSED} - {*GOVERNED}:
            setattr(self, name, self._refused(name, getattr(self, name)))
        for name in GOVERNED:
            setattr(self, name, self._governed(name, getattr(self, name)))
        for name, key in KEPT.items():
            setattr(self, name, _keeping(key, getattr(self, name)))

    def _governed(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        return _two_ways(original, partial(self._flow, name, original))

    def _refused(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        return _two_ways(original, partial(self._refusal, name, original))

    # The way of a call

    def _flow(
        self,
        name: str,
        original: Callable[..., Any],
        data: dict[str, Any],
        identity: Identity | None = None,
    ) -> Flow[Any]:
        if passage_of(data) is not None:
            # A call of the router's own, on the way of one that is governed.
            return (yield Send(original, data))
        passage = self._passage(data, GOVERNED[name], identity)
        return (yield from replying(passage, data, self._called(passage, original, data)))

    def _called(
        self, passage: RoutedPassage, original: Callable[..., Any], data: dict[str, Any]
    ) -> Flow[Any]:
        passage.admit(data)
        if passage.endpoint.operation == "moderation" and not self.get_model_list(model_name=data["model"]):
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

    def _refusal(
        self,
        name: str,
        original: Callable[..., Any],
        data: dict[str, Any],
        identity: Identity | None = None,
    ) -> Flow[Any]:
        passage = self._passage(data, name, identity)
        passage.refuse(_model(data), "unsupported_endpoint", f"`{name}` is not governed")
        return (yield Send(original, {**data, "litellm_call_id": Ticket(passage)}))

    def _passage(self, data: Mapping[str, Any], call: str, identity: Identity | None = None) -> RoutedPassage:
        return RoutedPassage(
            pep=self.pep,
            endpoint=ENDPOINTS.get(call, UNNAMED),
            identity=caller_of(self.pep.settings, data, identity),
            host="litellm-router",
            describe=self._describe,
            client_call_id=str(data.get("litellm_call_id") or ""),
            keys=frozenset(data),
        )

    def _describe(self, name: str) -> Mapping[str, Any]:
        """What all deployments of a model share: which of them is called is judged anew."""
        deployments = self.get_model_list(model_name=name)
        if not deployments:
            raise ValueError("the router has no such model")
        shared, *others = (entity_of(name, one).properties for one in deployments)
        return {key: value for key, value in shared.items() if all(one.get(key) == value for one in others)}

    # Where the router chooses

    @override
    async def async_callback_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[dict[str, Any]],
        messages: Any,
        parent_otel_span: Any,
        request_kwargs: dict[str, Any] | None = None,
        logging_obj: Any = None,
    ) -> list[dict[str, Any]]:
        """Narrow the deployments to those that are permitted, as callbacks narrow them."""
        left: list[dict[str, Any]] = await super().async_callback_filter_deployments(
            model, healthy_deployments, messages, parent_otel_span, request_kwargs, logging_obj
        )
        passage = self._passage_here(model, request_kwargs)
        asked = _asked.get() or {"messages": messages}
        return await arun(self._narrowed(passage, model, left, asked, request_kwargs))

    def _common_checks_available_deployment(self, model: str, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        name, found = super()._common_checks_available_deployment(model, *args, **kwargs)
        passage = _narrowing.get()
        if passage is None or not isinstance(found, list):
            return name, found
        asked = {key: kwargs.get(key) for key in ("messages", "input")}
        return name, run(self._narrowed(passage, name, found, asked, kwargs.get("request_kwargs")))

    def _narrowed(
        self,
        passage: RoutedPassage,
        name: str,
        found: list[Any],
        asked: Mapping[str, Any],
        given: Mapping[str, Any] | None,
    ) -> Flow[list[Any]]:
        entities = [entity_of(group_of(one, name), one) for one in found]
        data = passage.seen(asked, given or {})
        return (yield from passage.safely(passage.narrow(name, data, found, entities), found))

    def get_available_deployment(
        self,
        model: str,
        messages: Any = None,
        input: Any = None,
        specific_deployment: bool | None = False,  # noqa: FBT001, FBT002 -- LiteLLM's signature
        request_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Choose a deployment among the permitted ones, for a call that is governed.

        Raises:
            CallDenied: there is none, or the call must not be made.
        """
        passage = self._passage_here(model, request_kwargs)
        token = _narrowing.set(passage)
        try:
            chosen = super().get_available_deployment(
                model=model,
                messages=messages,
                input=input,
                specific_deployment=specific_deployment,
                request_kwargs=request_kwargs,
            )
        finally:
            _narrowing.reset(token)
        if _asked.get() is None:
            asked = {"messages": messages, "input": input}
            run(self._chosen(passage, model, chosen, asked, request_kwargs))
        return chosen

    async def async_get_available_deployment(
        self,
        model: str,
        request_kwargs: dict[str, Any],
        messages: Any = None,
        input: Any = None,
        specific_deployment: bool | None = False,  # noqa: FBT001, FBT002 -- LiteLLM's signature
    ) -> Any:
        """As `get_available_deployment`, without blocking the event loop on a remote engine."""
        passage = self._passage_here(model, request_kwargs)
        asked = {"messages": messages, "input": input}
        token = _asked.set(asked)
        try:
            chosen = await super().async_get_available_deployment(
                model=model,
                request_kwargs=request_kwargs,
                messages=messages,
                input=input,
                specific_deployment=specific_deployment,
            )
        finally:
            _asked.reset(token)
        await arun(self._chosen(passage, model, chosen, asked, request_kwargs))
        return chosen

    def get_available_deployment_for_pass_through(self, model: str, *args: Any, **kwargs: Any) -> Any:
        """Refuse: what passes through is not judged."""
        self._passage_here(model, None)
        return super().get_available_deployment_for_pass_through(model, *args, **kwargs)

    async def async_get_available_deployment_for_pass_through(
        self, model: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Refuse: what passes through is not judged."""
        self._passage_here(model, None)
        return await super().async_get_available_deployment_for_pass_through(model, *args, **kwargs)

    def _chosen(
        self,
        passage: RoutedPassage,
        name: str,
        chosen: Mapping[str, Any],
        asked: Mapping[str, Any],
        given: dict[str, Any] | None,
    ) -> Flow[None]:
        yield from passage.safely(passage.chosen(name, chosen, asked, {} if given is None else given), None)

    def _passage_here(self, model: str, given: Mapping[str, Any] | None) -> RoutedPassage:
        passage = passage_of(given)
        if isinstance(passage, RoutedPassage):
            return passage
        passage = self._passage(given or {}, "deployment")
        message = "a deployment is chosen for a call that nobody governs"
        passage.refuse(Entity(type="model", id=model), "unsupported_endpoint", message)
        return passage

    def _update_kwargs_with_deployment(
        self, deployment: dict[str, Any], kwargs: dict[str, Any], function_name: str | None = None
    ) -> None:
        super()._update_kwargs_with_deployment(
            deployment=deployment, kwargs=kwargs, function_name=function_name
        )
        passage = passage_of(kwargs)
        if isinstance(passage, RoutedPassage):
            passage.check_sent({**deployment["litellm_params"], **kwargs})

    def function_with_fallbacks(self, *args: Any, **kwargs: Any) -> Any:
        """Make a synchronous call, as LiteLLM does: on an event loop of its own, apart from a running one.

        Unlike LiteLLM's, its errors keep what led to them: that tells which of them can quote an answer.
        """
        return outside_of_loops(partial(self.async_function_with_fallbacks, *args, **kwargs))

    def _time_to_sleep_before_retry(self, e: Exception, *args: Any, **kwargs: Any) -> Any:
        if isinstance(e, CallDenied | Rerouted):
            raise e
        return super()._time_to_sleep_before_retry(e, *args, **kwargs)


class _Acting:
    """A router's governed calls, for one subject."""

    def __init__(self, router: PolicyRouter, identity: Identity) -> None:
        self._router = router
        self._identity = identity

    def __getattr__(self, name: str) -> Any:
        if name not in GOVERNED:
            raise AttributeError(f"`{name}` is no governed call of a router; call it within `acting_as`")
        return partial(getattr(self._router, name), **{_IDENTITY: self._identity})


_IDENTITY: Final = "checkrein_identity"
"""How `acting_as` hands the subject to a call."""


def _two_ways(original: Callable[..., Any], flow: Callable[..., Flow[Any]]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(original):

        @wraps(original)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            identity = kwargs.pop(_IDENTITY, None)
            return await arun(flow(bound(original, args, kwargs), identity))

        return awaited

    @wraps(original)
    def called(*args: Any, **kwargs: Any) -> Any:
        identity = kwargs.pop(_IDENTITY, None)
        return run(flow(bound(original, args, kwargs), identity))

    return called


def _is_routers(function: Callable[..., Any]) -> bool:
    """Whether a router made it: what applications hand to it has names of their own."""
    return function.__qualname__.startswith(f"{Router.__name__}.")


def _keeping(key: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that tells the call what it keeps to itself while a deployment is chosen."""

    @wraps(original)
    def told(*args: Any, **kwargs: Any) -> Any:
        passage = passage_of(kwargs)
        if isinstance(passage, RoutedPassage):
            passage.kept = {key: kwargs.get(key)}
        return original(*args, **kwargs)

    return told


def _model(data: Mapping[str, Any]) -> Entity:
    model = data.get("model")
    return Entity(type="model", id=model if isinstance(model, str) and model else "unknown")
