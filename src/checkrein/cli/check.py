"""`checkrein check`: what the settings come to, and what a reviewer should ask about."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from checkrein.combining import All, By, Node
from checkrein.decision_log import DecisionLogSettings
from checkrein.detection import Detectors
from checkrein.engine import ExplainingEngine, PolicyEngine
from checkrein.loading import LoadedSettings
from checkrein.plugins import named_hosts
from checkrein.settings import EnforcementRule, Settings
from checkrein.vocabulary import Stage

__all__ = ["Report", "endpoint", "probe", "report", "where"]

Report = dict[str, Any]
"""JSON values: what `--json` prints as it is, and what the view is made from."""


def report(loaded: LoadedSettings) -> Report:
    """What the settings come to, as JSON values; `checkrein check --json` prints it as it is."""
    settings = loaded.settings
    log, denials = settings.decision_log, settings.denials
    told: Report = {
        "settings": {"path": str(loaded.path), "revision": loaded.revision},
        "engine": _node(loaded.engine, settings.engine),
        "stages": [_stage(loaded, stage) for stage in Stage],
        "stream": _stream(settings),
        "enforcement": {
            "default": settings.enforcement.default,
            "rules": [_rule(rule) for rule in settings.enforcement.rules],
        },
        "decision_log": {"to": str(log.to), "content": log.content, "required": log.required},
        "denials": {
            "on_denied": denials.on_denied,
            "expose": denials.expose,
            "messages": len(denials.messages),
            "languages": sorted({language for texts in denials.messages.values() for language in texts}),
        },
        "models": len(settings.models),
    }
    told["warnings"] = list(_warnings(loaded, told))
    return told


def _node(node: Node, options: Any) -> Report:
    """A node and its part of the settings, which alone knows an engine's kind."""
    ((kind, below),) = options.items()
    if isinstance(node, All):
        pairs = zip(node.members, below, strict=True)
        return {"kind": kind, "members": [_node(member, option) for member, option in pairs]}
    if isinstance(node, By):
        cases = {str(value): option for value, option in below["cases"].items()}
        told = {
            "kind": kind,
            "key": node.key,
            "cases": {value: _node(member, cases[value]) for value, member in node.cases.items()},
        }
        if node.otherwise is not None:
            told["otherwise"] = _node(node.otherwise, below["otherwise"])
        return told
    engine = node.engines[0]
    return {
        "kind": kind,
        "name": engine.name,
        "revision": engine.revision,
        "remote": engine.remote,
        "stages": [stage.value for stage in Stage if stage in engine.stages],
    }


def _stage(loaded: LoadedSettings, stage: Stage) -> Report:
    settings = loaded.settings
    asked = [engine for engine in loaded.engine.engines if stage in engine.stages]
    rules = settings.enforcement.rules
    return {
        "stage": stage.value,
        "state": "checked" if asked else "unchecked" if stage in settings.unchecked else "not covered",
        "asks": [{"engine": engine.name, "entrypoint": _entrypoint(engine, stage)} for engine in asked],
        "detectors": sorted(settings.detectors.get(stage, ())),
        "mode": settings.enforcement.default,
        "rules": [number for number, rule in enumerate(rules, 1) if not rule.stages or stage in rule.stages],
        "opens_on": [cause.value for cause in settings.failure.open_on.get(stage, ())],
        "can_open": any(engine.remote for engine in asked),
    }


def _stream(settings: Settings) -> Report:
    """How streamed answers leave, and which detectors decide it."""
    stage = Stage.POST_COMPLETION
    names = settings.detectors.get(stage, ())
    unbounded = [name for name in sorted(names) if Detectors.load({stage: [name]}).max_span(stage) is None]
    if settings.stream.mode == "hold":
        return {"leaves": "whole"}
    if unbounded:
        return {"leaves": "whole", "unbounded": unbounded}
    return {"leaves": "window", "behind": Detectors.load({stage: names}).max_span(stage)}


