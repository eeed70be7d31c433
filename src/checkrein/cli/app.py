"""The commands: their options, their errors and their exit codes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import SettingsError
from checkrein.loading import CONFIG_VARIABLE, LoadedSettings, load
from checkrein.plugins import load_plugin

from . import check as checking
from . import check_view, scenario_run, trying
from .render import clean, console, print_json, show
from .subject import EXAMPLE, parse_subject

__all__ = ["app"]

USAGE: Final = 2
DOES_NOT_LOAD: Final = 3
FAILED: Final = 4
_UNKNOWN_MODEL: Final = "unknown"

app = typer.Typer(
    name="checkrein",
    help="Policy-as-code in front of every LLM call: check the settings, try a prompt, test the policies.",
    epilog="Exit codes: 0 in order, 2 usage, 3 the settings do not load, 4 a test or a check failed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # A traceback with local variables would print prompts.
    pretty_exceptions_enable=False,
)

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="PATH", envvar=CONFIG_VARIABLE, help="The settings file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 -- typer hands a flag by position
    if wanted:
        typer.echo(f"checkrein {version('checkrein')}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Nothing of its own: typer wants a place for `--version`."""


@app.command()
def check(
    *,
    config: Config = None,
    litellm: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="A LiteLLM proxy's config: fire synthetic denials through its guard."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load everything and say what the settings come to."""
    told: dict[str, Any] = {}
    if config or litellm is None:
        with _loaded(config) as loaded:
            EnforcementPoint(loaded.engine, loaded.settings, record=_forget)  # compiles the detectors
            told = checking.report(loaded)
    probes = _probes(litellm) if litellm is not None else []
    if as_json:
        print_json({**told, "litellm": [checking.probe(one) for one in probes]})
    else:
        if told:
            show(check_view.render(told))
        if litellm is not None:
            show(check_view.render_probes(probes, str(litellm)))
    if any(not one.ok for one in probes):
        raise typer.Exit(FAILED)
    if litellm is not None and not probes:
        _fail(FAILED, f"`{litellm}` was not probed: its guard hooks no stage")


@app.command(name="try")
def try_(  # noqa: PLR0913 -- one parameter for each option
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The prompt; - reads standard input.")],
    *,
    config: Config = None,
    who: Annotated[
        str | None, typer.Option("--as", metavar="TYPE:ID,KEY=VALUE", help=f"Who asks: {EXAMPLE}")
    ] = None,
    model: Annotated[str, typer.Option(metavar="NAME", help="The model that is asked for.")] = _UNKNOWN_MODEL,
    completion: Annotated[str | None, typer.Option(metavar="TEXT", help="What the model answered.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask every stage about one call, as a host would.

    No model is called and nothing is logged. A denial is an answer: the exit code is 0.
    """
    try:
        subject = parse_subject(who)
    except ValueError as error:
        raise typer.BadParameter(clean(error), param_hint="--as") from None
    records: list[Decision] = []
    with _loaded(config) as loaded:
        pep = EnforcementPoint(loaded.engine, loaded.settings, record=records.append)
        prompt = _standard_input(loaded.settings.limits.text) if text == "-" else text
        trial = trying.attempt(
            pep, records, subject=subject, model=model, prompt=prompt, completion=completion
        )
    if as_json:
        print_json(trying.report(trial))
    else:
        show(trying.render(trial))


@app.command(name="test")
def run_tests(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES", help="Scenario files; by default scenarios.yaml beside the settings file."
        ),
    ] = None,
    *,
    config: Config = None,
    junit: Annotated[Path | None, typer.Option(metavar="PATH", help="Write JUnit XML as well.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run scenario files and the policies' own tests.

    Policies are tested, not the way they are rolled out: everything is enforced and nothing opens.
    """
    with _loaded(config) as loaded:
        suites = scenario_run.run_suites(loaded, files or [])
    if junit is not None:
        try:
            scenario_run.write_junit(suites, junit)
        except OSError as error:
            _fail(USAGE, f"`{junit}` cannot be written: {(error.strerror or 'unknown').lower()}")
    if as_json:
        print_json(scenario_run.report(suites))
    else:
        show(scenario_run.render(suites))
    if not any(suite.cases for suite in suites):
        _fail(FAILED, "nothing was tested; name a scenario file or write tests in the policies' language")
    if any(suite.failed for suite in suites):
        raise typer.Exit(FAILED)


@contextmanager
def _loaded(config: str | None) -> Iterator[LoadedSettings]:
    """The settings with their engines, closed in the end; whatever does not load ends the command."""
    if not config:
        hint = f"no settings file is named; give its path or set {CONFIG_VARIABLE}"
        raise typer.BadParameter(hint, param_hint="--config")
    try:
        loaded = load(config)
    except SettingsError as error:
        _fail(DOES_NOT_LOAD, str(error))
    except Exception as error:  # noqa: BLE001 -- a plug-in's fault is told in a line as well
        _fail(DOES_NOT_LOAD, f"loading `{config}` raised `{type(error).__name__}`: {error}")
    try:
        yield loaded
    except SettingsError as error:
        _fail(DOES_NOT_LOAD, str(error))
    finally:
        for engine in loaded.engine.engines:
            engine.close()


def _probes(config: Path) -> Sequence[Any]:
    try:
        results: Sequence[Any] = load_plugin("host", "litellm")(config)
    except SettingsError as error:
        _fail(DOES_NOT_LOAD, str(error))
    return results


def _standard_input(limit: int) -> str:
    """A prompt from a pipe, without its last line end; no more is read than would be denied."""
    content = sys.stdin.buffer.read(limit + 2)
    # What is over the limit may be cut inside a character; it is denied for its size, not for that.
    text = content.decode(errors="surrogateescape" if len(content) <= limit else "replace")
    return text.removesuffix("\n").removesuffix("\r")


def _fail(code: int, message: str) -> NoReturn:
    console(error=True).print(clean(f"error: {message}"), style="red", soft_wrap=True)
    raise typer.Exit(code)


def _forget(decision: Decision) -> None:
    """No decision is made by looking."""
