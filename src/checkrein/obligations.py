"""Obligations: which are known, what makes one well-formed, how several merge (AuthZEN obligations profile).

One that is unknown, malformed, not allowed at the stage or not supported by the host turns a permit into a
denial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .vocabulary import Obligation, Reason, Stage

__all__ = ["ObligationProblem", "Plan", "allowed_at", "merge"]

_TEXT_STAGES: Final = frozenset(stage for stage in Stage if stage.has_text)
_REQUEST_STAGES: Final = frozenset({Stage.MODEL_SELECTION, Stage.PRE_PROMPT})
_ALLOWED_AT: Final[Mapping[str, frozenset[Stage]]] = {
    "redact": _TEXT_STAGES,
    "replace": _TEXT_STAGES,
    "limit_tokens": _REQUEST_STAGES,
    "remove_tools": _REQUEST_STAGES,
    "set_parameters": _REQUEST_STAGES,
    "route": _REQUEST_STAGES,
    "no_store": frozenset(Stage),
    "require_approval": frozenset({Stage.TOOL_CALL}),
}
# What a policy may not set: what is called, with what, by which credentials, at which address.
_FORBIDDEN_PARAMETERS: Final = frozenset(
    {
        "api_base",
        "api_key",
        "api_version",
        "base_url",
        "custom_llm_provider",
        "extra_body",
        "extra_headers",
        "headers",
        "messages",
        "model",
        "prompt",
        "stream",
        "tools",
    }
)


def allowed_at(stage: Stage) -> frozenset[str]:
    """The obligation types that can be carried out at a stage, by a host that supports them."""
    return frozenset(kind for kind, stages in _ALLOWED_AT.items() if stage in stages)


class ObligationProblem(Exception):  # noqa: N818 -- caught by the outcome table, never seen outside
    """An obligation that cannot hold; `code` is the denial's reason."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    @property
    def reason(self) -> Reason:
        """The reason of the denial that it makes of a permit."""
        return Reason(code=self.code, message=self.detail)


@dataclass(slots=True)
class Plan:
    """What all obligations of a permit come to together."""

    redact: set[str] = field(default_factory=set)
    replace: str | None = None
    max_tokens: int | None = None
    remove_tools: set[str] = field(default_factory=set)
    parameters: dict[str, Any] = field(default_factory=dict)
    route: str | None = None
    no_store: bool = False
    approvers: list[Any] = field(default_factory=list)


def merge(
    obligations: Sequence[Obligation],
    *,
    stage: Stage,
    supports: frozenset[str],
    detected: frozenset[str],
) -> Plan:
    """Merge obligations into one plan.

    Args:
        obligations: in the engines' order.
        stage: where they are to be carried out.
        supports: obligation types that the host can carry out.
        detected: finding types whose detectors ran.

    Raises:
        ObligationProblem: `unsupported_obligation` or `conflicting_obligations`.
    """
    plan = Plan()
    for obligation in obligations:
        allowed = _ALLOWED_AT.get(obligation.type)
        if allowed is None:
            raise ObligationProblem("unsupported_obligation", f"obligation `{obligation.type}` is unknown")
        if stage not in allowed:
            raise ObligationProblem(
                "unsupported_obligation", f"obligation `{obligation.type}` is not for stage `{stage}`"
            )
        if obligation.type != "no_store" and obligation.type not in supports:
            raise ObligationProblem(
                "unsupported_obligation", f"this host cannot carry out `{obligation.type}` at `{stage}`"
            )
        _MERGERS[obligation.type](plan, _properties(obligation))
    missing = plan.redact - detected
    if missing:
        raise ObligationProblem(
            "unsupported_obligation",
            f"no detector ran for `{min(missing)}`; name it under `detectors.{stage}`",
        )
    return plan


_KEYS: Final[Mapping[str, frozenset[str] | None]] = {
    "redact": frozenset({"types"}),
    "replace": frozenset({"text"}),
    "limit_tokens": frozenset({"max_tokens"}),
    "remove_tools": frozenset({"names"}),
    "set_parameters": None,
    "route": frozenset({"model"}),
    "no_store": frozenset(),
    "require_approval": frozenset({"approvers"}),
}


def _properties(obligation: Obligation) -> Mapping[str, Any]:
    keys = _KEYS[obligation.type]
    properties = obligation.properties
    if keys is not None and set(properties) != keys:
        raise _malformed(obligation.type)
    return properties


def _malformed(kind: str) -> ObligationProblem:
    return ObligationProblem("unsupported_obligation", f"obligation `{kind}` is malformed")


def _names(kind: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not value:
        raise _malformed(kind)
    if not all(isinstance(name, str) and name for name in value):
        raise _malformed(kind)
    return list(value)


def _redact(plan: Plan, properties: Mapping[str, Any]) -> None:
    plan.redact.update(_names("redact", properties["types"]))


def _replace(plan: Plan, properties: Mapping[str, Any]) -> None:
    if not isinstance(properties["text"], str):
        raise _malformed("replace")
    if plan.replace is None:
        plan.replace = properties["text"]


def _limit_tokens(plan: Plan, properties: Mapping[str, Any]) -> None:
    limit = properties["max_tokens"]
    if type(limit) is not int or limit < 1:
        raise _malformed("limit_tokens")
    plan.max_tokens = limit if plan.max_tokens is None else min(plan.max_tokens, limit)


def _remove_tools(plan: Plan, properties: Mapping[str, Any]) -> None:
    plan.remove_tools.update(_names("remove_tools", properties["names"]))


def _set_parameters(plan: Plan, properties: Mapping[str, Any]) -> None:
    for key, value in properties.items():
        if not isinstance(key, str) or key.lower() in _FORBIDDEN_PARAMETERS:
            raise _malformed("set_parameters")
        if key in plan.parameters and not _same(plan.parameters[key], value):
            raise ObligationProblem("conflicting_obligations", f"parameter `{key}` is set to two values")
        plan.parameters[key] = value


def _same(one: Any, other: Any) -> bool:
    # `True == 1` in Python, and they are two values to a provider.
    return type(one) is type(other) and bool(one == other)


def _route(plan: Plan, properties: Mapping[str, Any]) -> None:
    model = properties["model"]
    if not isinstance(model, str) or not model:
        raise _malformed("route")
    if plan.route not in (None, model):
        raise ObligationProblem("conflicting_obligations", "two `route` obligations name two models")
    plan.route = model


def _no_store(plan: Plan, _: Mapping[str, Any]) -> None:
    plan.no_store = True


def _require_approval(plan: Plan, properties: Mapping[str, Any]) -> None:
    plan.approvers.append(_names("require_approval", properties["approvers"]))


_MERGERS: Final = {
    "redact": _redact,
    "replace": _replace,
    "limit_tokens": _limit_tokens,
    "remove_tools": _remove_tools,
    "set_parameters": _set_parameters,
    "route": _route,
    "no_store": _no_store,
    "require_approval": _require_approval,
}
