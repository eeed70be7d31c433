"""Scenario files: who asks what, and what must come of it; the same file drives every engine."""

from .running import ScenarioResult, arun_scenario, run_scenario
from .scenario import Expectation, Scenario
from .scenario_file import load_scenarios

__all__ = [
    "Expectation",
    "Scenario",
    "ScenarioResult",
    "arun_scenario",
    "load_scenarios",
    "run_scenario",
]
