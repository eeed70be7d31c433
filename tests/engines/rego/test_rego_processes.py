"""A Rego engine in processes that fork, and in processes that end."""

import subprocess
import sys

FORKED = """package checkrein.pre_prompt

default decision := false

decision if input.x == 1
"""
FORK = """
import os, sys, threading
from pathlib import Path
from checkrein.document import EvaluationRequest
from checkrein.vocabulary import AccessRequest, Entity, Stage
from checkrein_rego import RegoEngine

options = RegoEngine.Options.model_validate(
    {"name": "rego", "bundle": sys.argv[1], "backend": sys.argv[2]}, context={"base": Path()}
)
engine = RegoEngine.from_options(options)

def ask(x):
    request = AccessRequest(
        stage=Stage.PRE_PROMPT, subject=Entity(type="u", id="a"), resource=Entity(type="model", id="m")
    )
    return engine.evaluate(EvaluationRequest(request=request, document={"x": x})).effect.value

stop, ready = threading.Event(), threading.Event()
def busy():
    while not stop.is_set():
        assert ask(1) == "permit"
        ready.set()
thread = threading.Thread(target=busy)
thread.start()
ready.wait()
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        right = [ask(1), ask(2), ask(1)] == ["permit", "deny", "permit"]
        thread_right = []
        other = threading.Thread(target=lambda: thread_right.append(ask(2) == "deny"))
        other.start()
        other.join()
        os._exit(0 if right and thread_right == [True] else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
stop.set()
thread.join()
print(codes, ask(1))
"""


def test_a_forked_child_gets_answers_of_its_own(write, backend):
    bundle = write(**{"policy.rego": FORKED})
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, bundle, backend],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0] permit\n", "")


def test_a_process_that_ends_with_an_open_engine_ends_quietly(write, backend):
    bundle = write(**{"policy.rego": "package checkrein.pre_prompt\n\ndecision := true\n"})
    script = f"""
import threading
from pathlib import Path
from checkrein_rego import RegoEngine
options = RegoEngine.Options.model_validate(
    {{"name": "rego", "bundle": {str(bundle)!r}, "backend": {backend!r}}}, context={{"base": Path()}}
)
engine = RegoEngine.from_options(options)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
