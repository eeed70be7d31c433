"""LangChain's own suites for chat models: what passes on the bare model passes on a governed one."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

SUITE = Path(__file__).with_name("standard_suite.py")
# A governed model holds an enforcement point: it is neither made from the environment nor serialised.
APART = {"test_init_from_env", "test_serdes"}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of every test of both suites, by suite and model."""
    report = tmp_path_factory.mktemp("standard") / "report.xml"
    command = [sys.executable, "-m", "pytest", str(SUITE), "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    command += ["--noconftest", "--benchmark-disable", f"--junitxml={report}", "-W", "ignore"]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    # 1: there are failures; they are compared.
    assert done.returncode in (0, 1), done.stdout

    found = {}
    for case in ET.parse(report).iter("testcase"):
        _, kind, name = case.get("classname").rpartition(".")[2].split("_")
        found.setdefault((kind, name), {})[case.get("name")] = outcome(case)
    return found


def outcome(case):
    told = {child.tag for child in case} & {"failure", "error", "skipped"}
    return told.pop() if told else "passed"


def test_a_governed_model_passes_what_the_bare_one_passes(outcomes):
    differing = {
        (kind, model, name): (told, found.get(name))
        for kind in ("unit", "integration")
        for name, told in outcomes[kind, "bare"].items()
        for (of, model), found in outcomes.items()
        if of == kind and name not in APART and found.get(name) != told
    }

    assert {"guarded", "router"} <= {model for _, model in outcomes}
    assert differing == {}


@pytest.mark.parametrize("kind", ["unit", "integration"])
def test_the_bare_model_passes_all_that_needs_no_network(outcomes, kind):
    told = {name: found for name, found in outcomes[kind, "bare"].items() if name not in APART}

    assert [name for name, found in told.items() if found in ("failure", "error")] == []
    assert [*told.values()].count("passed") >= {"unit": 8, "integration": 40}[kind]
