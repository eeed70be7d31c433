"""What a handler remembers of runs: bounded, the oldest go, threads share it, and a forked child goes on."""

import subprocess
import sys
import threading

from checkrein.vocabulary import Entity
from checkrein_langchain import PolicyCallbackHandler, blocking
from checkrein_langchain.memory import Memory


def test_the_oldest_go_when_there_is_one_too_many():
    memory = Memory(3)

    for number in range(5):
        memory.keep(number, str(number))

    assert len(memory) == 3
    assert [memory.get(number) for number in range(5)] == [None, None, "2", "3", "4"]


def test_what_is_taken_out_is_gone():
    memory = Memory(3)
    memory.keep(1, "one")

    assert memory.pop(1) == "one"
    assert memory.pop(1) is None
    assert memory.get(1) is None


def test_threads_share_it():
    memory = Memory(100)
    errors = []

    def use(start):
        try:
            for number in range(start, start + 5_000):
                memory.keep(number, number)
                assert memory.pop(number) in (number, None)
                memory.keep(number, number)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is one
            errors.append(error)

    threads = [threading.Thread(target=use, args=(10_000 * one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(memory) == 100


def test_runs_that_never_end_are_forgotten(lab):
    handler = PolicyCallbackHandler(lab.govern().pep)
    run = blocking.Run(blocking.bound_identity("alice"), Entity(type="model", id="m"))

    for number in range(blocking._MOST_RUNS + 5):
        handler._runs.keep(number, run)

    assert len(handler._runs) == blocking._MOST_RUNS


SCRIPT = """
import os, threading
from langchain_core.language_models import FakeListChatModel
from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, permit
from checkrein_langchain import PolicyCallbackHandler

pep = EnforcementPoint(StaticEngine(permit()), record=lambda decision: None)
PolicyCallbackHandler(pep).install()
model, ended = FakeListChatModel(responses=["answer"]), threading.Event()
model.invoke("hi")  # LangChain imports at a first call: a fork in the middle of that hangs without us

def busy():
    while not ended.is_set():
        model.invoke("hi")

threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
children = []
for _ in range(20):
    child = os.fork()
    if not child:
        model.invoke("hi")
        os._exit(0)
    children.append(child)
print(sum(os.waitpid(child, 0)[1] == 0 for child in children))
ended.set()
"""


def test_a_child_that_is_forked_in_the_middle_of_calls_does_not_hang():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], check=True, timeout=60, capture_output=True, text=True
    )

    assert done.stdout.split() == ["20"]