def _entrypoint(engine: PolicyEngine, stage: Stage) -> str | None:
    return engine.entrypoint(stage) if isinstance(engine, ExplainingEngine) else None


def _rule(rule: EnforcementRule) -> Report:
    return {
        "mode": rule.mode,
        "subject": dict(rule.subject),
        "stages": [stage.value for stage in rule.stages],
        "reasons": list(rule.reasons),
    }


def _warnings(loaded: LoadedSettings, told: Report) -> Iterator[str]:
    """What a reviewer should ask about."""
    settings = loaded.settings
    if settings.enforcement.default == "monitor":
        yield "the mode is `monitor` by default: judged and recorded, nothing blocked and nothing changed"
    else:
        for number, rule in enumerate(told["enforcement"]["rules"], 1):
            if rule["mode"] == "monitor":
                yield f"rule {number} only monitors {where(rule)}"
    for stage in told["stages"]:
        yield from _stage_warnings(stage)
    for name in told["stream"].get("unbounded", ()):
        yield f"`stream.mode` is `window`, and streams are held whole: what `{name}` finds has no bound"
    allowed = [name for name, word in settings.uncovered.items() if word == "allow"]
    yield from (f"`uncovered.{name}` is `allow`: calls pass there without being judged" for name in allowed)
    heeded = [name for name, word in settings.opt_outs.items() if word == "allow"]
    yield from (
        f"`opt_outs.{name}` is `allow`: whoever LiteLLM takes out there is not judged" for name in heeded
    )
    yield from _log_warnings(settings.decision_log)
    if settings.denials.expose == "policy_message":
        yield "`denials.expose` is `policy_message`: what a policy writes can echo a prompt to its caller"
    if not settings.denials.messages:
        yield "`denials.messages` is empty: a denied caller sees the reason's code alone"
    yield from _identity_warnings(settings)


def _identity_warnings(settings: Settings) -> Iterator[str]:
    known = named_hosts()
    for host, identity in settings.identity.items():
        if host not in known:
            yield f"`identity.{host}` does nothing here: no host of that name is installed"
        if identity.trusted:
            yield f"`identity.{host}.trusted` is on: whoever calls may say who they are"


def _log_warnings(log: DecisionLogSettings) -> Iterator[str]:
    if log.content == "full":
        yield "`decision_log.content` is `full`: whole prompts and completions stand in the log"
    # Looking opens nothing: opening the log would make the file.
    if isinstance(log.to, Path) and not os.access(log.to if log.to.exists() else log.to.parent, os.W_OK):
        yield f"this user may not write `{log.to}`: a host that runs as this user does not start"


def _stage_warnings(stage: Report) -> Iterator[str]:
    name = stage["stage"]
    if stage["state"] == "unchecked":
        yield f"`{name}` is unchecked: everything passes there"
    if stage["state"] != "checked" and stage["detectors"]:
        yield f"detectors are named for `{name}`, and no engine reads what they find"
    if stage["opens_on"] and stage["can_open"]:
        causes = " or ".join(stage["opens_on"])
        yield f"`{name}` opens on {causes}: calls pass unjudged while a remote engine is away"
    elif stage["opens_on"]:
        yield f"`failure.open_on.{name}` does nothing: no remote engine is asked there"


def where(rule: Mapping[str, Any]) -> str:
    """What a rule matches, in words."""
    parts = [f"{key} = {value}" for key, value in rule["subject"].items()]
    parts += [f"at {', '.join(rule['stages'])}"] if rule["stages"] else []
    parts += [f"for {', '.join(rule['reasons'])}"] if rule["reasons"] else []
    return ", ".join(parts) or "everything"


def probe(result: Any) -> Report:
    """One synthetic denial as JSON values."""
    return {"stage": str(result.stage), "what": result.what, "ok": bool(result.ok), "detail": result.detail}


def endpoint(result: Any) -> Report:
    """What becomes of one kind of uncovered endpoint, as JSON values."""
    word = "allow" if result.allowed else "deny"
    return {"name": str(result.name), "calls": word, "passes": str(result.passes)}
