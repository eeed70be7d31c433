"""The example of routing does what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from checkrein import EnforcementPoint
from checkrein.scenarios import load_scenarios, run_scenario

EXAMPLE = Path(__file__).parents[4] / "examples" / "langchain_routing"


@pytest.mark.parametrize("scenario", load_scenarios(EXAMPLE / "scenarios.yaml"), ids=lambda one: one.name)
def test_its_scenarios_hold(scenario):
    pep = EnforcementPoint.from_settings(EXAMPLE / "settings.yaml", record=lambda _: None)

    assert run_scenario(pep, scenario).failures == ()
    pep.close()


def test_each_call_reaches_the_model_that_it_may_and_no_number_leaves_the_house():
    command = [sys.executable, "-W", "error::UserWarning", EXAMPLE / "run.py"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 0, ran.stderr
    answered = [line.split()[-1] for line in ran.stdout.splitlines() if line.startswith(("  pia", "  finn"))]
    assert answered == [
        "gpt-4o-mini",
        "gpt-4o",
        "gpt-4o",
        "llama-3.3",
        "llama-3.3",
        "budget.call",
        "privacy.external",
    ]
    assert "Outside: 3 of 7 prompts, 0 of the 2 numbers in them." in ran.stdout
    assert "In the house: 2 prompts, 1 number." in ran.stdout
