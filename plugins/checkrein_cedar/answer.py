"""What Cedar answered, as a verdict."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

import orjson
from cedarpy import AuthzResult, Decision

from checkrein.errors import EngineFailure, FailureCause
from checkrein.vocabulary import Effect, Obligation, Verdict

from .policies import Policy

__all__ = ["verdict_of"]

_POLICY: Final = re.compile(r"^error while evaluating policy `(policy\d+|link\d+)`: ")
_ATTRIBUTE: Final = re.compile(r"does not have the (?:attribute|tag) `(.+?)`")
# Words of the library that say what kind of error it was; everything else in them can be from the request.
_KINDS: Final = {
    "does not have the": "an attribute is absent",
    "does not exist": "an entity does not exist",
    "type error": "a value has another type",
    "overflow": "a number overflows",
    "recursion limit": "a value or a condition is nested too deeply",
    "extension function": "an extension function failed",
}


def verdict_of(
    result: AuthzResult,
    policies: Mapping[str, Policy],
    *,
    attributes: Collection[str] = (),
    revision: str | None = None,
) -> Verdict:
    """Read an answer of `is_authorized`.

    Args:
        result: the library's answer.
        policies: by the library's ids.
        attributes: names that the policies themselves mention, and a failure may therefore show.
        revision: the version of the policies.

    Raises:
        EngineFailure: `engine_error` when any policy ended in an error, for Cedar skips it: a forbid that
            errs beside a permit is `Allow`. `invalid_answer` when the library names a policy that is none.
    """
    decision, diagnostics = result.decision, result.diagnostics
    errors = diagnostics.errors
    if errors or decision is Decision.NoDecision:
        raise EngineFailure(FailureCause.ENGINE_ERROR, _described(errors, policies, attributes))
    allowed = decision is Decision.Allow
    try:
        determining = [policies[one] for one in diagnostics.reasons]
    except KeyError:
        raise EngineFailure(FailureCause.INVALID_ANSWER, "a determining policy is unknown") from None
    if any(policy.permits is not allowed for policy in determining) or (allowed and not determining):
        raise EngineFailure(FailureCause.INVALID_ANSWER, "the decision is not that of its policies")
    determining.sort(key=lambda policy: policy.id)
    effect = Effect.PERMIT if allowed else Effect.DENY if determining else Effect.NOT_APPLICABLE
    reasons = dict.fromkeys(policy.reason for policy in determining if policy.reason is not None)
    return Verdict(
        effect=effect,
        reasons=tuple(reasons),
        obligations=tuple(
            Obligation(type=one["type"], properties=one.get("properties", {}), id=one.get("id"))
            for policy in determining
            if policy.obligations is not None
            # Read anew each time: a host that changes what it is handed changes no policy.
            for one in orjson.loads(policy.obligations)
        ),
        policy_ids=tuple(policy.id for policy in determining),
        revision=revision,
    )


def _described(errors: list[str], policies: Mapping[str, Policy], attributes: Collection[str]) -> str:
    described: set[str] = set()
    for error in errors:
        found = _POLICY.match(error)
        policy = policies.get(found[1]) if found else None
        who = f"policy `{policy.id}`" if policy else "the request"
        kind = next((said for words, said in _KINDS.items() if words in error), "ended in an error")
        attribute = _ATTRIBUTE.search(error)
        if attribute and attribute[1] in attributes:
            kind = f"attribute `{attribute[1]}` is absent"
        described.add(f"{who}: {kind}")
    return "; ".join(sorted(described)[:3]) or "no decision"
