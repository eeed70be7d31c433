"""Refuses when loading what would fail open later: unknown built-ins, undefined names, data under rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from checkrein.errors import PolicyLoadError

from .bundle import Bundle
from .source import Module, Use

__all__ = ["Refusal", "check_calls", "check_names", "check_rules", "place"]

Refusal = Callable[[str], str | None]
"""Says why a backend must not be asked for a built-in, or None when it answers as OPA does."""

# Refused in every backend and whatever else has the name: each reaches out of the policy.
_DANGEROUS: Final = {
    "http.send": "asks a network in the middle of a decision",
    "net.lookup_ip_addr": "asks a network in the middle of a decision",
    "opa.runtime": "hands the process's environment to policies",
    "print": "writes what it is given to standard output, prompts included",
}


def place(bundle: Bundle, module: Module, line: int) -> str:
    """Where something stands, as messages name it."""
    return f"`{bundle.name}/{module.path}:{line}`"


def check_calls(bundle: Bundle, modules: Sequence[Module], known: Sequence[Module], refusal: Refusal) -> None:
    """Refuse a call of what is neither defined nor a built-in that the backend answers faithfully.

    An embedded engine that lacks a built-in calls it undefined, so that `allow if not lacking(...)` permits.

    Args:
        bundle: for messages.
        modules: whose calls are checked.
        known: every module that may define a function.
        refusal: the backend's own.

    Raises:
        PolicyLoadError: naming file, line, rule and built-in.
    """
    functions = {(*module.package, *rule.path) for module in known for rule in module.rules if rule.function}
    for module in modules:
        for call in module.calls:
            problem = _problem(call, module, functions, refusal)
            if problem:
                name = ".".join(call.parts)
                raise PolicyLoadError(
                    f"{place(bundle, module, call.line)}: rule `{call.rule}` calls `{name}`, which {problem}"
                )


def _problem(call: Use, module: Module, functions: set[tuple[str, ...]], refusal: Refusal) -> str | None:
    name = ".".join(call.parts)
    if name in _DANGEROUS:
        return f"{_DANGEROUS[name]}; take it out"
    parts = (*module.imports.get(call.parts[0], call.parts[:1]), *call.parts[1:])
    if parts[0] == "data":
        return None if parts[1:] in functions else "no policy of the bundle defines; correct the name"
    if (*module.package, *parts) in functions or name == "set":
        return None
    return refusal(name)


def check_names(bundle: Bundle, modules: Sequence[Module]) -> None:
    """Refuse a name that nothing defines: OPA does, and to a backend that does not it is false.

    Raises:
        PolicyLoadError: naming file, line, rule and name.
    """
    defined: dict[tuple[str, ...], set[str]] = {}
    for module in modules:
        defined.setdefault(module.package, set()).update(rule.path[0] for rule in module.rules)
    for module in modules:
        known = defined[module.package] | module.imports.keys()
        for use in module.names:
            if use.parts[0] not in known:
                raise PolicyLoadError(
                    f"{place(bundle, module, use.line)}: rule `{use.rule}` uses `{use.parts[0]}`, "
                    "which nothing defines; correct the name, or declare it with `some`"
                )


def check_rules(bundle: Bundle) -> None:
    """Refuse a second default, and data at the place of a rule: the engine would choose which one answers.

    Raises:
        PolicyLoadError: naming file, line and rule.
    """
    defaults: set[tuple[str, ...]] = set()
    for module in bundle.modules:
        for rule in module.rules:
            path = (*module.package, *rule.path)
            if rule.default and path in defaults:
                raise PolicyLoadError(
                    f"{place(bundle, module, rule.line)}: `data.{'.'.join(path)}` has a second default; "
                    "keep one of them"
                )
            if rule.default:
                defaults.add(path)
            if _reached(bundle.data, path):
                raise PolicyLoadError(
                    f"{place(bundle, module, rule.line)}: `data.{'.'.join(path)}` is a rule here "
                    "and a value in the data; rename one of them"
                )


def _reached(data: Mapping[str, Any], path: Iterable[str]) -> bool:
    """Whether data has a value at a path or, instead of an object, on the way to it."""
    value: Any = data
    for part in path:
        if not isinstance(value, dict):
            return True
        if part not in value:
            return False
        value = value[part]
    return True
