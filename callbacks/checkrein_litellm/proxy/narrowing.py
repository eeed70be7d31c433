"""Which deployments of a model a call of the proxy may go to: narrowed at once, judged one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from checkrein import Entity, Stage
from checkrein_litellm import facts
from checkrein_litellm.deployments import entity_of, group_of, id_of, narrowed
from checkrein_litellm.text.surfaces import Content

from .asker import Asker
from .calls import Call

__all__ = ["narrow", "unjudged"]

_BEFORE: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT)


async def narrow(asker: Asker, call: Call, model: str, deployments: Sequence[Any]) -> list[Any]:
    """Keep the deployments that policy lets a call choose from: one decision on all of them.

    The question is the one that the call was admitted with, about each of them.

    Args:
        asker: asks.
        call: one that was admitted.
        model: the model group that was asked for.
        deployments: those that the router would choose from; one alone is judged when it is called.

    Raises:
        CallDenied: there is none.
    """
    asker.stand(call)
    asked = call.last.request if call.last is not None else None
    if call.let_pass or not call.permitted or asked is None or asked.stage not in _BEFORE:
        return list(deployments)
    if len(deployments) < 2:  # noqa: PLR2004 -- a choice
        return list(deployments)
    names = [group_of(one, model) for one in deployments]
    question = replace(
        asked,
        stage=Stage.MODEL_SELECTION,
        action="",
        resource=Entity(type="model", id=model),
        attempt=call.attempt + 1,
    )
    entities = [entity_of(name, one) for name, one in zip(names, deployments, strict=True)]
    return narrowed(await asker.choose(call, question, entities), deployments)


def unjudged(call: Call, model: str, kwargs: Mapping[str, Any], content: Content) -> Entity | None:
    """The deployment that is about to be called, if policy has not been asked about it as it is.

    Args:
        call: the call.
        model: the model group.
        kwargs: what the deployment is called with.
        content: its prompt.
    """
    only = facts.only_deployment(model, kwargs)
    if only is not None:
        call.deployment = entity_of(model, only)
        return None
    called = facts.called_deployment(kwargs)
    call.deployment = None if called is None else entity_of(model, called)
    if call.deployment is None or call.deployment.properties == facts.model_properties(model):
        return None  # the only one of its group
    return None if call.judged.get(id_of(called or {})) == content else call.deployment
