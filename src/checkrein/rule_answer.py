"""What a Rego rule answered, as a verdict: one pure function, so that OPA and every embedded backend agree.

Three shapes count. `true` or `false`; exactly `{allow, reasons?, obligations?}`; or, from a rule named
`deny`, `violation` or `deny_*` (conftest's convention), a set of reasons that denies unless it is empty.
An undefined rule is not applicable. Everything else is an invalid answer, so that a misspelt key never
permits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

from .errors import EngineFailure, FailureCause
from .vocabulary import Effect, Obligation, Reason, Verdict

__all__ = ["UNDEFINED", "Undefined", "verdict_of"]

Undefined = Literal["<undefined>"]
UNDEFINED: Final[Undefined] = "<undefined>"
"""What a backend hands over for a rule without a value: no rule that answers a string permits anything."""

_ANSWER: Final = frozenset({"allow", "reasons", "obligations"})
_REASON: Final = frozenset({"code", "msg", "message"})
_OBLIGATION: Final = frozenset({"type", "properties", "id"})
_DENIED: Final = "denied"
_PERMITTED: Final = "permitted"


def verdict_of(entrypoint: str, value: Any, *, revision: str | None = None) -> Verdict:
    """Read the value of an entrypoint.

    Args:
        entrypoint: the rule, for instance `data.checkrein.pre_prompt.decision`; its last part decides
            whether the value is a denial (`deny`) or a decision.
        value: its value as JSON, sets as arrays; `UNDEFINED` when it has none.
        revision: the version of the policies.

    Raises:
        EngineFailure: `invalid_answer`. Its detail names keys and types and never a value.
    """
    effect, reasons, obligations = _read(entrypoint, value)
    if not reasons and not obligations:
        return _bare(effect, entrypoint, revision)
    return Verdict(
        effect=effect,
        reasons=reasons,
        obligations=obligations,
        policy_ids=(entrypoint,),
        revision=revision,
    )


@lru_cache(maxsize=256)
def _bare(effect: Effect, entrypoint: str, revision: str | None) -> Verdict:
    """What most calls come to; it never changes, so that one is enough."""
    return Verdict(effect=effect, policy_ids=(entrypoint,), revision=revision)


def _read(entrypoint: str, value: Any) -> tuple[Effect, tuple[Reason, ...], tuple[Obligation, ...]]:
    if type(value) is dict:
        return _decision(entrypoint, value)
    rule = entrypoint.rpartition(".")[2]
    denial = rule in {"deny", "violation"} or rule.startswith("deny_")
    if value == UNDEFINED:
        return Effect.NOT_APPLICABLE, (), ()
    if isinstance(value, bool):
        denied = value if denial else not value
        return (Effect.DENY if denied else Effect.PERMIT), (), ()
    if isinstance(value, Mapping):
        return _decision(entrypoint, value)
    if denial and isinstance(value, list):
        reasons = tuple(_violation(entrypoint, member) for member in value)
        return (Effect.DENY if reasons else Effect.PERMIT), reasons, ()
    raise _invalid(
        entrypoint, f"is {_kind(value)}; it must be a boolean or `{{allow, reasons, obligations}}`"
    )


def _decision(
    entrypoint: str, value: Mapping[str, Any]
) -> tuple[Effect, tuple[Reason, ...], tuple[Obligation, ...]]:
    _only(entrypoint, "the answer", value, _ANSWER)
    allow = value.get("allow")
    if not isinstance(allow, bool):
        raise _invalid(entrypoint, f"`allow` is {_kind(allow)}; it must be a boolean")
    code = _PERMITTED if allow else _DENIED
    said = _list(entrypoint, value, "reasons")
    reasons = tuple([_reason(entrypoint, one, code) for one in said]) if said else ()
    bound = _list(entrypoint, value, "obligations")
    obligations = tuple([_obligation(entrypoint, one) for one in bound]) if bound else ()
    return (Effect.PERMIT if allow else Effect.DENY), reasons, obligations


def _list(entrypoint: str, value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key, [])
    if not isinstance(found, list):
        raise _invalid(entrypoint, f"`{key}` is {_kind(found)}; it must be an array or a set")
    return found


def _reason(entrypoint: str, value: Any, code: str) -> Reason:
    if isinstance(value, str):
        return Reason(code=code, message=value)
    if not isinstance(value, Mapping):
        raise _invalid(entrypoint, f"a reason is {_kind(value)}; it must be a string or `{{code, msg}}`")
    _only(entrypoint, "a reason", value, _REASON)
    if "msg" in value and "message" in value:
        raise _invalid(entrypoint, "a reason has both `msg` and `message`")
    return _coded(entrypoint, value, code)


def _violation(entrypoint: str, value: Any) -> Reason:
    # Existing bundles put more beside the message (`details`, `severity`): a denial loses nothing by it.
    if isinstance(value, str):
        return Reason(code=_DENIED, message=value)
    if not isinstance(value, Mapping):
        raise _invalid(entrypoint, f"a member is {_kind(value)}; it must be a string or `{{code, msg}}`")
    return _coded(entrypoint, value, _DENIED)


def _coded(entrypoint: str, value: Mapping[str, Any], default: str) -> Reason:
    code = value.get("code", default)
    message = value.get("msg", value.get("message", ""))
    if not isinstance(code, str) or not code:
        raise _invalid(entrypoint, f"the `code` of a reason is {_kind(code)}; it must be a string, not empty")
    if not isinstance(message, str):
        raise _invalid(entrypoint, f"the message of a reason is {_kind(message)}; it must be a string")
    return Reason(code=code, message=message)


def _obligation(entrypoint: str, value: Any) -> Obligation:
    if not isinstance(value, Mapping):
        raise _invalid(entrypoint, f"an obligation is {_kind(value)}; it must be `{{type, properties}}`")
    _only(entrypoint, "an obligation", value, _OBLIGATION)
    kind, properties, name = value.get("type"), value.get("properties", {}), value.get("id")
    if not isinstance(kind, str) or not kind:
        raise _invalid(
            entrypoint, f"the `type` of an obligation is {_kind(kind)}; it must be a string, not empty"
        )
    if not isinstance(properties, Mapping):
        raise _invalid(entrypoint, f"the `properties` of an obligation are {_kind(properties)}")
    if "id" in value and not isinstance(name, str):
        raise _invalid(entrypoint, f"the `id` of an obligation is {_kind(name)}; it must be a string")
    return Obligation(type=kind, properties=properties, id=name)


def _only(entrypoint: str, what: str, value: Mapping[str, Any], known: frozenset[str]) -> None:
    if not value.keys() <= known:
        # The key itself is not shown: a policy can build keys from a prompt.
        raise _invalid(
            entrypoint,
            f"{what} may have the keys {', '.join(sorted(known))} alone; it has `{len(value)}`",
        )


def _kind(value: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array"}
    if value is None:
        return "null or absent"
    return names.get(type(value), "an object")


def _invalid(entrypoint: str, problem: str) -> EngineFailure:
    return EngineFailure(FailureCause.INVALID_ANSWER, f"`{entrypoint}`: {problem}")
