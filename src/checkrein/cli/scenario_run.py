"""`checkrein test`: scenario files, and the tests that the policies carry in their own language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from xml.etree import ElementTree as ET

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.engine import TestableEngine
from checkrein.loading import LoadedSettings
from checkrein.scenarios import Scenario, load_scenarios, run_scenario
from checkrein.settings import Enforcement, FailureRule

from .render import BAD, FAINT, GOOD, clean, indented, plain

__all__ = ["Suite", "TestCase", "render", "report", "run_suites", "write_junit"]

_DEFAULT: Final = "scenarios.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCase:
    """One test that ran.

    Args:
        name: its sentence, or its name in the engine's language.
        line: where it stands in its file; 0 when nobody tells.
        seconds: how long it took.
        failures: what did not hold; empty when it passed.
    """

    name: str
    line: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A scenario file, or the native tests of an engine."""

    name: str
    cases: tuple[TestCase, ...]

    @property
    def failed(self) -> tuple[TestCase, ...]:
        """The tests that did not hold."""
        return tuple(case for case in self.cases if case.failures)


def run_suites(loaded: LoadedSettings, files: Sequence[Path]) -> list[Suite]:
    """Run everything.

    Policies are tested, not the way they are rolled out: monitor modes and openings are left out.

    Args:
        loaded: the settings with their engines.
        files: scenario files; none = `scenarios.yaml` beside the settings file, if it exists.

    Raises:
        SettingsError: a file does not load.
    """
    if not files:
        beside = loaded.path.parent / _DEFAULT
        files = [beside] if beside.exists() else []
    strict = {"enforcement": Enforcement(), "failure": FailureRule()}
    pep = EnforcementPoint(loaded.engine, loaded.settings.model_copy(update=strict), record=_forget)
    # Every file is read before the first scenario runs: a typing error in the last one costs no wait.
    read = [(path, load_scenarios(path)) for path in files]
    suites = [
        Suite(name=str(path), cases=tuple(_timed(pep, scenario) for scenario in scenarios))
        for path, scenarios in read
    ]
    suites += [
        Suite(name=engine.name, cases=_native(engine, engine.name))
        for engine in loaded.engine.engines
        if isinstance(engine, TestableEngine)
    ]
    return suites


def _forget(decision: Decision) -> None:
    """Test decisions are no calls: the decision log never sees them."""


def _timed(pep: EnforcementPoint, scenario: Scenario) -> TestCase:
    started = perf_counter()
    result = run_scenario(pep, scenario)
    return TestCase(
        name=scenario.name, line=scenario.line, seconds=perf_counter() - started, failures=result.failures
    )


def _native(engine: TestableEngine, name: str) -> tuple[TestCase, ...]:
    started = perf_counter()
    try:
        results = engine.run_native_tests()
    except Exception as error:  # noqa: BLE001 -- tests that cannot run have failed
        return (TestCase(name=f"native tests of {name}", failures=(f"{type(error).__name__}: {error}",)),)
    seconds = (perf_counter() - started) / max(len(results), 1)
    return tuple(
        TestCase(
            name=result.name,
            seconds=seconds,
            failures=() if result.passed else (result.detail or "did not hold",),
        )
        for result in results
    )


def report(suites: Iterable[Suite]) -> dict[str, Any]:
    """The run as JSON values."""
    told = [
        {
            "name": suite.name,
            "passed": len(suite.cases) - len(suite.failed),
            "failed": len(suite.failed),
            "tests": [
                {
                    "name": case.name,
                    "line": case.line,
                    "passed": not case.failures,
                    "failures": [*case.failures],
                }
                for case in suite.cases
            ],
        }
        for suite in suites
    ]
    return {
        "passed": sum(suite["passed"] for suite in told),
        "failed": sum(suite["failed"] for suite in told),
        "suites": told,
    }


def render(suites: Sequence[Suite]) -> Iterator[RenderableType]:
    """The run for people: counts first, then each failure, then one line that sums up."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for suite in suites:
        passed, failed = len(suite.cases) - len(suite.failed), len(suite.failed)
        grid.add_row(
            plain(suite.name),
            plain(f"{passed} passed", GOOD if passed else FAINT),
            plain(f"{failed} failed" if failed else "", BAD),
        )
    yield grid
    for suite in suites:
        for case in suite.failed:
            place = f"{suite.name}:{case.line}" if case.line else suite.name
            yield Text("")
            yield Text.assemble(("FAILED  ", BAD), plain(case.name, "bold"), overflow="fold")
            yield indented(plain(place, FAINT), 8)
            for failure in case.failures:
                yield indented(plain(failure), 8)
    told = report(suites)
    seconds = sum(case.seconds for suite in suites for case in suite.cases)
    total = told["passed"] + told["failed"]
    yield Text("")
    yield Text.assemble(
        (f"{told['failed']} of {total} failed", BAD) if told["failed"] else (f"all {total} passed", GOOD),
        (f" in {seconds:.2f} s", FAINT),
    )


def write_junit(suites: Sequence[Suite], path: Path) -> None:
    """Write JUnit XML, as CI systems read it.

    Raises:
        OSError: the file cannot be written.
    """
    root = ET.Element("testsuites")
    for suite in suites:
        below = ET.SubElement(
            root,
            "testsuite",
            name=clean(suite.name),
            tests=str(len(suite.cases)),
            failures=str(len(suite.failed)),
            errors="0",
            skipped="0",
            time=f"{sum(case.seconds for case in suite.cases):.6f}",
        )
        for case in suite.cases:
            one = ET.SubElement(
                below,
                "testcase",
                classname=clean(suite.name),
                name=clean(case.name),
                time=f"{case.seconds:.6f}",
            )
            if case.line:
                one.set("file", clean(suite.name))
                one.set("line", str(case.line))
            if case.failures:
                told = ET.SubElement(one, "failure", message=clean(case.failures[0]))
                told.text = clean("\n".join(case.failures))
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
