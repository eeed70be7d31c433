"""Every shipped pack loads in both backends, passes its own tests and explains its reasons."""

from pathlib import Path

import pytest
import yaml

import checkrein_policies
from checkrein.building import build_engine
from checkrein.enforcement import EnforcementPoint
from checkrein.loading import load
from checkrein.scenarios import load_scenarios, run_scenario

PACKS = sorted(path.parent for path in Path(checkrein_policies.__file__).parent.glob("*/pack.yaml"))
BACKENDS = ("regopy", "regorus")


@pytest.fixture(params=PACKS, ids=lambda pack: pack.name)
def pack(request):
    return request.param


@pytest.fixture(params=BACKENDS)
def pep(request, pack):
    settings = load(pack / "settings.yaml").settings
    ((kind, options),) = settings.engine.items()
    node = build_engine({kind: {**options, "backend": request.param}}, base=pack)
    with_log = EnforcementPoint(node, settings, record=lambda _: None)
    yield with_log
    with_log.close()


def test_every_scenario_holds(pep, pack):
    results = [run_scenario(pep, scenario) for scenario in load_scenarios(pack / "scenarios.yaml")]
    assert results
    assert [(result.scenario.name, result.failures) for result in results if not result.passed] == []


def test_every_native_test_holds(pep):
    (engine,) = pep.node.engines
    results = engine.run_native_tests()
    assert results
    assert [(result.name, result.detail) for result in results if not result.passed] == []


def test_each_reason_that_the_scenarios_expect_is_explained_and_has_a_message_for_callers(pack):
    told = yaml.safe_load((pack / "pack.yaml").read_text())
    messages = load(pack / "settings.yaml").settings.denials.messages
    families = {code.removesuffix("*") for code in told["reasons"] if code.endswith("*")}
    for scenario in load_scenarios(pack / "scenarios.yaml"):
        for code in scenario.expect.reasons or ():
            if code == "unsupported_obligation":
                continue
            assert code in told["reasons"] or any(code.startswith(family) for family in families), code
            assert code in messages, code


def test_the_settings_of_a_pack_name_the_detectors_that_it_says_it_needs(pack):
    told = yaml.safe_load((pack / "pack.yaml").read_text())
    settings = load(pack / "settings.yaml").settings
    assert {stage.value: sorted(names) for stage, names in settings.detectors.items()} == told["detectors"]


def test_a_pack_covers_the_stages_that_it_says_it_decides(pack, pep):
    told = yaml.safe_load((pack / "pack.yaml").read_text())
    (engine,) = pep.node.engines
    assert {stage.value: engine.entrypoint(stage) for stage in engine.stages} == told["entrypoints"]
