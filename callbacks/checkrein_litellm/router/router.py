"""A LiteLLM router whose calls are governed, the synchronous ones too; policy narrows what it chooses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from litellm.router import Router
from typing_extensions import override

from checkrein import EnforcementPoint, Entity
from checkrein.flow import arun, run
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.endpoints import STAGES
from checkrein_litellm.sdk.identity import bound_identity
from checkrein_litellm.sdk.tickets import passage_of

from .attempt import Rerouted, RoutedPassage
from .loops import outside_of_loops
from .methods import GOVERNED, KEPT, REFUSED
from .race import Race
from .routed_call import RoutedCalls
from .wrapping import Acting, is_routers, keeping, two_ways

__all__ = ["PolicyRouter"]

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
        self._calls = RoutedCalls(self, pep)
        super().__init__(*router, **more)

    def acting_as(self, user: Entity | str) -> Acting:
        """The router's governed calls, made for a subject, whatever thread or task makes them.

        Args:
            user: who acts; a string is the id of a `user`.
        """
        return Acting(self, bound_identity(user))

    @override
    async def abatch_completion_fastest_response(self, *args: Any, **kwargs: Any) -> Any:
        """Ask several models at once for one answer, the fastest of those that are permitted.

        Raises:
            CallDenied: none answered, and one was denied: the first of those.
        """
        return await Race(self).run(*args, **kwargs)

    # What the router sets up for itself

    def initialize_router_endpoints(self) -> None:
        """Set the calls up, each of them governed or refused."""
        super().initialize_router_endpoints()  # type: ignore[no-untyped-call]
        made = [name for name, one in vars(self).items() if inspect.isfunction(one) and is_routers(one)]
        for name in {*made, *REFUSED} - {*GOVERNED}:
            setattr(self, name, self._refused(name, getattr(self, name)))
        for name in GOVERNED:
            setattr(self, name, self._governed(name, getattr(self, name)))
        for name, key in KEPT.items():
            setattr(self, name, keeping(key, getattr(self, name)))

    def _governed(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        return two_ways(original, partial(self._calls.flow, name, original))

    def _refused(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        return two_ways(original, partial(self._calls.refusal, name, original))

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
        passage = self._calls.passage_here(model, request_kwargs)
        asked = _asked.get() or {"messages": messages}
        return await arun(self._calls.narrowed(passage, model, left, asked, request_kwargs))

    def _common_checks_available_deployment(self, model: str, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        name, found = super()._common_checks_available_deployment(model, *args, **kwargs)
        passage = _narrowing.get()
        if passage is None or not isinstance(found, list):
            return name, found
        asked = {key: kwargs.get(key) for key in ("messages", "input")}
        return name, run(self._calls.narrowed(passage, name, found, asked, kwargs.get("request_kwargs")))

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
        passage = self._calls.passage_here(model, request_kwargs)
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
            run(self._calls.chosen(passage, model, chosen, asked, request_kwargs))
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
        passage = self._calls.passage_here(model, request_kwargs)
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
        await arun(self._calls.chosen(passage, model, chosen, asked, request_kwargs))
        return chosen

    def get_available_deployment_for_pass_through(self, model: str, *args: Any, **kwargs: Any) -> Any:
        """Refuse: what passes through is not judged."""
        self._calls.passage_here(model, None)
        return super().get_available_deployment_for_pass_through(model, *args, **kwargs)

    async def async_get_available_deployment_for_pass_through(
        self, model: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Refuse: what passes through is not judged."""
        self._calls.passage_here(model, None)
        return await super().async_get_available_deployment_for_pass_through(model, *args, **kwargs)

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
