"""The deployments behind a model's name, as policies see them, and which of them a call may choose from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import litellm

from checkrein import Decision, Entity

__all__ = ["entity_of", "group_of", "id_of", "narrowed", "shared"]

_PRICES: Final = (("input_price", "input_cost_per_token"), ("output_price", "output_cost_per_token"))
# USD per token -> micro-USD per million tokens.
_PRICE_SCALE: Final = 10**12
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
    if provider := _provider(params):
        properties["provider"] = provider
    costs = _costs(params, info)
    for key, cost in _PRICES:
        price = _price(costs[cost])
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


def shared(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several deployments of a model share; of prices that all of them have, the dearest.

    Args:
        several: the properties of each.
    """
    if not several:
        return {}
    prices = [name for name, _ in _PRICES]
    found = {
        key: value
        for key, value in several[0].items()
        if key not in prices and all(one.get(key) == value for one in several)
    }
    for name in prices:
        known = [one[name] for one in several if name in one]
        if len(known) == len(several):
            found[name] = max(known)
    return found


def _provider(params: Mapping[str, Any]) -> str | None:
    try:
        _, provider, _, _ = litellm.get_llm_provider(
            model=str(params.get("model")),
            custom_llm_provider=params.get("custom_llm_provider"),
            api_base=params.get("api_base"),
        )
    except Exception:  # noqa: BLE001 -- LiteLLM raises what it likes for a provider that it does not know
        return None
    return provider or None


def _costs(params: Mapping[str, Any], info: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a token costs: as the operator says, else as LiteLLM knows it."""
    told = {cost: params[cost] if params.get(cost) is not None else info.get(cost) for _, cost in _PRICES}
    if None not in told.values():
        return told
    try:
        listed = litellm.get_model_info(model=str(params.get("model")))
    except Exception:  # noqa: BLE001 -- a model that is not mapped raises, its price is unknown
        return told
    # A model that the router registered itself, without a price, is told to cost nothing.
    return {cost: (listed.get(cost) or None) if one is None else one for cost, one in told.items()}


def _price(cost: Any) -> int | None:
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not math.isfinite(cost) or cost < 0:
        return None
    return round(cost * _PRICE_SCALE)


def _part(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, Mapping) else {}
