"""The example does what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from checkrein import EnforcementPoint
from checkrein.loading import load
from checkrein.scenarios import load_scenarios, run_scenario

EXAMPLE = Path(__file__).parents[3] / "examples" / "oso"


@pytest.fixture
def pep():
    loaded = load(EXAMPLE / "settings.yaml")
    with_log = EnforcementPoint(loaded.engine, loaded.settings, record=lambda _: None)
    yield with_log
    with_log.close()


def test_every_scenario_and_every_inline_query_holds(pep):
    results = [run_scenario(pep, scenario) for scenario in load_scenarios(EXAMPLE / "scenarios.yaml")]
    assert results
    assert [(one.scenario.name, one.failures) for one in results if not one.passed] == []
    (engine,) = pep.node.engines
    native = engine.run_native_tests()
    assert native
    assert all(test.passed for test in native)


def test_it_prints_who_may_invoke_what():
    ended = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE / "run.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = dict(line.split(None, 1) for line in ended.stdout.splitlines() if not line.startswith("{"))
    assert told == {
        "fred": "gpt-4o-mini, llama-local",
        "emma": "mistral-eu, llama-local",
        "sam": "llama-local",
        "ed": "gpt-4o-mini, gpt-4.1-mini, gpt-4o, mistral-eu, llama-local",
        "anonymous": "none",
    }
    assert ended.stderr == ""
