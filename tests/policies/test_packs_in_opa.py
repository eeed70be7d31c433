"""The Rego of every shipped pack, served by a real OPA, gives the verdicts that it gives embedded."""

import sys
from pathlib import Path

import pytest
import yaml

import checkrein_policies
from checkrein.building import build_engine
from checkrein.enforcement import EnforcementPoint
from checkrein.loading import load
from checkrein.scenarios import load_scenarios, run_scenario

sys.path.append(str(Path(__file__).parents[1] / "engines" / "opa"))

from opa_server import OpaServer

PACKS = sorted(path.parent for path in Path(checkrein_policies.__file__).parent.glob("*/pack.yaml"))


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_every_scenario_holds_in_opa(pack):
    engines = yaml.safe_load((pack / "pack.yaml").read_text())["engines"]
    data = {}
    for name in engines["rego"].get("data", ()):
        data |= yaml.safe_load((pack / name).read_text())
    settings = load(pack / "settings.yaml").settings
    with OpaServer(pack / "rego", data=data) as server:
        node = build_engine({"opa": {**engines["opa"], "url": server.url, "timeout": 20}}, base=pack)
        pep = EnforcementPoint(node, settings, record=lambda _: None)
        files = [pack / "scenarios.yaml", *pack.glob("scenarios.only-*rego*.yaml")]
        results = [run_scenario(pep, scenario) for file in files for scenario in load_scenarios(file)]
        pep.close()
    assert results
    assert [(result.scenario.name, result.failures) for result in results if not result.passed] == []
