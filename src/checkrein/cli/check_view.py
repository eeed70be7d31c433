"""How `checkrein check` looks: a report and the probes of a host, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from .check import Report, where
from .render import BAD, FAINT, GOOD, WARNING, counted, field_grid, joined, plain, section, state_grid

__all__ = ["render", "render_endpoints", "render_probes", "render_warnings"]


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
                Text.assemble((rule["mode"], _mode_style(rule["mode"])), "  ", plain(where(rule))),
            )
            for number, rule in enumerate(rules, 1)
        ]
        yield from section("enforcement, the first rule that matches", field_grid(rows))
    log, denials = told["decision_log"], told["denials"]
    yield from section("streams", field_grid([("answers", plain(_leaves(told["stream"])))]))
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
    given = f"an error with the reason's code, its message{own}, and the decision's id"
    if denials["on_denied"] == "reply":
        given = f"an ordinary answer with its message{own} and the decision's id, or else {given}"
    yield from section(
        "denials",
        field_grid(
            [
                ("callers get", plain(given)),
                ("catalogue", plain(texts)),
            ]
        ),
    )
    yield from render_warnings(told["warnings"])
    yield Text("")
    yield (
        Text("loads", style=GOOD)
        if not told["warnings"]
        else Text.assemble(
            ("loads", GOOD), (f", with {counted(len(told['warnings']), 'thing')} to look at", WARNING)
        )
    )


def _leaves(stream: Report) -> str:
    if stream["leaves"] == "whole":
        return "leave whole, after the verdict"
    if not stream["behind"]:
        return "leave after the first verdict, as they come: nothing is looked for"
    return f"leave as they are judged, {counted(stream['behind'], 'code point')} behind at most in plain text"


def render_warnings(warnings: Sequence[str]) -> Iterator[RenderableType]:
    """What is worth a look.

    Args:
        warnings: one sentence each.
    """
    if warnings:
        yield from section("look at", *(_bullet(warning) for warning in warnings))


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
    grid = state_grid()
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
        entrypoint = asked["entrypoint"]
        yield plain(asked["engine"]) + plain(f"  {entrypoint}" if entrypoint else "", FAINT)
    if stage["detectors"]:
        yield plain("finds ", FAINT) + joined(stage["detectors"])
    if stage["state"] == "checked" and stage["rules"]:
        yield plain("unless ", FAINT) + joined(f"rule {number}" for number in stage["rules"])
    if stage["opens_on"]:
        yield plain("opens on ", FAINT) + joined(stage["opens_on"], WARNING if stage["can_open"] else FAINT)


def render_endpoints(results: Sequence[Any]) -> Iterator[RenderableType]:
    """The kinds of endpoints that a host cannot judge in full, and what the settings say of each.

    Args:
        results: each with `name`, `allowed` and `passes`.
    """
    if not results:
        return
    grid = state_grid()
    for result in results:
        word = plain("allow", WARNING) if result.allowed else plain("deny", GOOD)
        told = (
            plain(f"passes unjudged: {result.passes}", WARNING)
            if result.allowed
            else plain(result.passes, FAINT)
        )
        grid.add_row(plain(result.name), word, told)
    yield from section("uncovered, by the settings' names", grid)


def render_probes(results: Sequence[Any], title: str) -> Iterator[RenderableType]:
    """The synthetic denials that were fired through a host.

    Args:
        results: each with `stage`, `what`, `ok` and `detail`.
        title: what they were fired at.
    """
    grid = state_grid()
    for result in results:
        mark = plain("ok", GOOD) if result.ok else plain("FAILED", BAD)
        told = plain(result.what)
        if result.detail:
            told += plain(f"\n{result.detail}", FAINT if result.ok else BAD)
        grid.add_row(mark, plain(result.stage), told)
    yield from section(title, grid)
    through = sum(1 for result in results if not result.ok)
    yield Text("")
    if through:
        yield Text(f"{through} of {counted(len(results), 'denial')} did not hold", style=BAD)
    elif results:
        yield Text(f"{counted(len(results), 'denial')} held", style=GOOD)
