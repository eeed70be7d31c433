"""Monitor or enforce: whether a judgement stands."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from .settings import Enforcement, EnforcementRule, Mode
from .vocabulary import Entity, Stage

__all__ = ["can_stand", "stands"]


def can_stand(enforcement: Enforcement, stage: Stage, subject: Entity) -> bool:
    """Whether a denial of this subject at this stage would stand for any reason at all."""
    for rule in enforcement.rules:
        if _concerns(rule, stage, subject):
            if rule.mode == "enforce":
                return True
            if not rule.reasons or "*" in rule.reasons:
                return False
    return enforcement.default == "enforce"


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
    return _concerns(rule, stage, subject) and (
        not rule.reasons or any(fnmatchcase(code, pattern) for pattern in rule.reasons)
    )


def _concerns(rule: EnforcementRule, stage: Stage, subject: Entity) -> bool:
    return (not rule.stages or stage in rule.stages) and all(
        key in subject.properties and subject.properties[key] == value for key, value in rule.subject.items()
    )
