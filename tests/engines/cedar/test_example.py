"""The example passes its own scenarios, and its schema is what its policies need."""

from pathlib import Path

import pytest

from checkrein.enforcement import EnforcementPoint
from checkrein.errors import PolicyLoadError
from checkrein.scenarios import arun_scenario, load_scenarios, run_scenario

EXAMPLE = Path(__file__).parents[3] / "examples" / "cedar"
SCENARIOS = load_scenarios(EXAMPLE / "scenarios.yaml")


@pytest.fixture
def pep():
    pep = EnforcementPoint.from_settings(EXAMPLE / "settings.yaml", record=lambda decision: None)
    yield pep
    pep.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_the_example_holds(pep, scenario):
    assert run_scenario(pep, scenario).failures == ()
    assert (await arun_scenario(pep, scenario)).failures == ()


def test_a_misspelt_attribute_is_caught_by_the_examples_schema(load, write):
    write("access.cedarschema", (EXAMPLE / "access.cedarschema").read_text())
    policy = 'permit(principal, action, resource) when { context.found_curent.contains("us_ssn") };'
    with pytest.raises(PolicyLoadError, match="found_curent"):
        load(policy, schema={"in": "access.cedarschema"})
