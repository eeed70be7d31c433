"""What a handler remembers of runs: bounded, the oldest go, threads share it, and a forked child goes on."""

import subprocess
import sys
import threading

from checkrein.vocabulary import Entity
from checkrein_langchain import PolicyCallbackHandler
from checkrein_langchain.bounded_map import BoundedMap
from checkrein_langchain.handler import enforcement
from checkrein_langchain.identity import bound_identity


def test_the_oldest_go_when_there_is_one_too_many():
    kept = BoundedMap(3)

    for number in range(5):
        kept.keep(number, str(number))

    assert len(kept) == 3
    assert [kept.get(number) for number in range(5)] == [None, None, "2", "3", "4"]


def test_what_is_taken_out_is_gone():
    kept = BoundedMap(3)
    kept.keep(1, "one")

    assert kept.pop(1) == "one"
    assert kept.pop(1) is None
    assert kept.get(1) is None


def test_threads_share_it():
    kept = BoundedMap(100)
    errors = []

    def use(start):
        try:
            for number in range(start, start + 5_000):
                kept.keep(number, number)
                assert kept.pop(number) in (number, None)
                kept.keep(number, number)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is one
            errors.append(error)

    threads = [threading.Thread(target=use, args=(10_000 * one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert len(kept) == 100


def test_runs_that_never_end_are_forgotten(lab):
    handler = PolicyCallbackHandler(lab.govern().pep)
    run = enforcement.Run(bound_identity("alice"), Entity(type="model", id="m"))

    for number in range(enforcement._MOST_RUNS + 5):
        handler._runs.keep(number, run)

    assert len(handler._runs) == enforcement._MOST_RUNS


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
