"""The deployments behind a model's name, as policies see them, and which of them a call may choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from checkrein import Decision, Entity

from . import facts

__all__ = ["deployment_of", "entity_of", "group_of", "id_of", "narrowed"]

_PRICES: Final = (("input_price", "input_cost_per_token"), ("output_price", "output_cost_per_token"))
# The operator's word about a deployment first, then where its provider is told to answer.
_REGIONS: Final = ("region_name", "aws_region_name", "vertex_location", "watsonx_region_name")


def entity_of(name: str, deployment: Mapping[str, Any]) -> Entity:
    """A deployment, as a policy sees it: the model by the name that it is called by, and what is its own.

    Its properties are `deployment` (its id), `provider`, `input_price` and `output_price` (micro-USD per
    million tokens), `region` and `size`; what is unknown is absent.

    Args:
        name: the model's name: rules about a model hold for each of its deployments.
        deployment: as in a router's `model_list`.
    """
    params, info = _part(deployment, "litellm_params"), _part(deployment, "model_info")
    properties: dict[str, Any] = {}
    if id_of(deployment):
        properties["deployment"] = id_of(deployment)
    if provider := facts.provider_of(params):
        properties["provider"] = provider
    for key, cost in _PRICES:
        price = facts.price_of(deployment, cost)
        if price is not None:
            properties[key] = price
    regions = [info.get("region"), *(params.get(key) for key in _REGIONS)]
    region = next((one for one in regions if isinstance(one, str) and one), None)
    if region:
        properties["region"] = region
    if isinstance(info.get("size"), str) and info["size"]:
        properties["size"] = info["size"]
    return Entity(type="model", id=name, properties=properties)


def narrowed(decision: Decision, deployments: Sequence[Any]) -> list[Any]:
    """The deployments that may be chosen.

    Args:
        decision: on all of them, in their order.
        deployments: as LiteLLM has them.
    """
    return [
        one
        for one, candidate in zip(deployments, decision.candidates, strict=True)
        if candidate.permitted or not candidate.enforced
    ]


def id_of(deployment: Mapping[str, Any]) -> str:
    """The id that a router gave a deployment; empty where it has none."""
    found = _part(deployment, "model_info").get("id")
    return str(found) if found else ""


def group_of(deployment: Mapping[str, Any], asked: str) -> str:
    """The name that policies know a deployment's model by.

    Args:
        deployment: as LiteLLM has it.
        asked: the name that was asked for, which a wildcard stands for.
    """
    public = _part(deployment, "model_info").get("team_public_model_name")
    name = public if isinstance(public, str) and public else str(deployment.get("model_name") or asked)
    return asked if "*" in name else name


def deployment_of(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The deployment that a router chose, from what it wrote down for it.

    Args:
        kwargs: what the deployment is about to be called with.
    """
    for bucket in ("litellm_metadata", "metadata"):
        info = _part(_part(kwargs, bucket), "model_info")
        if info:
            return {"litellm_params": {**kwargs}, "model_info": info}
    return {"litellm_params": {**kwargs}, "model_info": _part(kwargs, "model_info")}


def _part(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, Mapping) else {}
