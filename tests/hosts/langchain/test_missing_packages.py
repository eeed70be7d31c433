"""What there is where LangChain's agents or LangGraph are not installed, and what it says of the rest."""

import pickle
import subprocess
import sys

import pytest

import checkrein_langchain
from checkrein.errors import CheckreinError
from checkrein_langchain import MissingPackageError

ALONE = """
import importlib.abc, sys

class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {gone}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Gone())

import checkrein_langchain
from checkrein import EnforcementPoint
from checkrein.testing import StaticEngine, permit
from langchain_core.tools import tool

@tool
def look(who: str) -> str:
    '''Look somebody up.'''
    return f"found {{who}}"

pep = EnforcementPoint(StaticEngine(permit()), record=lambda decision: None)
print(checkrein_langchain.guard_tool(look, pep).invoke({{"who": "bob"}}))
for name in ("PolicyMiddleware", "tool_gate", "atool_gate"):
    try:
        getattr(checkrein_langchain, name)
    except checkrein_langchain.MissingPackageError as error:
        print(error)
    else:
        print(name, "is there")
"""


def alone(*gone):
    ran = subprocess.run(
        [sys.executable, "-c", ALONE.format(gone=set(gone))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_tools_are_guarded_without_langgraph_and_the_rest_says_what_it_needs():
    assert alone("langchain", "langgraph") == [
        "found bob",
        "`PolicyMiddleware` needs the package `langchain`; run: pip install langchain",
        "`tool_gate` needs the package `langgraph`; run: pip install langgraph",
        "`atool_gate` needs the package `langgraph`; run: pip install langgraph",
    ]


def test_tool_nodes_are_guarded_without_langchain():
    assert alone("langchain") == [
        "found bob",
        "`PolicyMiddleware` needs the package `langchain`; run: pip install langchain",
        "tool_gate is there",
        "atool_gate is there",
    ]


def test_importing_it_loads_no_runner_of_graphs():
    loaded = "[one in sys.modules for one in ('langgraph.pregel', 'langchain')]"
    code = f"import sys, checkrein_langchain; print({loaded})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert ran.stdout == "[False, False]\n"


def test_the_error_is_one_of_ours_and_an_import_error():
    error = pickle.loads(pickle.dumps(MissingPackageError("tool_gate", "langgraph")))

    assert isinstance(error, CheckreinError)
    assert isinstance(error, ImportError)
    assert (error.wanted, error.package) == ("tool_gate", "langgraph")


def test_what_is_not_there_is_said_as_python_says_it():
    with pytest.raises(AttributeError, match="no attribute `Nothing`"):
        _ = checkrein_langchain.Nothing
