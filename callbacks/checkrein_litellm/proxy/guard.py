"""The guardrail and callback that a LiteLLM proxy loads."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from fastapi import HTTPException
from litellm.caching.dual_cache import DualCache
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.proxy._types import UserAPIKeyAuth
from litellm.types.guardrails import GuardrailEventHooks
from litellm.types.utils import CallTypes

from checkrein_litellm.denial import CallDenied, told_instead
from checkrein_litellm.withholding import withheld_from

from .boot import enforcement_point, stand_in_front
from .governor import Governor
from .logging_payload import log_admission, log_decisions
from .mcp_tools import TOOL_CALLS, Tools
from .telling import headers_of

__all__ = ["PolicyGuard"]

# They run beside or after the call: nothing could be stopped there.
_IDLE: Final = frozenset({GuardrailEventHooks.during_call, GuardrailEventHooks.logging_only})


class PolicyGuard(CustomGuardrail):
    """Asks policy before, at and after every call of a LiteLLM proxy; what no hook covers is denied.

        guardrails:
          - guardrail_name: checkrein
            litellm_params:
              guardrail: checkrein_litellm.PolicyGuard
              mode: [pre_call, post_call]
              default_on: true
              checkrein_config: checkrein.yaml

    Or, by a list of callbacks: see `checkrein_litellm.callback`.

    `checkrein_config` is relative to the proxy's configuration; without it, `CHECKREIN_CONFIG` names the
    settings. A setting, policy or option that cannot be used stops the proxy's boot.

    Whoever calls cannot switch it off. A key or team that LiteLLM's administrators took out of its guardrails
    (`disable_global_guardrails`) is judged all the same, unless the settings let it pass under `opt_outs`. A
    policy routes to no model that LiteLLM keeps from the caller's key, team or user. LiteLLM's health checks
    are calls of the user `litellm-internal-health-check`, which policy may permit.

    What LiteLLM shows to no hook, or to too few, is refused in front of the proxy's endpoints, unless the
    settings let it pass by name under `uncovered`; `checkrein check --litellm` lists the names. LiteLLM
    starts *without* a guardrail whose `mode` is missing or whose parameters it cannot parse itself: run
    `checkrein check --litellm config.yaml` before the proxy.

    Not to be subclassed: LiteLLM looks for some hooks on the registered class alone.
    """

    def __init__(
        self,
        guardrail_name: str | None = None,
        event_hook: Any = None,
        default_on: bool = False,  # noqa: FBT001, FBT002 -- LiteLLM's signature
        **options: Any,
    ) -> None:
        try:
            name = guardrail_name or "checkrein"
            pep = enforcement_point(event_hook, default_on=default_on, options=options)
            super().__init__(guardrail_name=name, event_hook=event_hook, default_on=True)
            self.governor = Governor(pep, name)
            self.tools = Tools(self.governor.asker)
            stand_in_front(self.governor.asker)
        except Exception as error:
            raise RuntimeError(f"checkrein does not start: {error}") from error

    def should_run_guardrail(self, data: Any, event_type: GuardrailEventHooks) -> bool:  # noqa: ARG002 -- nobody's data decides
        """Whether LiteLLM calls the hook: always, whatever a request, a key or a team says."""
        return event_type not in _IDLE

    async def async_pre_call_hook(
        self,
        user_api_key_dict: UserAPIKeyAuth,
        cache: DualCache,  # noqa: ARG002 -- LiteLLM's signature
        data: dict[str, Any],
        call_type: Any,
    ) -> dict[str, Any]:
        """Judge a request before it is routed."""
        name = call_type.value if isinstance(call_type, CallTypes) else str(call_type)
        try:
            if name in TOOL_CALLS:
                await self.tools.admit(user_api_key_dict, data, name)
            else:
                await self.governor.admit(user_api_key_dict, data, name)
        finally:
            log_admission(self, self.governor.asker.calls.of(data), data)
        return data

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: Any,  # noqa: ARG002 -- LiteLLM's signature
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,  # noqa: ARG002 -- LiteLLM's signature
    ) -> list[Any]:
        """Keep the permitted deployments; none to count tokens with: LiteLLM would send it the prompt."""
        if not request_kwargs:
            await self.governor.count(model)
            return healthy_deployments
        try:
            return await self.governor.narrow(model, healthy_deployments, request_kwargs)
        finally:
            self._log(request_kwargs)

    async def async_pre_call_deployment_hook(
        self, kwargs: dict[str, Any], call_type: CallTypes | None
    ) -> dict[str, Any]:
        """Judge what a deployment is about to get: on every attempt, retry and fallback."""
        try:
            await self.governor.attempt(kwargs, call_type.value if call_type is not None else "unknown")
        finally:
            self._log(kwargs)
        return kwargs

    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: UserAPIKeyAuth, response: Any
    ) -> Any:
        """Judge a whole answer."""
        try:
            return await self.governor.release(user_api_key_dict, data, response)
        finally:
            self._log(data)

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: UserAPIKeyAuth, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Hold a streamed answer back until it is judged."""
        try:
            async for chunk in self.governor.hold(user_api_key_dict, request_data, response):
                yield chunk
        finally:
            self._log(request_data)

    async def async_post_call_success_deployment_hook(
        self,
        request_data: dict[str, Any],  # noqa: ARG002 -- LiteLLM's signature
        response: Any,  # noqa: ARG002 -- LiteLLM's signature
        call_type: CallTypes | None,  # noqa: ARG002 -- LiteLLM's signature
    ) -> None:
        """Nothing: answers are judged once, and a denial here would cool the deployment down."""
        return

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: UserAPIKeyAuth,
        traceback_str: str | None = None,  # noqa: ARG002 -- LiteLLM's signature
    ) -> HTTPException | None:
        """Tell the caller of a denial that came after another failure, and nothing that nobody judged."""
        call = self.governor.asker.calls.failed(request_data, user_api_key_dict)
        if call is None or isinstance(original_exception, CallDenied):
            return None
        if call.denial is not None:
            return told_instead(call.denial)
        withheld = withheld_from(original_exception) if self.governor.withholds(call) else None
        if withheld is not None:
            call.withheld = withheld
        return withheld

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: UserAPIKeyAuth,
        response: Any,  # noqa: ARG002 -- LiteLLM's signature
        request_headers: dict[str, str] | None = None,  # noqa: ARG002 -- LiteLLM's signature
        litellm_call_info: dict[str, object] | None = None,  # noqa: ARG002 -- LiteLLM's signature
    ) -> dict[str, str] | None:
        """Name the call and, where the headers leave after the verdict, the last decision."""
        calls = self.governor.asker.calls
        call = calls.of(data) or calls.failed(data, user_api_key_dict)
        if call is None or call.last is None:
            return None
        return headers_of(call)

    def _log(self, data: dict[str, Any]) -> None:
        log_decisions(self, self.governor.asker.calls.of(data), data)
