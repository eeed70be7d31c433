"""Threads, tasks, forks, endless policies, and life beside other users of cffi."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from checkrein import EnforcementPoint, EngineFailure, Entity
from checkrein.combining import EngineNode

TIERS = """
permit(s: Subject, _, _, ctx) if s.tier in ["pro", "enterprise"] and ctx.prompt.length < 100;
deny(s: Subject, _, _, _, {code: "tier", message: s.id}) if s.tier = "free";
obligation(s: Subject, _, _, _, {type: "no_store", id: s.id}) if s.tier = "enterprise";
"""
FOUR = "a in {0} and b in {0} and c in {0} and d in {0}".format(list(range(60)))


def users(count):
    tiers = ["free", "pro", "enterprise", "none"]
    return [Entity(type="user", id=f"u{n}", properties={"tier": tiers[n % 4]}) for n in range(count)]


def told(verdict):
    return (
        verdict.effect,
        [reason.message for reason in verdict.reasons],
        [one.id for one in verdict.obligations],
    )


def expected(user):
    tier = user.properties["tier"]
    effect = {"free": "deny", "none": "not_applicable"}.get(tier, "permit")
    return effect, [user.id] * (tier == "free"), [user.id] * (tier == "enterprise")


def test_sixteen_threads_get_their_own_answers(engine_of, request_of):
    engine = engine_of(TIERS)
    asked = users(1600)
    requests = [request_of(subject=user) for user in asked]
    with ThreadPoolExecutor(16) as threads:
        verdicts = list(threads.map(engine.evaluate, requests))
    assert [told(verdict) for verdict in verdicts] == [expected(user) for user in asked]
    assert len(engine._idle) <= 16


async def test_a_thousand_tasks_get_their_own_answers(engine_of, request_of):
    pep = EnforcementPoint(EngineNode(engine_of(TIERS)), record=lambda _: None)
    asked = users(1000)
    decisions = await asyncio.gather(*(pep.adecide(request_of(subject=user).request) for user in asked))
    assert not [answer for one in decisions for answer in one.answers if answer.cause]
    assert [one.effect for one in decisions] == [expected(user)[0] for user in asked]
    assert all(one.permitted == (one.effect == "permit") for one in decisions if one.obligations == ())


def test_threads_that_fail_leave_the_others_alone(engine_of, request_of):
    engine = engine_of("permit(s, _, _, _) if s.tier != nil;")
    present, absent = request_of(), request_of(subject=Entity(type="user", id="x"))

    def ask(request):
        try:
            return engine.evaluate(request).effect
        except EngineFailure as failure:
            return failure.cause

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, [present, absent] * 400))
    assert answers == ["permit", "engine_error"] * 400


@pytest.mark.parametrize(
    "policy",
    [
        f"permit(s, _, _, _) if {FOUR} and a + b + c + d + 1 = 0 and s.id.length > 0;",
        f"permit(s, _, _, _) if {FOUR} and s.id.length + a + b + c + d = 0;",
        f"permit(_, _, _, _);\ndeny(s, _, _, _, s.id) if {FOUR} and a + b + c + d + 1 = 0;",
        "permit(s, a, r, ctx) if permit(s, a, r, ctx);",
        "permit(s, _, _, _) if more([s.id]);\nmore(x) if more([x]);",
    ],
)
def test_a_policy_without_an_end_is_stopped(engine_of, request_of, monkeypatch, policy):
    monkeypatch.setenv("POLAR_TIMEOUT_MS", "50")
    engine = engine_of(policy)
    with pytest.raises(EngineFailure) as failure:
        engine.evaluate(request_of())
    assert failure.value.cause == "engine_error"
    assert "QueryTimeout" in failure.value.detail or "StackOverflow" in failure.value.detail
    engine.close()


def test_an_engine_answers_again_after_it_was_stopped(engine_of, request_of, monkeypatch):
    monkeypatch.setenv("POLAR_TIMEOUT_MS", "50")
    engine = engine_of(f'permit(s, _, _, _) if s.tier = "pro" or ({FOUR} and a + b + c + d + 1 = 0);')
    with pytest.raises(EngineFailure):
        engine.evaluate(request_of(subject=Entity(type="user", id="x", properties={"tier": "no"})))
    monkeypatch.setenv("POLAR_TIMEOUT_MS", "10000")
    assert engine.evaluate(request_of()).effect == "permit"


def test_a_panic_of_the_library_is_an_error_and_what_panicked_is_not_asked_again(
    engine_of, request_of, capfd
):
    engine = engine_of('permit(s, _, _, _) if s.tier = "pro" or (s = s and not (x + 1 = 2 and x = x));')
    assert capfd.readouterr().err == ""
    with pytest.raises(EngineFailure, match="the library panicked") as failure:
        engine.evaluate(
            request_of("the-secret", subject=Entity(type="user", id="x", properties={"tier": "no"}))
        )
    assert failure.value.cause == "engine_error"
    assert "the-secret" not in capfd.readouterr().err
    assert not engine._idle
    assert engine.evaluate(request_of()).effect == "permit"


def run(code, tmp_path, **environment):
    (tmp_path / "policy.polar").write_text(TIERS)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SETUP + code],
        cwd=tmp_path,
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SETUP = """
import os, threading
from pathlib import Path
from checkrein import AccessRequest, EnforcementPoint, Entity, Stage
from checkrein.building import build_engine

node = build_engine({"oso": {"policies": "policy.polar"}}, base=Path())
pep = EnforcementPoint(node, record=lambda _: None)
user = Entity(type="user", id="u", properties={"tier": "pro"})
asked = AccessRequest(stage=Stage.PRE_PROMPT, subject=user, resource=Entity(type="model", id="m"))
"""


def test_a_child_process_answers_while_threads_of_its_parent_were_evaluating(tmp_path):
    # From Python 3.12 on, forking beside threads warns: that it works all the same is what is tested.
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
ended = threading.Event()
def work():
    while not ended.is_set():
        assert pep.decide(asked).permitted
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(30):
    assert pep.decide(asked).permitted
    child = os.fork()
    if child == 0:
        os._exit(0 if all(pep.decide(asked).permitted for _ in range(5)) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
ended.set()
for thread in threads:
    thread.join()
print("done")
"""
    ended = run(code, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_a_process_ends_in_silence_with_the_engine_open(tmp_path):
    ended = run("print(pep.decide(asked).permitted)", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")


def test_it_works_beside_cryptography_of_today(tmp_path):
    code = """
import cffi
from cryptography.fernet import Fernet
fernet = Fernet(Fernet.generate_key())
assert int(cffi.__version__.split(".")[0]) >= 2
assert fernet.decrypt(fernet.encrypt(b"x")) == b"x"
assert pep.decide(asked).permitted
assert fernet.decrypt(fernet.encrypt(b"y")) == b"y"
print("both")
"""
    ended = run(code, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "both\n", "")


def test_the_python_layers_of_oso_in_the_same_process_are_left_alone(tmp_path):
    code = """
from oso import Oso
oso = Oso()
oso.load_str('allow("a", "b", "c");')
assert oso.is_allowed("a", "b", "c") and not oso.is_allowed("a", "b", "d")
assert pep.decide(asked).permitted
assert oso.is_allowed("a", "b", "c")
print("both")
"""
    ended = run(code, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "both\n", "")


def test_many_evaluations_leave_no_memory_behind(tmp_path):
    code = """
import resource
def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(300):
    pep.decide(asked)
before = used()
for _ in range(1500):
    pep.decide(asked)
print((used() - before) < 4096)
"""
    ended = run(code, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "")
