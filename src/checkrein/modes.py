"""Monitor or enforce: whether a judgement stands."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from .settings import Enforcement, EnforcementRule, Mode
from .vocabulary import Entity, Stage

__all__ = ["stands"]


def stands(enforcement: Enforcement, stage: Stage, subject: Entity, codes: Sequence[str]) -> bool:
    """Whether the judgement is enforced: a denial stands if any of its reasons is."""
    if not enforcement.rules:
        return enforcement.default == "enforce"
    modes = [_mode(enforcement, stage, subject, code) for code in codes or ("",)]
    return "enforce" in modes


def _mode(enforcement: Enforcement, stage: Stage, subject: Entity, code: str) -> Mode:
    for rule in enforcement.rules:
        if _matches(rule, stage, subject, code):
            return rule.mode
    return enforcement.default


def _matches(rule: EnforcementRule, stage: Stage, subject: Entity, code: str) -> bool:
    return (
        (not rule.stages or stage in rule.stages)
        and (not rule.reasons or any(fnmatchcase(code, pattern) for pattern in rule.reasons))
        and all(
            key in subject.properties and subject.properties[key] == value
            for key, value in rule.subject.items()
        )
    )
