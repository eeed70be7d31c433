"""Live changes: every request is answered from one version of the policy, whatever fails or follows."""

import json
import logging
import os
import select
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from threading import Event

import casbin
import pytest
from watched import ALICE, ALLOWED, BOUND, Watcher, append_rows, told_of

from checkrein.errors import EngineFailure, PolicyLoadError, SettingsError
from checkrein.vocabulary import Effect
from checkrein_casbin import CasbinEngine, following
from checkrein_casbin.following import Follower


def test_sixteen_threads_ask_while_the_policy_is_swapped_two_hundred_times(listed, asked, rules):
    """Every answer is of one version: its revision, its row and its obligation belong together."""

    def version(n):
        return {
            "p": [["ask", f"{n} == {n}", "allow", f"code{n}"]],
            "p2": [["ask", f"{n} == {n}", f"limit_tokens max_tokens={n + 1}"]],
        }

    engine = listed(rules, version(0))
    known = {listed(rules, version(n)).revision: n for n in range(7)}
    done = Event()
    question = asked(act="ask")

    def work(_):
        answers = 0
        seen = set()
        while not done.is_set() or answers < 50:
            verdict = engine.evaluate(question)
            n = known[verdict.revision]
            assert verdict.effect is Effect.PERMIT
            assert [reason.code for reason in verdict.reasons] == [f"code{n}"]
            assert [one.properties["max_tokens"] for one in verdict.obligations] == [n + 1]
            seen.add(n)
            answers += 1
        return answers, seen

    with ThreadPoolExecutor(16) as pool:
        workers = [pool.submit(work, n) for n in range(16)]
        try:
            for n in range(1, 201):
                engine._adapter.rows = version(n % 7)
                engine.reload()
        finally:
            done.set()
        results = [worker.result(BOUND) for worker in workers]
    assert all(answers >= 50 for answers, _ in results)
    # Many versions were answered from, and the last one answers now.
    assert len(set.union(*(seen for _, seen in results))) > 1
    assert known[engine.evaluate(question).revision] == 200 % 7


def test_the_library_s_own_reload_is_not_safe_under_traffic(basic):
    """Why a new version is built beside the old one: the library clears the roles that it answers from."""
    rows = "g, user:alice, staff\np, staff, *, invoke, allow, x\n"
    adapter = casbin.persist.adapters.string_adapter.StringAdapter(rows)
    plain = basic.replace("r = sub, obj, act, dom, subject, resource, ctx", "r = sub, obj, act")
    theirs = casbin.Enforcer(casbin.Enforcer.new_model(text=plain), adapter)
    assert theirs.enforce("user:alice", "model:x", "invoke")
    seen = []
    build = theirs.model["g"]["g"].rm.add_link

    def in_the_middle(*link):
        seen.append(theirs.enforce("user:alice", "model:x", "invoke"))
        build(*link)

    theirs.rm_map["g"].add_link = in_the_middle
    theirs.load_policy()
    assert seen == [False]


def test_rows_that_do_not_load_leave_the_old_ones_in_force(listed, asked, basic):
    engine = listed(basic, {"p": [ALLOWED], "g": [ALICE]})
    before = engine.revision
    engine._adapter.rows = {"p": [["staff", "*", "invoke", "Deny", ""]]}
    with pytest.raises(PolicyLoadError, match="`eft` is `Deny`"):
        engine.reload()
    assert engine.revision == before
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_a_reload_of_the_same_rows_is_no_new_version(listed, basic, swaps):
    engine = listed(basic, {"p": [ALLOWED]}, on_swap=swaps)
    assert engine.reload() == engine.revision
    assert swaps.seen == []


def test_a_file_is_read_again(load, asked, basic, tmp_path):
    engine = load(basic, "g, user:alice, staff\n")
    assert engine.evaluate(asked()).effect is Effect.NOT_APPLICABLE
    (tmp_path / "policy.csv").write_text("g, user:alice, staff\np, staff, *, invoke, allow,\n")
    engine.reload()
    assert engine.evaluate(asked()).effect is Effect.PERMIT


