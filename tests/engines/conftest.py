"""The suite's policy in every language, loaded as settings would."""

import sys
from pathlib import Path

import pytest

from checkrein.building import build_engine

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "opa")]

from opa_server import OpaServer

POLICIES = Path(__file__).parent / "policies"
STAGES = ["model_selection", "pre_prompt", "post_completion", "tool_call"]
NODES = {
    "casbin": {"casbin": {"model": "casbin/model.conf", "policy": "casbin/policy.csv"}},
    "cedar": {"cedar": {"policies": "cedar"}},
    "oso": {"oso": {"policies": "oso"}},
    "regopy": {"rego": {"bundle": "rego"}},
    "regorus": {"rego": {"bundle": "rego", "backend": "regorus"}},
}


@pytest.fixture
def suite_folder():
    """The folder that the paths of the nodes start from."""
    return POLICIES


@pytest.fixture(scope="module")
def suite_opa():
    """A running OPA with the suite's policy."""
    with OpaServer(POLICIES / "rego", logs=False) as server:
        yield server


@pytest.fixture
def suite_node(request):
    """A node of settings by an engine's name; the tests' deadline is far away."""

    def node(name, stages=STAGES):
        if name == "opa":
            known = {"opa": {"url": request.getfixturevalue("suite_opa").url, "timeout": 60}}
        else:
            known = NODES[name]
        return {kind: {**options, "stages": stages} for kind, options in known.items()}

    return node


@pytest.fixture
def suite_engine(suite_node):
    """Makes an engine by its name."""
    engines = []

    def make(name):
        engines.append(build_engine(suite_node(name), base=POLICIES).engine)
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
