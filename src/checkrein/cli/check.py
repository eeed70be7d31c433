"""`checkrein check`: what the settings come to, said plainly, with what a reviewer should ask about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from checkrein.combining import All, By, Node
from checkrein.engine import ExplainingEngine, PolicyEngine
from checkrein.loading import LoadedSettings
from checkrein.settings import EnforcementRule
from checkrein.vocabulary import Stage

from .render import BAD, FAINT, GOOD, WARNING, counted, field_grid, joined, plain, section

__all__ = ["probe", "render", "render_probes", "report"]

Report = dict[str, Any]


def report(loaded: LoadedSettings) -> Report:
    """What the settings come to, as JSON values; `checkrein check --json` prints it as it is."""
    settings = loaded.settings
    log, denials = settings.decision_log, settings.denials
    told: Report = {
        "settings": {"path": str(loaded.path), "revision": loaded.revision},
        "engine": _node(loaded.engine, settings.engine),
        "stages": [_stage(loaded, stage) for stage in Stage],
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
                yield f"rule {number} only monitors {_where(rule)}"
    for stage in told["stages"]:
        yield from _stage_warnings(stage)
    if settings.decision_log.content == "full":
        yield "`decision_log.content` is `full`: whole prompts and completions stand in the log"
    if settings.denials.expose == "policy_message":
        yield "`denials.expose` is `policy_message`: what a policy writes can echo a prompt to its caller"
    if not settings.denials.messages:
        yield "`denials.messages` is empty: a denied caller sees the reason's code alone"
    for host, identity in settings.identity.items():
        if identity.trusted:
            yield f"`identity.{host}.trusted` is on: whoever calls may say who they are"


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


def _where(rule: Mapping[str, Any]) -> str:
    parts = [f"{key} = {value}" for key, value in rule["subject"].items()]
    parts += [f"at {', '.join(rule['stages'])}"] if rule["stages"] else []
    parts += [f"for {', '.join(rule['reasons'])}"] if rule["reasons"] else []
    return ", ".join(parts) or "everything"


def render(told: Report) -> Iterator[RenderableType]:
    """The report for people."""
    yield field_grid(
        [("settings", plain(told["settings"]["path"])), ("revision", plain(told["settings"]["revision"]))]
    )
    yield from section("engine", _tree(told["engine"]))
    yield from section("stages", _stages(told["stages"]))
    rules = told["enforcement"]["rules"]
    if rules:
        rows = [
            (
                f"rule {number}",
                Text.assemble((rule["mode"], _mode_style(rule["mode"])), "  ", plain(_where(rule))),
            )
            for number, rule in enumerate(rules, 1)
        ]
        yield from section("enforcement, the first rule that matches", field_grid(rows))
    log, denials = told["decision_log"], told["denials"]
    yield from section(
        "decision log",
        field_grid(
            [
                ("to", plain(log["to"])),
                ("content", plain(log["content"], WARNING if log["content"] == "full" else "")),
                (
                    "required",
                    plain("yes: no record, no call" if log["required"] else "no: drops are counted"),
                ),
            ]
        ),
    )
    texts = counted(denials["messages"], "message") + (
        f" in {', '.join(denials['languages'])}" if denials["languages"] else ""
    )
    own = ", else the policy's own" if denials["expose"] == "policy_message" else ""
    yield from section(
        "denials",
        field_grid(
            [
                (
                    "callers get",
                    plain(f"an error with the reason's code, its message{own}, and the decision's id"),
                ),
                ("catalogue", plain(texts)),
            ]
        ),
    )
    if told["warnings"]:
        yield from section("look at", *(_bullet(warning) for warning in told["warnings"]))
    yield Text("")
    yield (
        Text("loads", style=GOOD)
        if not told["warnings"]
        else Text.assemble(
            ("loads", GOOD), (f", with {counted(len(told['warnings']), 'thing')} to look at", WARNING)
        )
    )


def _bullet(warning: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(style=WARNING)
    grid.add_column(overflow="fold")
    grid.add_row("!", plain(warning))
    return grid


def _tree(node: Report, label: str = "") -> Tree:
    before = plain(f"{label}: " if label else "", FAINT)
    if node["kind"] == "all":
        tree = Tree(before + plain("all of"), guide_style=FAINT)
        for member in node["members"]:
            tree.add(_tree(member))
        return tree
    if node["kind"] == "by":
        tree = Tree(before + plain(f"by {node['key']}"), guide_style=FAINT)
        for value, member in node["cases"].items():
            tree.add(_tree(member, value))
        if "otherwise" in node:
            tree.add(_tree(node["otherwise"], "otherwise"))
        else:
            tree.add(plain("otherwise: denied, nothing applies", FAINT))
        return tree
    kind = "" if node["name"] == node["kind"] else f"{node['kind']}, "
    place = "remote" if node["remote"] else "embedded"
    told = f"  {kind}{place}, revision {node['revision'] or 'unknown'}"
    return Tree(Text.assemble(before, plain(node["name"], "bold"), plain(told), overflow="fold"))


def _mode_style(mode: str) -> str:
    return GOOD if mode == "enforce" else WARNING


def _stages(stages: Iterable[Report]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for stage in stages:
        if stage["state"] == "checked":
            mode = plain(stage["mode"], _mode_style(stage["mode"]))
        else:
            mode = plain(stage["state"], WARNING if stage["state"] == "unchecked" else FAINT)
        lines = list(_lines(stage))
        for number, line in enumerate(lines):
            first = number == 0
            grid.add_row(plain(stage["stage"]) if first else "", mode if first else "", line)
    return grid


def _lines(stage: Report) -> Iterator[Text]:
    if stage["state"] == "unchecked":
        yield plain("nothing is asked, everything passes", WARNING)
    elif stage["state"] == "not covered":
        yield plain("no engine: a host that hooks it refuses to start", FAINT)
    for asked in stage["asks"]:
        yield plain(" ".join(filter(None, (asked["engine"], asked["entrypoint"]))))
    if stage["detectors"]:
        yield plain("finds ", FAINT) + joined(stage["detectors"])
    if stage["state"] == "checked" and stage["rules"]:
        yield plain("unless ", FAINT) + joined(f"rule {number}" for number in stage["rules"])
    if stage["opens_on"]:
        yield plain("opens on ", FAINT) + joined(stage["opens_on"], WARNING if stage["can_open"] else FAINT)


def probe(result: Any) -> Report:
    """One synthetic denial as JSON values."""
    return {"stage": str(result.stage), "what": result.what, "ok": bool(result.ok), "detail": result.detail}


def render_probes(results: Iterable[Any], title: str) -> Iterator[RenderableType]:
    """The synthetic denials that were fired through a host.

    Args:
        results: each with `stage`, `what`, `ok` and `detail`.
        title: what they were fired at.
    """
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for result in results:
        mark = plain("ok", GOOD) if result.ok else plain("FAILED", BAD)
        told = plain(result.what)
        if result.detail:
            told += plain(f"\n{result.detail}", FAINT if result.ok else BAD)
        grid.add_row(mark, plain(result.stage), told)
    yield from section(title, grid)
