"""`checkrein init`: a working start, copied from a shipped pack, that blocks nothing until it is told to."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich.console import RenderableType
from rich.text import Text

from checkrein.errors import MissingExtraError, SettingsError
from checkrein.plugins import load_plugin
from checkrein.scenarios import load_scenarios

from .common import DOES_NOT_LOAD, USAGE, fail
from .packs import ENGINES, OPA_URL, Pack, shipped_packs
from .render import FAINT, GOOD, WARNING, counted, field_grid, plain, section, show

__all__ = ["Start", "init", "settings_text", "write"]

_SETTINGS: Final = "checkrein.yaml"
_SCENARIOS: Final = "scenarios.yaml"
_HEAD: Final = "# Every key that may stand here: checkrein schema settings\nversion: 1\n"
_MONITOR: Final = """\
# Everything is judged and recorded; nothing is blocked and nothing is changed.
# To enforce all of it, write `default: enforce`. To begin with a part, keep the default and add rules, of
# which the first that matches counts: `rules: [{stages: [pre_prompt], mode: enforce}]`
enforcement:
  default: monitor
"""
_LOG: Final = """\
# One line of JSON for each decision, without any text of the call; `checkrein explain` reads it.
decision_log: {to: decisions.jsonl, content: facts}
"""
_REPLACED: Final = ("version", "engine", "enforcement", "decision_log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What was written.

    Args:
        folder: where.
        pack: from which pack.
        engine: for which engine.
        paths: what, relative to the folder.
        questions: how many scenarios.
    """

    folder: Path
    pack: Pack
    engine: str
    paths: Sequence[Path]
    questions: int


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write; by default here.")
    ] = Path(),
    *,
    engine: Annotated[str, typer.Option(metavar="NAME", help=f"One of {', '.join(ENGINES)}.")] = "rego",
    pack: Annotated[
        str | None, typer.Option(metavar="NAME", help="The policy pack to begin with; by default the first.")
    ] = None,
) -> None:
    """Write settings, a policy pack and its scenarios: a working start.

    It only monitors until the settings say `enforce`, and overwrites nothing.
    """
    try:
        chosen = _chosen(shipped_packs(), engine, pack)
        start = write(chosen, engine, folder)
    except SettingsError as error:
        fail(DOES_NOT_LOAD, str(error))
    except FileExistsError as error:
        fail(USAGE, f"nothing was written: {error}")
    except OSError as error:
        fail(USAGE, f"`{folder}` cannot be written: {(error.strerror or 'unknown').lower()}")
    show(_render(start))


def _chosen(packs: Sequence[Pack], engine: str, name: str | None) -> Pack:
    if engine not in ENGINES:
        hint = f"`{engine}` is no engine that packs are written for; these are: {', '.join(ENGINES)}"
        raise typer.BadParameter(hint, param_hint="--engine")
    there = "; ".join(f"{one.name} ({', '.join(one.engines)})" for one in packs)
    if name is not None and all(one.name != name for one in packs):
        raise typer.BadParameter(f"`{name}` is no shipped pack; there are: {there}", param_hint="--pack")
    fitting = [one for one in packs if name in (None, one.name) and engine in one.engines]
    if not fitting:
        which = f"the pack `{name}` is not" if name else "no shipped pack is"
        raise typer.BadParameter(f"{which} written for `{engine}`; there are: {there}", param_hint="--engine")
    # The one that decides most comes first: it shows most of what there is to decide.
    return max(fitting, key=lambda one: (len(one.stages), one.name == "baseline"))


