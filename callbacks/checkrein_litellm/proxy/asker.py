"""Puts a call's questions to the enforcement point, and ends the call when an answer is a denial."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from litellm.proxy._types import UserAPIKeyAuth

from checkrein import AccessRequest, Decision, EnforcementPoint, Entity, Stage
from checkrein.errors import RequestError
from checkrein.ids import new_id
from checkrein_litellm import facts
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.endpoints import UNNAMED, Endpoint
from checkrein_litellm.text.surfaces import Surfaces

from .calls import Call, Calls
from .identity import authenticated, identity_of
from .keeping import keep_nothing, mute
from .opt_outs import opted_out
from .telling import let_in, remember_call

__all__ = ["Asker", "model_entity", "resource_of"]

_log = logging.getLogger("checkrein.litellm")
_NOTHING: Final = Surfaces()
_BEFORE: Final = frozenset({Stage.MODEL_SELECTION, Stage.PRE_PROMPT})
# A header has its limits.
_MOST_REASONS: Final = 8


class Asker:
    """Asks about calls.

    Args:
        pep: the enforcement point.

    Attributes:
        calls: those under way.
    """

    def __init__(self, pep: EnforcementPoint) -> None:
        self.pep = pep
        self.calls = Calls()

    def begin(
        self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], endpoint: Endpoint = UNNAMED
    ) -> Call:
        """Begin a call, and remember it for the hooks to come.

        Args:
            key: what the proxy authenticated; None for a call of its own.
            data: the request.
            endpoint: what kind of call it is.
        """
        own, theirs = _call_ids(data)
        call = Call(
            call_id=let_in() or own,
            key=key,
            endpoint=endpoint,
            identity=identity_of(key, data, self.pep.settings.identity.get("litellm")),
            environment=facts.environment(key, theirs),
            usage=facts.usage_of(key),
        )
        self.calls.remember(data, call)
        remember_call(call)
        return call

    async def ask(  # noqa: PLR0913 -- the parts of one question
        self,
        call: Call,
        stage: Stage,
        about: str | Entity,
        surfaces: Surfaces,
        *,
        context: Mapping[str, Any],
        supports: frozenset[str],
    ) -> Decision:
        """Ask for a decision.

        Args:
            call: whose it is.
            stage: where in the call.
            about: a model group's name, or another resource.
            surfaces: the texts.
            context: the stage's own facts.
            supports: obligations that can be carried out.

        Raises:
            CallDenied: it is a denial.
        """
        resource = about if isinstance(about, Entity) else model_entity(about)
        if surfaces.uninspected:
            context = {**context, "uninspected": surfaces.uninspected}
        request = _request(call, stage, resource, context, surfaces, supports)
        return self._hold(call, await self.pep.adecide(request, facts.model_properties))

    async def choose(self, call: Call, question: AccessRequest, candidates: Sequence[Entity]) -> Decision:
        """Ask which of several deployments a call may go to.

        Raises:
            CallDenied: to none.
        """
        return self._hold(call, await self.pep.afilter_candidates(question, candidates))

    def write(self, call: Call, decision: Decision, change: Callable[[], None]) -> None:
        """Let the host write a decision's changes.

        Raises:
            CallDenied: it could not.
        """
        if not decision.enforced:
            return
        failed: Exception | None = None
        try:
            if decision.changes.no_store and decision.request.stage not in _BEFORE:
                keep_nothing(call)
            change()
        except Exception as error:  # noqa: BLE001 -- whatever it is, what the permit is bound to does not hold
            failed = error
        if failed is not None:
            self._hold(call, self.pep.report_failure(decision, failed))

    def refuse(
        self, call: Call, resource: Entity, code: str, message: str, stage: Stage = Stage.PRE_PROMPT
    ) -> None:
        """Deny what no engine can be asked; under monitor the call passes, unjudged from here on.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        self.object_to(call, resource, code, message, stage)
        call.let_pass = True

    def object_to(self, call: Call, resource: Entity, code: str, message: str, stage: Stage) -> None:
        """Deny what no engine is asked about; under monitor the call goes on, and is judged as any other.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        request = _request(call, stage, resource, {}, _NOTHING, frozenset())
        self._hold(call, self.pep.refuse(request, code, message))

    def let_pass(self, call: Call, resource: Entity, name: str) -> None:
        """Let a call of what no hook covers pass unjudged from here on, and put it on record.

        Raises:
            CallDenied: the log is required and has no room.
        """
        self._pass(call, resource, f"uncovered.{name}", f"`{name}` passes unjudged: the settings allow it")

    def heed_opt_out(self, call: Call, resource: Entity) -> bool:
        """Let a call pass whose key or team is out of the guardrails, where the settings heed that.

        Returns:
            Whether it passes unjudged.

        Raises:
            CallDenied: the log is required and has no room.
        """
        who = opted_out(call.key, self.pep.settings.opt_outs)
        if who is not None:
            message = f"the {who} opts out of guardrails: the settings allow it"
            self._pass(call, resource, f"opted_out.{who}", message)
        return who is not None

    async def safely(self, data: MutableMapping[str, Any], flow: Awaitable[None]) -> None:
        """Run one hook's flow; what the guard itself fails at denies, and is recorded.

        Raises:
            CallDenied: the call must not go on.
        """
        failed: Exception | None = None
        try:
            await flow
        except CallDenied:
            raise
        except Exception as error:  # noqa: BLE001 -- a bug of ours must not open, nor look like an outage
            failed = error
        if failed is None:
            return
        call = self.calls.of(data) or self.begin(authenticated(data), data)
        if isinstance(failed, RequestError):
            self.refuse(call, resource_of(data, "request"), failed.code, failed.message)
            return
        # Neither the error's text nor its values: they can hold a piece of the prompt.
        place = traceback.extract_tb(failed.__traceback__)[-1]
        kind = type(failed).__name__
        _log.error("the guard failed with `%s` at %s:%s", kind, place.filename, place.lineno)
        self.refuse(call, resource_of(data, "request"), "failure.host_error", f"`{kind}` in the guard")

    def stand(self, call: Call) -> Call:
        """Deny once more what was denied before: nobody routes around a denial.

        Raises:
            CallDenied: the call was denied.
        """
        if call.denial is not None:
            raise CallDenied(call.denial)
        return call

    def note(self, call: Call, decision: Decision) -> None:
        """Remember a decision for what callers and LiteLLM's logs are told of the call."""
        call.last = decision
        call.unlogged.append(decision)
        call.failed_open = call.failed_open or decision.failed_open
        if not decision.permitted and not decision.enforced:
            call.would_deny += [reason.code for reason in decision.reasons[:_MOST_REASONS]]

    def _pass(self, call: Call, resource: Entity, code: str, message: str) -> None:
        request = _request(call, Stage.PRE_PROMPT, resource, {}, _NOTHING, frozenset())
        self._hold(call, self.pep.pass_unjudged(request, code, message))
        call.let_pass = True

    def _hold(self, call: Call, decision: Decision) -> Decision:
        self.note(call, decision)
        if decision.denied:
            if decision.changes.no_store:
                mute(call)
            call.denial = decision
            raise CallDenied(decision)
        return decision


