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
from checkrein.errors import FailureCause
from checkrein.loading import LoadedSettings
from checkrein.scenarios import Scenario, load_scenarios, run_scenario
from checkrein.settings import Enforcement, FailureRule

from .render import BAD, FAINT, GOOD, clean, plain

__all__ = ["Suite", "TestCase", "render", "report", "run_suites", "write_junit"]

_DEFAULT: Final = "scenarios.yaml"
_TRIES: Final = 3


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

    Policies are tested, not the way they are rolled out: monitor modes and openings are left out, and an
    engine that did not answer in time is asked again, twice at most.

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
    native = [
        Suite(name=f"{engine.name}, its own tests", cases=_native(engine, engine.name))
        for engine in loaded.engine.engines
        if isinstance(engine, TestableEngine)
    ]
    return [*suites, *(suite for suite in native if suite.cases)]


def _forget(decision: Decision) -> None:
    """Test decisions are no calls: the decision log never sees them."""


def _timed(pep: EnforcementPoint, scenario: Scenario) -> TestCase:
    started = perf_counter()
    for _ in range(_TRIES):
        result = run_scenario(pep, scenario)
        # A deadline is made for calls: a machine that stood still for a moment is no verdict on a policy.
        if result.passed or result.decision.failure is not FailureCause.TIMEOUT:
            break
    seconds = perf_counter() - started
    why = () if result.passed else tuple(_why(result.decision))
    return TestCase(
        name=scenario.name, line=scenario.line, seconds=seconds, failures=(*result.failures, *why)
    )


def _why(decision: Decision) -> Iterator[str]:
    """What a failed expectation is explained by."""
    for reason in decision.reasons:
        yield f"reason: {reason.code}" + (f": {reason.message}" if reason.message else "")
    for answer in decision.answers:
        if answer.cause is not None:
            yield f"engine {answer.engine}: {answer.cause}: {answer.detail}"
        for policy in answer.policy_ids:
            yield f"policy: {policy}"


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
    counts = Table.grid(padding=(0, 2, 0, 0))
    counts.add_column(justify="right", no_wrap=True)
    counts.add_column(justify="right", no_wrap=True)
    counts.add_column(overflow="fold")
    for suite in suites:
        failed = len(suite.failed)
        passed = len(suite.cases) - failed
        counts.add_row(
            plain(f"{passed} passed", GOOD if passed else FAINT),
            plain(f"{failed} failed", BAD if failed else FAINT),
            plain(suite.name),
        )
    yield counts
    for suite in suites:
        for case in suite.failed:
            yield Text("")
            yield _failure(suite, case)
    cases = [case for suite in suites for case in suite.cases]
    failed = sum(1 for case in cases if case.failures)
    seconds = sum(case.seconds for case in cases)
    took = f" in {seconds:.1f} s" if seconds >= 1 else f" in {seconds * 1000:.0f} ms"
    if cases:
        said = (f"{failed} of {len(cases)} failed", BAD) if failed else (f"all {len(cases)} passed", GOOD)
        yield Text("")
        yield Text.assemble(said, (took, FAINT))


def _failure(suite: Suite, case: TestCase) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style=BAD)
    grid.add_column(overflow="fold")
    grid.add_row("FAILED", plain(case.name, "bold"))
    grid.add_row("", plain(f"{suite.name}:{case.line}" if case.line else suite.name, FAINT))
    for failure in case.failures:
        grid.add_row("", plain(failure))
    return grid


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
