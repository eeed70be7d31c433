"""Every example runs, offline, as a stranger would run it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkrein import EnforcementPoint
from checkrein.scenarios import load_scenarios, run_scenario

ROOT = Path(__file__).resolve().parents[2]
ROUTING = ROOT / "examples" / "litellm_routing"


def test_the_quickstart_lets_through_what_it_should_and_no_secret():
    ran = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "The provider saw 5 of 10 prompts, and 0 of the 3 secrets in them." in ran.stdout
    outcomes = re.findall(r" (denied|permitted|redacted|routed)  ", ran.stdout)
    assert outcomes == [
        "permitted",
        "denied",
        "denied",
        "denied",
        "redacted",
        "redacted",
        "denied",
        "routed",
        "permitted",
        "denied",
    ]
    records = re.findall(r'"stage": "(\w+)", "permitted": true', ran.stdout)
    assert records == ["model_selection", "pre_prompt", "post_completion"]


def test_the_proxy_routes_by_policy_and_keeps_what_is_personal_in_the_house():
    ran = subprocess.run(
        [sys.executable, ROUTING / "run.py"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = re.findall(
        r"^  (pia|finn|hana) .*  (gpt-\S+|llama-\S+|denied)  +(.*?) *$", ran.stdout, re.MULTILINE
    )
    assert rows == [
        ("pia", "gpt-4o-mini", ""),
        ("pia", "gpt-4o", "complexity"),
        ("pia", "gpt-4o", "complexity"),
        ("finn", "llama-3.3", "budget, complexity"),
        ("finn", "denied", "budget.spent"),
        ("pia", "llama-3.3", "privacy"),
        ("pia", "denied", "privacy.external"),
        ("hana", "llama-3.3", "privacy"),
    ]
    assert (
        "Outside: 3 of 8 prompts, 0 of the 2 numbers in them. In the house: 3 prompts, 1 number."
        in ran.stdout
    )


@pytest.mark.parametrize("scenario", load_scenarios(ROUTING / "scenarios.yaml"), ids=lambda one: one.name)
def test_the_scenarios_of_routing_in_the_proxy_hold(scenario, monkeypatch, tmp_path):
    monkeypatch.setenv("CHECKREIN_EXAMPLE", str(tmp_path))
    pep = EnforcementPoint.from_settings(ROUTING / "settings.yaml", record=lambda _: None)

    assert run_scenario(pep, scenario).failures == ()
    pep.close()
