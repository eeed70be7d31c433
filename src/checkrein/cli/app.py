"""The commands: their options, their errors and their exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import SettingsError
from checkrein.plugins import load_plugin

from . import check as checking
from . import check_view, scenario_run, trying
from .common import (
    DOES_NOT_LOAD,
    FAILED,
    USAGE,
    AsJson,
    Config,
    fail,
    forget,
    loaded_from,
    standard_input,
)
from .comparing import compare
from .explaining import explain
from .render import clean, print_json, show
from .schema import schema
from .starting import init
from .subject import EXAMPLE, parse_subject

__all__ = ["app"]

_UNKNOWN_MODEL: Final = "unknown"

app = typer.Typer(
    name="checkrein",
    help="Policy-as-code in front of every LLM call: begin, check, try, test, explain, compare.",
    epilog="Exit codes: 0 in order, 2 usage, 3 the settings do not load, 4 a test or a check failed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # A traceback with local variables would print prompts.
    pretty_exceptions_enable=False,
)


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
        with loaded_from(config) as loaded:
            EnforcementPoint(loaded.engine, loaded.settings, record=forget)  # compiles the detectors
            told = checking.report(loaded)
    probes = _probes(litellm) if litellm is not None else []
    endpoints, warnings = getattr(probes, "endpoints", ()), getattr(probes, "warnings", ())
    if as_json:
        rows = [checking.endpoint(one) for one in endpoints]
        more = {"uncovered": rows} if litellm is not None else {}
        noted = {"warnings": [*told.get("warnings", ()), *warnings]}
        print_json({**told, "litellm": [checking.probe(one) for one in probes], **more, **noted})
    else:
        if told:
            show(check_view.render(told))
        if litellm is not None:
            show(check_view.render_endpoints(endpoints))
            show(check_view.render_warnings(warnings))
            show(check_view.render_probes(probes, str(litellm)))
    if any(not one.ok for one in probes):
        raise typer.Exit(FAILED)
    if litellm is not None and not probes:
        fail(FAILED, f"`{litellm}` was not probed: its guard hooks no stage")


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
    with loaded_from(config) as loaded:
        pep = EnforcementPoint(loaded.engine, loaded.settings, record=records.append)
        prompt = standard_input(loaded.settings.limits.text) if text == "-" else text
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
    with loaded_from(config) as loaded:
        suites = scenario_run.run_suites(loaded, files or [])
    if junit is not None:
        try:
            scenario_run.write_junit(suites, junit)
        except OSError as error:
            fail(USAGE, f"`{junit}` cannot be written: {(error.strerror or 'unknown').lower()}")
    if as_json:
        print_json(scenario_run.report(suites))
    else:
        show(scenario_run.render(suites))
    if not any(suite.cases for suite in suites):
        fail(FAILED, "nothing was tested; name a scenario file or write tests in the policies' language")
    if any(suite.failed for suite in suites):
        raise typer.Exit(FAILED)


def _probes(config: Path) -> Sequence[Any]:
    try:
        results: Sequence[Any] = load_plugin("host", "litellm")(config)
    except SettingsError as error:
        fail(DOES_NOT_LOAD, str(error))
    return results


app.command()(init)
app.command()(explain)
app.command()(schema)
app.command()(compare)
