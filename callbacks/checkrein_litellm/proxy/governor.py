"""The way of a call through the proxy: judged before it is routed, at every deployment, and at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, MutableMapping
from copy import deepcopy
from functools import partial
from typing import Any, Final

from litellm.proxy._types import UserAPIKeyAuth

from checkrein import EnforcementPoint, Stage
from checkrein.modes import can_stand
from checkrein_litellm import facts
from checkrein_litellm.endpoints import ENDPOINTS, STAGES, UNNAMED, Endpoint
from checkrein_litellm.text.request_fields import models_of, problem_of, text_keys

from .answer_stream import held_back
from .answers import Answers
from .asked import Asked, prompt_as_message
from .asker import Asker, resource_of
from .calls import Call
from .fallbacks import select_fallbacks
from .gate import passing
from .keeping import keeper_of
from .late import begin_late
from .mcp_tools import TOOL_CALLS
from .narrowing import narrow, unjudged
from .reply_form import form_of
from .requests import Requests
from .uncovered import allowed, uncovered_call
from .unseen import has_body, is_form, own_key

__all__ = ["Governor"]

_UNKNOWN: Final = "unknown"


class Governor:
    """Judges calls at the hooks of LiteLLM, and carries out what the decisions say.

    Args:
        pep: the enforcement point.
        guardrail: this guardrail's name in the proxy's configuration.
    """

    def __init__(self, pep: EnforcementPoint, guardrail: str) -> None:
        self.asker = Asker(pep)
        self._requests = Requests(self.asker)
        self._answers = Answers(self.asker)
        self._guardrail = guardrail

    async def admit(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], call_type: str) -> None:
        """Judge a request before it is routed; writes the changes into it.

        Raises:
            CallDenied: the call must not go on.
        """
        await self.asker.safely(data, self._admit(key, data, call_type))

    async def attempt(self, kwargs: MutableMapping[str, Any], call_type: str) -> None:
        """Judge what is about to be sent to a deployment, on every try, unless it was permitted just so.

        Raises:
            CallDenied: it must not be sent.
        """
        await self.asker.safely(kwargs, self._attempt(kwargs, call_type))

    async def count(self, model: str) -> None:
        """Refuse a deployment to whoever would count tokens with it.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        data = {"model": model}
        call = self.asker.begin(None, data, UNNAMED)
        self.asker.refuse(call, resource_of(data, "count"), "unsupported_endpoint", "a count of tokens")

    async def narrow(self, model: str, deployments: list[Any], kwargs: MutableMapping[str, Any]) -> list[Any]:
        """Keep the deployments that policy lets a call choose from; the chosen one is judged when called.

        Raises:
            CallDenied: there is none.
        """
        call = self.asker.calls.of(kwargs)
        if call is None:
            return deployments
        left = list(deployments)

        async def narrowed() -> None:
            left[:] = await narrow(self.asker, call, model, deployments)

        await self.asker.safely(kwargs, narrowed())
        return left

    async def release(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], answer: Any) -> Any:
        """Judge a whole answer; gives what may be given out.

        Raises:
            CallDenied: it must not be given out.
        """
        # What LiteLLM keeps in its cache of some endpoints is this very mapping.
        own = deepcopy(answer) if isinstance(answer, Mapping) else answer
        await self.asker.safely(data, self._answers.release(key, data, own))
        return own

    async def hold(
        self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], stream: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        """Give a stream out as far as policy lets it leave: when it has ended, or piece by piece.

        Raises:
            CallDenied: nothing more of it must be given out.
        """
        call = self._answers.answered(key, data)
        async for chunk in held_back(self.asker, call, data, stream):
            yield chunk

    def withholds(self, call: Call) -> bool:
        """Whether a denial of the answer could stand: what quotes it is withheld then."""
        judged = call.endpoint.answers and not call.let_pass and call.attempt > 0
        rules = self.asker.pep.settings.enforcement
        return judged and can_stand(rules, Stage.POST_COMPLETION, call.identity.subject)

    async def _admit(
        self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], call_type: str
    ) -> None:
        endpoint = ENDPOINTS.get(call_type, UNNAMED)
        call = self.asker.begin(key, data, endpoint)
        self._prepare_reply(call, data)
        if not self._opened(call, call_type, data):
            return
        if self.asker.heed_opt_out(call, resource_of(data, call_type)):
            return
        problem = problem_of(data, endpoint, self._guardrail) or _unread(data, endpoint)
        if problem is not None:
            self.asker.refuse(call, resource_of(data, call_type), *problem)
            return
        call.keys = tuple(text_keys(data, endpoint))
        call.own_key = own_key(data)
        call.is_record = "proxy_server_request" not in data and "litellm_logging_obj" not in data
        names = [facts.model_name(name) for name in models_of(data)] or [_UNKNOWN]
        with prompt_as_message(data, endpoint):
            asked = [Asked(name, STAGES[:2], endpoint, call.keys, routable=len(names) == 1) for name in names]
            models = [await self._requests.judge(call, data, one) for one in asked]
            content = self._requests.content(data, endpoint)
            call.permitted = dict.fromkeys(models, content)
            if not endpoint.raw:
                await select_fallbacks(
                    self.asker, call, data, asked[0], partial(self._requests.read, call, asked=asked[0])
                )
        call.models = tuple(models) if len(models) > 1 else ()
        call.keeper = keeper_of(data, endpoint)

    def _prepare_reply(self, call: Call, data: Mapping[str, Any]) -> None:
        wanted = self.asker.pep.settings.denials.on_denied == "reply" and not call.endpoint.raw
        # Several models answer with a list, and a record of a batch's file is no request.
        if wanted and len(models_of(data)) == 1 and "proxy_server_request" in data:
            call.reply = form_of(call.endpoint.operation, data)

    def _opened(self, call: Call, call_type: str, data: Mapping[str, Any]) -> bool:
        """Whether a call is judged: not what the settings let pass, and not what nobody governs.

        Raises:
            CallDenied: nobody governs it, and nothing lets it pass.
        """
        name = uncovered_call(call_type)
        if name is None and call.endpoint is not UNNAMED:
            return True
        # The gate has put it on record already, unless it took the address for another endpoint's.
        if passing() is None or name not in {None, passing()}:
            resource = resource_of(data, call_type)
            if not allowed(self.asker.pep.settings.uncovered, name):
                code = "unsupported_endpoint" if name is None else f"uncovered.{name}"
                self.asker.refuse(call, resource, code, f"`{call_type}` is not governed")
                return False
            self.asker.let_pass(call, resource, str(name))
        call.let_pass = call.endpoint is UNNAMED
        return not call.let_pass

    async def _attempt(self, kwargs: MutableMapping[str, Any], call_type: str) -> None:
        if call_type in TOOL_CALLS:
            return  # judged when LiteLLM knows which tool is meant, right before it is called
        endpoint = ENDPOINTS.get(call_type, UNNAMED)
        call = self.asker.calls.of(kwargs)
        if call is None:
            call = begin_late(self.asker, kwargs, call_type, self._guardrail)
        self.asker.stand(call)
        if call.let_pass:
            return
        if call.permitted and endpoint is not call.endpoint:
            await self._requests.bridge(call, kwargs, endpoint)
            return
        call.attempt += 1
        if endpoint.operation == "generate_content":
            self.asker.calls.lead(kwargs, call)
        if endpoint is UNNAMED:
            if passing() is not None:
                return
            message = f"`{call_type}` is not governed"
            self.asker.refuse(call, resource_of(kwargs, call_type), "unsupported_endpoint", message)
            return
        model = facts.called_model(kwargs)
        content = self._requests.content(kwargs, endpoint)
        deployment = unjudged(call, model, kwargs, content)
        known = model in call.permitted
        if known and deployment is None and call.permitted[model] == content:
            call.model = model
            return
        stages = STAGES[1:2] if known and deployment is None else STAGES[:2]
        asked = Asked(model, stages, endpoint, call.keys, deployment=deployment)
        selected = call.selected.pop((model, content), None) if deployment is None else None
        await self._requests.judge(call, kwargs, asked, selected)
        content = self._requests.content(kwargs, endpoint)
        call.permitted[model] = content
        if deployment is not None:
            call.judged[deployment.properties["deployment"]] = content


def _unread(data: Mapping[str, Any], endpoint: Endpoint) -> tuple[str, str] | None:
    """Why a body that goes on as it is cannot be governed, as a reason's code and message; None if it can."""
    if endpoint.raw and is_form():
        return "unsupported_request.form", "a form would go on without having been read"
    if endpoint.raw and has_body() and "model" not in data and not text_keys(data, endpoint):
        return "unsupported_request.body", "the body would go on without having been read"
    return None