def write(pack: Pack, engine: str, folder: Path) -> Start:
    """Write a start.

    Args:
        pack: where it comes from.
        engine: an engine that the pack is written for.
        folder: where to; made if it is not there.

    Raises:
        FileExistsError: something of it is there already; nothing was written.
        SettingsError: the pack cannot be read.
        OSError: it cannot be written.
    """
    paths = [Path(_SETTINGS), Path(_SCENARIOS), *pack.needed(engine)]
    there = [path.as_posix() for path in paths if os.path.lexists(folder / path)]
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"`{folder}` is no folder; name one")
    if there:
        named = ", ".join(f"`{path}`" for path in there)
        raise FileExistsError(f"in `{folder}` there is already {named}; choose another folder")
    questions = sum(len(load_scenarios(path)) for path in pack.scenarios(engine))
    # The settings come last: a start that was cut short is none.
    texts = {_SCENARIOS: _scenarios_text(pack, engine), _SETTINGS: settings_text(pack, engine)}
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths[2:]:
        _copy(pack.folder / path, folder / path)
    for name, text in texts.items():
        with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return Start(folder=folder, pack=pack, engine=engine, paths=paths, questions=questions)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        # Bytes alone: what is installed may be read-only, and a start is there to be changed.
        unwanted = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(source, target, ignore=unwanted, copy_function=shutil.copyfile)
        for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
            folder.chmod(folder.stat().st_mode | 0o700)
        return
    with target.open("xb") as file:
        file.write(source.read_bytes())


def _scenarios_text(pack: Pack, engine: str) -> str:
    """The scenarios of all languages, and after them those of this one."""
    first, *others = (path.read_text(encoding="utf-8") for path in pack.scenarios(engine))
    return "\n".join([first, *(other.replace("scenarios:\n", "", 1) for other in others)])


def settings_text(pack: Pack, engine: str) -> str:
    """The settings file: the pack's own with the engine chosen, monitoring, logging to a file.

    Args:
        pack: where it comes from.
        engine: an engine that the pack is written for.
    """
    node = {"engine": {engine: pack.options(engine)}}
    block = yaml.safe_dump(node, sort_keys=False, default_flow_style=None, width=100)
    parts = [_HEAD, _notes(pack, engine) + block, _MONITOR]
    text = pack.settings.content.decode()
    parts += [part for key, part in _sections(text) if key not in _REPLACED]
    return "\n".join(f"{part.strip()}\n" for part in (*parts, _LOG))


def _notes(pack: Pack, engine: str) -> str:
    return f"# OPA serves them with: {_serve(pack)}\n" if engine == "opa" else ""


def _serve(pack: Pack) -> str:
    named = [path.as_posix() for path in pack.needed("opa")]
    return shlex.join(["opa", "run", "--server", "--addr", OPA_URL.partition("//")[2], *named])


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """The top-level keys of a YAML file, each with its text and the comments above it."""
    lines = text.splitlines()
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = [(key.value, key.start_mark.line) for key, _ in root.value]
    starts = []
    for _, line in keys:
        while line and lines[line - 1].startswith("#"):
            line -= 1  # noqa: PLW2901 -- a comment belongs to the key below it
        starts.append(line)
    for (key, _), start, end in zip(keys, starts, [*starts[1:], len(lines)], strict=True):
        yield key, "\n".join(lines[start:end])


def _render(start: Start) -> Iterator[RenderableType]:
    folder, pack = start.folder, start.pack
    yield Text.assemble(("written", GOOD), plain(f"  in {folder}, from the pack {pack.name}"))
    notes = {
        _SETTINGS: "the settings: monitors, blocks nothing",
        _SCENARIOS: f"{counted(start.questions, 'question')}, and what must come of each",
    }
    rows: list[tuple[str, RenderableType]] = []
    for path in start.paths:
        is_folder = (folder / path).is_dir()
        note = notes.get(path.as_posix(), "the policies" if is_folder else "their data")
        rows.append((f"{path.as_posix()}/" if is_folder else path.as_posix(), plain(note)))
    yield from section("files", field_grid(rows, width=16))
    steps = [] if folder == Path() else [f"cd {shlex.quote(str(folder))}"]
    steps += [_serve(pack)] if start.engine == "opa" else []
    steps.append(f"checkrein test -c {_SETTINGS}")
    if {"model_selection", "pre_prompt"} & {*pack.stages}:
        steps.append(f'checkrein try "What is a checkrein?" -c {_SETTINGS}')
    try:
        load_plugin("engine", start.engine)
    except MissingExtraError as error:
        yield from section("first", plain(str(error), WARNING))
    yield from section("next", *(plain(step) for step in steps))
    yield Text("")
    yield Text("set `default: enforce` in the settings when you like what you see", style=FAINT)