class TestFollowing:
    def test_what_fails_is_logged_and_ends_nothing(self, listed, basic, swaps, caplog):
        engine = listed(basic, {"p": [ALLOWED]}, on_swap=swaps)
        channel = []
        engine.follow(lambda changed: told_of(Watcher(channel), changed))
        failed = Event()
        handler = logging.Handler()
        handler.emit = lambda _: failed.set()
        logger = logging.getLogger("checkrein.casbin")
        logger.addHandler(handler)
        try:
            engine._adapter.rows = {"p": [["staff"]]}
            Watcher(channel).update()
            assert failed.wait(BOUND)
        finally:
            logger.removeHandler(handler)
        engine._adapter.rows = {"p": [ALLOWED], "g": [ALICE]}
        Watcher(channel).update()
        swaps.wait()
        assert "stays in force: row 1 of `p`: has `1` values" in caplog.text

    def test_what_an_adapter_says_stays_out_of_the_log(self, listed, basic, caplog):
        engine = listed(basic, {"p": [ALLOWED]})

        def fail(_):
            raise RuntimeError("secret-word")

        engine._adapter = types.SimpleNamespace(load_policy=fail)
        engine._try_reload()
        assert "raised `RuntimeError`" in caplog.text
        assert "secret-word" not in caplog.text

    def test_the_clock_is_enough(self, listed, asked, basic, swaps):
        engine = listed(basic, {"p": [ALLOWED]}, on_swap=swaps)
        engine.follow(None, 0.01)
        engine._adapter.rows = {"p": [ALLOWED], "g": [ALICE]}
        swaps.wait()
        assert engine.evaluate(asked()).effect is Effect.PERMIT

    def test_a_watcher_that_had_lost_its_connection_has_missed_something(self, monkeypatch):
        monkeypatch.setattr(following, "_CHECK", 0.01)
        reloaded = Event()
        asked = count()
        watcher = types.SimpleNamespace(should_reload=lambda: next(asked) == 3, close=False)
        follower = Follower(reloaded.set, lambda _: watcher, None)
        assert reloaded.wait(BOUND)
        assert next(asked) >= 4
        follower.close()
        follower._thread.join(BOUND)
        assert not follower._thread.is_alive()

    def test_messages_that_come_while_it_reads_count_once_more(self):
        begun, go, done = Event(), Event(), Event()
        times = count(1)

        def reload():
            time = next(times)
            begun.set()
            assert go.wait(BOUND)
            if time == 2:
                done.set()

        follower = Follower(reload, None, None)
        follower.changed("one")
        assert begun.wait(BOUND)
        for _ in range(100):
            follower.changed()
        go.set()
        assert done.wait(BOUND)
        follower.close()
        follower._thread.join(BOUND)
        assert next(times) == 3

    def test_closing_ends_it(self, listed, basic):
        engine = listed(basic, {"p": [ALLOWED]})
        channel = []
        engine.follow(lambda changed: told_of(Watcher(channel), changed), 3600)
        thread = engine._follower._thread
        engine.close()
        engine.close()
        thread.join(BOUND)
        assert not thread.is_alive()
        assert channel[0].closed == 1
        with pytest.raises(SettingsError, match="closed"):
            engine.reload()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_follows_by_a_watcher_and_a_connection_of_its_own(basic, asked, listed):
    made = []

    def make_adapter():
        made.append("adapter")
        rows = {"p": [ALLOWED], "g": [ALICE]} if os.getpid() != parent else {"p": [ALLOWED]}
        return types.SimpleNamespace(load_policy=lambda model: append_rows(model, rows))

    parent = os.getpid()
    engine = CasbinEngine("casbin", listed(basic, {})._definition, make_adapter)
    channel = []
    engine.follow(lambda changed: told_of(Watcher(channel), changed))
    engine._lock.acquire()  # another thread of the parent is within a reload
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            effects = [engine.evaluate(asked()).effect.value for _ in range(2)]
            alive = engine._follower._thread.is_alive()
            os.write(write_end, json.dumps([effects, made, len(channel), alive]).encode())
            status = 0
        os._exit(status)
    engine._lock.release()
    os.close(write_end)
    if not select.select([read_end], [], [], BOUND)[0]:
        os.kill(child, 9)
    answer = os.read(read_end, 65536)
    os.close(read_end)
    assert os.waitpid(child, 0)[1] == 0
    assert json.loads(answer) == [["permit", "permit"], ["adapter", "adapter"], 2, True]
    assert engine.evaluate(asked()).effect is Effect.NOT_APPLICABLE
    engine.close()


def test_an_engine_without_live_changes_has_no_thread(listed, basic, asked):
    engine = listed(basic, {"p": [ALLOWED]})
    assert engine._follower is None
    engine.close()
    with pytest.raises(EngineFailure, match="closed"):
        engine.evaluate(asked())
