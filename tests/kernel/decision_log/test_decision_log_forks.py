"""A log on both sides of a fork: each its own records, and digests that join or do not."""

import json
import os
import select
from contextlib import suppress
from threading import Barrier, Thread

import pytest
from logged import BOUND, PERMIT, Lossy, ids, number


def in_child(work):
    """Run `work` in a real fork and give what it returned; bounded in time."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            os.write(write_end, json.dumps(work()).encode())
            status = 0
        os._exit(status)
    os.close(write_end)
    readable, _, _ = select.select([read_end], [], [], BOUND)
    if not readable:
        os.kill(child, 9)
    answer = os.read(read_end, 1 << 16)
    os.close(read_end)
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(answer)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_is_forked_within_a_line_begins_with_a_line_of_its_own(torn):
    log, path, mend = torn

    def work():
        mend()
        log.record(number(PERMIT, "child"))
        log.close(BOUND)
        return os.getpid()

    child = in_child(work)
    assert ids(path.with_name(f"log-{child}.jsonl").read_bytes()) == ["child"]
    mend()
    assert log.flush(BOUND)
    assert ids(path.read_bytes()) == ["first", "second", "third"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_writes_its_own_records_and_the_parent_its(opened, tmp_path):
    lossy = Lossy(tmp_path / f"log-{os.getpid()}.jsonl")
    log = opened(tmp_path / "log-{pid}.jsonl", queue=2, required=True)
    log.record(number(PERMIT, "parent"))
    assert log.reserve()
    assert not log.reserve()

    def work():
        had_room = log.reserve()
        log.record(number(PERMIT, "child"))
        log.close(BOUND)
        return [os.getpid(), had_room, log.written, log.dropped]

    child, had_room, written, dropped = in_child(work)
    assert had_room
    assert written == 1
    assert not any(dropped.values())
    assert ids((tmp_path / f"log-{child}.jsonl").read_bytes()) == ["child"]
    lossy.mend()
    assert log.flush(BOUND)
    assert ids(lossy.path.read_bytes()) == ["parent"]
    assert log.written == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_lock_that_a_thread_held(opened, path):
    log = opened(path)
    held, done = Barrier(2), Barrier(2)

    def hold():
        with log._sink._done:
            held.wait(BOUND)
            done.wait(BOUND)

    holder = Thread(target=hold)
    holder.start()
    held.wait(BOUND)

    def work():
        log.record(number(PERMIT, "child"))
        return log.flush(BOUND)

    assert in_child(work)
    done.wait(BOUND)
    holder.join(BOUND)
    assert ids(path.read_bytes()) == ["child"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_equal_texts_have_equal_digests_on_both_sides_of_a_fork(opened, path):
    log = opened(path)
    log.record(PERMIT)
    assert log.flush(BOUND)

    def work():
        log.record(PERMIT)
        return log.flush(BOUND)

    assert in_child(work)
    inputs = [json.loads(line)["input"] for line in path.read_bytes().splitlines()]
    assert len(inputs) == 2
    assert inputs[0] == inputs[1]


def test_without_a_key_of_their_own_two_logs_give_digests_that_do_not_join(opened, tmp_path):
    digests = set()
    for name in ("one", "two"):
        log = opened(tmp_path / name)
        log.record(PERMIT)
        log.close()
        shown = json.loads((tmp_path / name).read_bytes())["input"]
        digests.add(shown["context"]["prompt"]["segments"][0]["digest"])
    assert len(digests) == 2
