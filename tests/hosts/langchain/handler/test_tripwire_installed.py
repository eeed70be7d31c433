"""The tripwire is put in and taken out, and what a child process has of it."""

import subprocess
import sys

import pytest

from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def test_a_second_one_is_refused(lab, trip):
    point = trip()

    with pytest.raises(RuntimeError, match="installed already"):
        PolicyCallbackHandler(point.pep).install()
    with pytest.raises(RuntimeError, match="installed already"):
        point.handler.install()


def test_it_can_be_taken_out_and_put_in_again(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    handler, model = PolicyCallbackHandler(point.pep), lab.chat()

    for _ in range(2):
        uninstall = handler.install()
        with pytest.raises(PolicyDenied):
            model.invoke("hi")
        uninstall()
        uninstall()
        assert model.invoke("hi").text == "hello there"


def test_taking_one_out_leaves_the_next_one_in(lab):
    first, second = lab.govern(), lab.govern({Stage.PRE_PROMPT: deny("no")})
    early = PolicyCallbackHandler(first.pep).install()
    early()
    late = PolicyCallbackHandler(second.pep).install()

    try:
        early()
        with pytest.raises(PolicyDenied):
            lab.chat().invoke("hi")
    finally:
        late()


SCRIPT = """
import multiprocessing
from langchain_core.language_models import FakeListChatModel
from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, deny
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied

def install():
    pep = EnforcementPoint(StaticEngine(deny("no")), record=lambda decision: None)
    PolicyCallbackHandler(pep).install()

def ask(_):
    try:
        return FakeListChatModel(responses=["answer"]).invoke("hi").text
    except PolicyDenied:
        return "denied"

def in_child(how, **options):
    with multiprocessing.get_context(how).Pool(1, **options) as pool:
        return pool.map(ask, [0])[0]

if __name__ == "__main__":
    install()
    print(ask(0), in_child("fork"), in_child("spawn"), in_child("spawn", initializer=install))
"""


def test_a_forked_child_has_it_and_a_spawned_one_installs_its_own(tmp_path):
    path = tmp_path / "children.py"
    path.write_text(SCRIPT)

    done = subprocess.run([sys.executable, path], check=True, timeout=120, capture_output=True, text=True)

    assert done.stdout.split() == ["denied", "denied", "answer", "denied"]
