"""`checkrein compare`: one pack on every engine of this machine: how fast, how large, and do they agree."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from checkrein.errors import SettingsError
from checkrein.scenarios import load_scenarios

from . import compare_view
from .common import DOES_NOT_LOAD, FAILED, AsJson, fail
from .packs import ENGINES, Pack, pack_at, shipped_packs
from .render import print_json, show

__all__ = ["compare"]

# Loading, and asking every scenario once, before the time that is measured begins.
_GRACE: Final = 60.0
_DEADLINE: Final = 10.0
# Engines that answer in more than one way, with the option that chooses and its values.
_VARIANTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {"rego": ("backend", ("regopy", "regorus"))}
_MODULE: Final = "checkrein.cli.measuring"

Seconds = Annotated[
    float, typer.Option(min=0.02, max=60.0, metavar="N", help="How long each engine is asked, in seconds.")
]


def compare(
    pack: Annotated[
        str | None,
        typer.Argument(metavar="PACK", help="A shipped pack or a pack's folder; by default the largest."),
    ] = None,
    *,
    engine: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="This engine alone; may be given again.")
    ] = None,
    opa: Annotated[
        str | None, typer.Option(metavar="URL", help="Ask a running OPA too, which has loaded the pack.")
    ] = None,
    seconds: Seconds = 2.0,
    as_json: AsJson = False,
) -> None:
    """Measure a policy pack on every installed engine of this machine, and compare what they answer.

    Each engine runs in a process of its own. The figures are of this machine and this moment. Exits 4 where a
    scenario fails, an engine cannot be measured, or answers differ beyond what the pack says of a language.
    """
    for name in engine or ():
        if name not in ENGINES:
            hint = f"`{name}` is no engine that packs are written for; these are: {', '.join(ENGINES)}"
            raise typer.BadParameter(hint, param_hint="--engine")
    try:
        chosen = _chosen(pack)
        jobs = list(_jobs(chosen, engine or list(ENGINES), opa, seconds))
    except SettingsError as error:
        fail(DOES_NOT_LOAD, str(error))
    if not jobs:
        hint = f"the pack `{chosen.name}` is not written for it; it is for: {', '.join(chosen.engines)}"
        raise typer.BadParameter(hint, param_hint="--engine")
    load = _load()
    told = _report(chosen, seconds, load, [(label, job, _measured(job, seconds)) for label, job in jobs])
    if as_json:
        print_json(told)
    else:
        show(compare_view.render(told))
    broken = any(one["status"] == "failed" or one["failed"] for one in told["engines"])
    if broken or not all(one["declared"] for one in told["differences"]):
        raise typer.Exit(FAILED)


def _chosen(name: str | None) -> Pack:
    if name is not None and (os.sep in name or (os.altsep and os.altsep in name) or name in (".", "..")):
        return pack_at(Path(name))
    packs = shipped_packs()
    if name is None:
        return max(packs, key=lambda one: (len(one.engines), len(load_scenarios(one.scenarios("rego")[0]))))
    for one in packs:
        if one.name == name:
            return one
    there = ", ".join(one.name for one in packs)
    hint = f"`{name}` is no shipped pack; there are: {there}; a folder is given as `./{name}`"
    raise typer.BadParameter(hint, param_hint="PACK")


def _jobs(
    pack: Pack, kinds: Iterable[str], opa: str | None, seconds: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in kinds:
        options = pack.options(kind, opa or "")
        if options is None:
            continue
        if kind == "opa":
            if opa is None:
                yield kind, {"kind": kind, "skipped": "name one that has loaded the pack: --opa URL"}
                continue
            # An answer that is late is a slow one here, and none that is wrong.
            options["timeout"] = _DEADLINE
        job = {
            "pack": str(pack.folder.resolve()),
            "kind": kind,
            "scenarios": [str(path.resolve()) for path in pack.scenarios(kind)],
            "seconds": seconds,
        }
        key, values = _VARIANTS.get(kind, ("", ("",)))
        if key in options:
            values = (str(options[key]),)
        for value in values:
            label = f"{kind} ({value})" if value else kind
            yield label, {**job, "options": {**options, **({key: value} if value else {})}}


def _measured(job: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Measure in a new process: no engine's memory, threads or caches stand in another's figures."""
    if "skipped" in job:
        return {"missing": job["skipped"]}
    try:
        # `-P`: what lies in the working directory is not imported.
        done = subprocess.run(  # noqa: S603 -- this interpreter, this module
            [sys.executable, "-P", "-m", _MODULE],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=seconds + _GRACE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"did not answer in time: `{seconds + _GRACE:.0f}` s"}
    try:
        measured: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"]
        return {"error": f"its process ended with `{done.returncode}`: {lines[-1]}"}
    return measured


def _load() -> float | None:
    """How many processes want to run, on average over the minute before; None where nobody tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _report(
    pack: Pack,
    seconds: float,
    load: float | None,
    measured: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]],
) -> dict[str, Any]:
    engines = [_engine(pack, label, job, result) for label, job, result in measured]
    return {
        "pack": {"name": pack.name, "decides": pack.decides},
        "seconds": seconds,
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            "load": load,
        },
        "engines": engines,
        "differences": list(_differences(measured, {one["engine"] for one in engines if one["cannot_say"]})),
    }


def _engine(pack: Pack, label: str, job: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    asked = result.get("scenarios", [])
    failed = [
        {key: one[key] for key in ("file", "line", "name", "failures")} for one in asked if one["failures"]
    ]
    status = "missing" if "missing" in result else "failed" if "error" in result else "measured"
    keys = ("remote", "revision", "import_ms", "load_ms", "memory_bytes", "answers", "decisions")
    return {
        "engine": label,
        "status": status,
        "detail": result.get("missing") or result.get("error"),
        **{key: result.get(key) for key in keys},
        "cannot_say": pack.not_in(job["kind"]),
        "passed": len(asked) - len(failed),
        "asked": len(asked),
        "failed": failed,
    }


def _differences(
    measured: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]], lacking: Collection[str]
) -> Iterator[dict[str, Any]]:
    """The scenarios that engines answer differently, in the order of the files.

    One is `declared` when all of them permit or none does, and those agree whose language lacks nothing by
    what the pack says of it.
    """
    answers: dict[tuple[str, int, str], dict[str, Any]] = defaultdict(dict)
    for label, _, result in measured:
        for one in result.get("scenarios", ()):
            answers[one["file"], one["line"], one["name"]][label] = one["answer"]
    for (file, line, name), by_engine in answers.items():
        written = {label: json.dumps(answer, sort_keys=True) for label, answer in by_engine.items()}
        if len(set(written.values())) > 1:
            whole = {one for label, one in written.items() if label not in lacking}
            permitted = {answer["permitted"] for answer in by_engine.values()}
            declared = len(permitted) == len(whole) == 1
            yield {"file": file, "line": line, "name": name, "declared": declared, "answers": by_engine}
