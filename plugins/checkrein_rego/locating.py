"""Where a bundle's rules and the words of their reasons stand; read from the tokens when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .source import Module
from .tokens import literal

__all__ = ["Place", "literals", "rules"]

Place = tuple[str, int]
"""A file inside the bundle, and a line of it, from 1."""


def rules(modules: Iterable[Module]) -> Mapping[str, Place]:
    """Where each rule that is no function is first defined, by its full name `data.package.rule`."""
    found: dict[str, Place] = {}
    for module in modules:
        for rule in module.rules:
            if not rule.function:
                found.setdefault(".".join(("data", *module.package, *rule.path)), (module.path, rule.line))
    return found


def literals(modules: Iterable[Module]) -> Mapping[str, Sequence[Place]]:
    """Where each string is written, by its value; a line that writes it twice is one place."""
    found: dict[str, dict[Place, None]] = {}
    for module in modules:
        for token in module.tokens:
            if token.kind in ("string", "raw"):
                found.setdefault(literal(token), {})[module.path, token.line] = None
    return {text: [*places] for text, places in found.items()}
