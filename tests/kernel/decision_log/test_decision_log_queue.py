"""The queue of a log: bounded, counted, never in the way of those who fill it."""

import json
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread

from logged import BOUND, PERMIT, ask, ids, number

from checkrein.decision_log.sink import Sink


def test_many_threads_lose_nothing_and_count_everything(opened, path):
    log = opened(path, queue=100)
    barrier = Barrier(8)

    def work(worker):
        barrier.wait()
        for value in range(500):
            log.record(number(PERMIT, f"{worker}-{value}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    log.close(BOUND)
    found = ids(path.read_bytes())
    assert len(found) == len(set(found)) == log.written
    assert log.written + log.dropped["queue_full"] == 4000


def test_a_full_queue_drops_what_comes_and_counts_it(opened, lossy):
    log = opened(lossy.path, queue=3)
    for value in range(5):
        log.record(number(PERMIT, value))
    assert log.dropped["queue_full"] == 2
    assert not log.flush(0)
    lossy.mend()
    assert log.flush(BOUND)
    assert ids(lossy.path.read_bytes()) == ["0", "1", "2"]
    assert log.written == 3


def test_text_takes_slots_of_its_own(opened, lossy):
    log = opened(lossy.path, queue=100, content="full")
    big = ask(text="x" * 4096 * 60)
    for _ in range(3):
        log.record(big)
    assert log.dropped["queue_full"] == 1


def test_text_that_is_written_gives_its_slots_back(opened, path):
    log = opened(path, queue=100, content="full")
    big = ask(text="x" * 4096 * 60)
    for _ in range(5):
        log.record(big)
        assert log.flush(BOUND)
    assert log.written == 5


def test_after_the_end_records_are_counted_and_a_required_log_lets_nothing_pass(opened, path):
    log = opened(path, required=True)
    log.close()
    log.close()
    assert not log.reserve()
    log.record(PERMIT)
    log.event("late")
    assert log.dropped["closed"] == 2
    assert path.read_bytes() == b""
    assert log.flush(0)


def test_a_value_that_cannot_even_be_looked_at_costs_its_own_record_alone(opened, path):
    class Broken(dict):
        def items(self):
            raise RuntimeError

    log = opened(path)
    log.event("odd", value=Broken(), number=1 << 70)
    log.event("even")
    assert log.flush(BOUND)
    assert [json.loads(line)["event"] for line in path.read_bytes().splitlines()] == ["even"]
    assert log.dropped["encoding_failed"] == 1


def test_a_signal_handler_may_record_and_close_while_a_record_is_being_queued(opened, path):
    log = opened(path)
    with log._sink._done:  # where the signal could fall
        log.record(PERMIT)
        assert log.reserve()
    worker = Thread(target=log.close)
    worker.start()
    worker.join(BOUND)
    assert log.written == 1


def test_without_a_thread_to_be_had_the_records_are_written_at_the_end(opened, path, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    log = opened(path)
    log.record(number(PERMIT, 1))
    log.record(number(PERMIT, 2))
    log.close()
    assert ids(path.read_bytes()) == ["1", "2"]


def test_a_sink_that_nobody_holds_any_more_is_let_go():
    sink = Sink(Path, 1)
    gone = weakref.ref(sink)
    del sink
    assert gone() is None
