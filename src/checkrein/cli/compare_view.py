"""How `checkrein compare` looks: figures, what each language says, and where answers differ."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .render import BAD, FAINT, GOOD, WARNING, counted, field_grid, indented, plain, section, state_grid

__all__ = ["render"]

_MOST: Final = 20


def render(told: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The comparison for people."""
    machine = told["machine"]
    on = f"Python {machine['python']}, {machine['system']}, {counted(machine['cpus'], 'CPU')}"
    yield field_grid([("pack", plain(told["pack"]["name"])), ("on", plain(on))])
    if (machine["load"] or 0) > machine["cpus"] / 2:
        busy = f"busy: the load is {machine['load']:.1f}; figures are worse than they could be"
        yield field_grid([("", plain(busy, WARNING))])
    yield from section("decides", *(plain(one) for one in told["pack"]["decides"]))
    measured = [one for one in told["engines"] if one["status"] == "measured"]
    if measured:
        spent = f"{told['seconds']:g} s each, in a process of its own"
        yield from section(f"speed: {spent}", _speed(measured))
        yield Text("")
        for line in (
            "answer: the engine alone, asked the scenarios in turn",
            "decision: with limits, detectors, document, obligations; without the log",
        ):
            yield Text(f"  {line}", style=FAINT)
        yield from section("size: loading is the library's import, then the policies", _size(measured))
        yield from section("what each says", _says(measured))
    others = [one for one in told["engines"] if one["status"] != "measured"]
    if others:
        yield from section("not measured", field_grid(map(_not_measured, others), width=16))
    failed = [(one, case) for one in measured for case in one["failed"]]
    if failed:
        yield from section("scenarios that failed", *(_failed(one, case) for one, case in failed[:_MOST]))
        yield from _more(failed)
    differences = told["differences"]
    if differences:
        yield from section("where answers differ", *map(_difference, differences[:_MOST]))
        yield from _more(differences)
    yield Text("")
    yield _conclusion(told, measured, failed)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=FAINT)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _speed(measured: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("engine", "answers/s", "p50 us", "p99 us", "decisions/s", "p50 us", "p99 us")
    ordered = sorted(measured, key=lambda one: (one["answers"] or {}).get("p50_us", 0))
    for one in ordered:
        cells = [plain(one["engine"])]
        for key in ("answers", "decisions"):
            figures = one[key]
            cells += [
                plain("-" if figures is None else written, FAINT if figures is None else "")
                for written in (
                    f"{(figures or {}).get('per_second', 0):,.0f}",
                    _micros((figures or {}).get("p50_us", 0)),
                    _micros((figures or {}).get("p99_us", 0)),
                )
            ]
        table.add_row(*cells)
    return table


def _size(measured: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("engine", "import ms", "load ms", "memory MiB")
    for one in measured:
        memory = one["memory_bytes"]
        table.add_row(
            plain(one["engine"]),
            plain(f"{one['import_ms']:,.1f}"),
            plain(f"{one['load_ms']:,.1f}"),
            plain(
                "elsewhere" if memory is None else f"{memory / 2**20:,.1f}", FAINT if memory is None else ""
            ),
        )
    return table


def _says(measured: Sequence[Mapping[str, Any]]) -> Table:
    grid = state_grid()
    for one in measured:
        passed = plain(f"{one['passed']} of {one['asked']} scenarios", BAD if one["failed"] else GOOD)
        lacking = [f"not: {each}" for each in one["cannot_say"]] or ["everything that the pack decides"]
        for number, line in enumerate(lacking):
            first = number == 0
            style = WARNING if one["cannot_say"] else FAINT
            grid.add_row(plain(one["engine"]) if first else "", passed if first else "", plain(line, style))
    return grid


def _micros(value: float) -> str:
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004 -- four digits are enough


def _not_measured(one: Mapping[str, Any]) -> tuple[str, RenderableType]:
    return one["engine"], plain(one["detail"], BAD if one["status"] == "failed" else FAINT)


def _failed(one: Mapping[str, Any], case: Mapping[str, Any]) -> RenderableType:
    where = f"{Path(case['file']).name}:{case['line']}"
    rows: list[tuple[str, RenderableType]] = [
        (one["engine"], plain(case["name"], "bold") + plain(f"  {where}", FAINT))
    ]
    return field_grid([*rows, *(("", plain(failure)) for failure in case["failures"])], width=16)


def _difference(difference: Mapping[str, Any]) -> RenderableType:
    where = f"{Path(difference['file']).name}:{difference['line']}"
    alike: dict[str, list[str]] = defaultdict(list)
    for engine, answer in difference["answers"].items():
        alike[json.dumps(answer, sort_keys=True)].append(engine)
    said = [f"{', '.join(names)}: {_answer(json.loads(one))}" for one, names in alike.items()]
    note = plain("  the pack says so of its language" if difference["declared"] else "", FAINT)
    title = plain(difference["name"], "bold") + plain(f"  {where}", FAINT) + note
    return Group(title, *(indented(plain(one)) for one in said))


def _answer(answer: Mapping[str, Any]) -> str:
    bound = [
        " ".join([one["type"], *(f"{key}={value}" for key, value in one["properties"].items())])
        for one in answer["obligations"]
    ]
    parts = ["permitted" if answer["permitted"] else "denied", *answer["reasons"], *bound]
    return ", ".join([*parts, *([f"model {answer['model']}"] if answer["model"] else [])])


def _more(items: Sequence[Any]) -> Iterator[RenderableType]:
    if len(items) > _MOST:
        yield Text(f"  and {len(items) - _MOST} more; --json lists all", style=FAINT)


def _conclusion(
    told: Mapping[str, Any], measured: Sequence[Mapping[str, Any]], failed: Sequence[Any]
) -> RenderableType:
    broken = [one for one in told["engines"] if one["status"] == "failed"]
    if not measured:
        return Text("nothing was measured", style=BAD if broken else WARNING)
    problems = [f"{counted(len(failed), 'scenario')} failed"] if failed else []
    differing = sum(1 for one in told["differences"] if not one["declared"])
    problems += [f"{counted(differing, 'scenario')} answered differently"] if differing else []
    problems += [f"{counted(len(broken), 'engine')} could not be measured"] if broken else []
    if problems:
        return Text(", ".join(problems), style=BAD)
    alike = "all answer alike" if not told["differences"] else "they answer alike where their languages can"
    return Text(f"{counted(len(measured), 'engine')} measured, {alike}", style=GOOD)