def model_entity(name: str) -> Entity:
    """A model group, as policies see it."""
    return Entity(type="model", id=name, properties=facts.model_properties(name))


def resource_of(data: Mapping[str, Any], call_type: str) -> Entity:
    """What a request asks for, as far as it says."""
    model = data.get("model")
    if isinstance(model, str) and model:
        return Entity(type="model", id=model)
    return Entity(type="endpoint", id=call_type)


def _request(  # noqa: PLR0913, PLR0917 -- the parts of one question
    call: Call,
    stage: Stage,
    resource: Entity,
    context: Mapping[str, Any],
    surfaces: Surfaces,
    supports: frozenset[str],
) -> AccessRequest:
    return AccessRequest(
        stage=stage,
        subject=call.identity.subject,
        resource=resource,
        context={"operation": call.endpoint.operation, "environment": dict(call.environment), **context},
        segments=tuple(surfaces.segments),
        supports=supports,
        call_id=call.call_id,
        attempt=max(call.attempt, 1),
        identity=call.identity.facts,
    )


def _call_ids(data: Mapping[str, Any]) -> tuple[str, str | None]:
    """Our id of the call, and the one that its caller chose, if it did."""
    request = data.get("proxy_server_request")
    headers = request.get("headers") if isinstance(request, Mapping) else None
    names = {str(name).lower() for name in headers} if isinstance(headers, Mapping) else set()
    known = data.get("litellm_call_id")
    if not isinstance(known, str) or not known:
        return new_id(), None
    # Two calls could share an id that a caller chose.
    return (new_id(), known) if "x-litellm-call-id" in names else (known, None)
