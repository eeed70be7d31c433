"""Routes: a model that policy names instead is asked about itself, and no circle is closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from .concluding import Concluder, denied
from .decision import Decision
from .flow import Flow
from .ids import with_call_id
from .vocabulary import AccessRequest, Entity, Obligation, Stage

__all__ = ["DescribeModel", "follow"]

_MAX_HOPS: Final = 3

DescribeModel = Callable[[str], Mapping[str, Any]]


def follow(core: Concluder, request: AccessRequest, describe: DescribeModel | None) -> Flow[Decision]:
    """Conclude, and follow routes: a target is asked for as a model, then for the stage itself again.

    Args:
        core: concludes on each hop.
        request: the question.
        describe: gives the properties of a model that a policy routes to.
    """
    request = with_call_id(request)
    original, final, asked = request.resource.id, request.stage, [request.resource.id]
    carried: tuple[Obligation, ...] = ()
    while True:
        at_end = request.stage is final
        hop = yield from core.hop(request, carried if at_end else ())
        decision, plan = hop.decision, hop.plan
        if decision.denied or (at_end and plan is None):
            return core.record(_with_model(decision, original))
        target = plan.route if plan else None
        if plan is not None and decision.obligations:
            own = tuple(one.obligation for one in decision.obligations if one.obligation.type != "route")
            carried = own if at_end else (*carried, *own)
        if target in (None, request.resource.id):
            if at_end:
                return core.record(_with_model(decision, original))
            core.record(decision)
            request = replace(request, stage=final)
            continue
        if target in asked or len(asked) > _MAX_HOPS:
            return core.record(denied(decision, "route_loop", f"`{target}` closes or extends a loop"))
        try:
            properties = dict(describe(target)) if describe else {}
        except Exception as error:  # noqa: BLE001 -- a host that cannot describe a model denies it
            message = f"`{type(error).__name__}` while describing `{target}`"
            return core.record(denied(decision, "obligation_failed", message))
        core.record(decision)
        asked.append(target)
        resource = Entity(type="model", id=target, properties=properties)
        request = replace(request, resource=resource, stage=Stage.MODEL_SELECTION, action="")


def _with_model(decision: Decision, original: str) -> Decision:
    """Tell the host to call the model that routes led to; a denial changes nothing."""
    model = decision.request.resource.id
    if decision.denied or model == original:
        return decision
    return replace(decision, changes=replace(decision.changes, model=model))
