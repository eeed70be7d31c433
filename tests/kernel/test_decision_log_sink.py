"""The queue and its writer on real files, pipes, forks and threads: bounded, counted, never in the way."""

import io
import json
import os
import resource
import select
import signal
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest

from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.decision_log.sink import Sink
from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, deny, permit
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

BOUND = 20.0


def ask(verdict=None, text="hello"):
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice"),
        resource=Entity(type="model", id="small"),
        segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),),
    )
    records = []
    EnforcementPoint(StaticEngine(verdict or permit()), record=records.append).decide(request)
    return records[-1]


PERMIT, DENIAL = ask(), ask(deny("no"))


def number(decision, value):
    return replace(decision, decision_id=str(value))


def ids(data):
    return [json.loads(line)["decision_id"] for line in data.splitlines()]


class Lossy:
    """A target at `path` that fails every write, by a link to a full device, until it is mended."""

    def __init__(self, path):
        self.path = path
        path.symlink_to("/dev/full")

    def mend(self):
        self.path.unlink()
        self.path.touch()


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


@pytest.fixture
def path(tmp_path):
    return tmp_path / "decisions.jsonl"


@pytest.fixture
def lossy(path):
    return Lossy(path)


@pytest.fixture
def opened():
    logs = []

    def open_log(to, **settings):
        logs.append(DecisionLog(DecisionLogSettings(to=to, **settings)))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close(timeout=0)


def test_a_file_is_its_owners_alone_and_not_inherited_by_programs(opened, path):
    log = opened(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(log._sink._target._fd)


def test_a_file_that_exists_is_appended_to(opened, path):
    path.write_text("before\n")
    log = opened(path)
    log.record(PERMIT)
    log.close()
    assert path.read_text().startswith("before\n{")


def test_the_process_id_stands_in_the_name_where_the_settings_say_so(opened, tmp_path):
    log = opened(tmp_path / "log-{pid}.jsonl")
    log.record(PERMIT)
    log.close()
    assert [file.name for file in tmp_path.iterdir()] == [f"log-{os.getpid()}.jsonl"]


def test_records_are_written_in_the_order_in_which_they_were_made(opened, path):
    log = opened(path)
    for value in range(2000):
        log.record(number(PERMIT, value))
    assert log.flush(BOUND)
    assert ids(path.read_bytes()) == [str(value) for value in range(2000)]
    assert log.written == 2000
    assert not any(log.dropped.values())


def test_a_single_record_is_written_without_being_asked_for(opened, path, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = opened(fifo)
    log.record(PERMIT)
    readable, _, _ = select.select([reader], [], [], BOUND)
    assert readable
    assert ids(os.read(reader, 1 << 16)) == [PERMIT.decision_id]
    os.close(reader)


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


def test_a_slot_that_was_set_aside_is_there_however_much_text_came_between(opened, lossy):
    log = opened(lossy.path, queue=10, content="full", required=True)
    assert log.reserve()
    assert log.reserve()
    log.record(ask(text="x" * 4096 * 60))
    log.record(DENIAL)
    assert not log.reserve()
    assert not any(log.dropped.values())


def test_a_file_that_fails_and_recovers_gets_every_record_once(opened, lossy):
    log = opened(lossy.path)
    for value in range(700):
        log.record(number(PERMIT, value))
    assert not log.flush(0.05)
    lossy.mend()
    assert log.flush(BOUND)
    assert ids(lossy.path.read_bytes()) == [str(value) for value in range(700)]
    assert not any(log.dropped.values())


def test_what_cannot_be_written_by_the_end_is_counted(opened, lossy):
    log = opened(lossy.path)
    for _ in range(5):
        log.record(PERMIT)
    log.close(timeout=0.05)
    assert log.dropped["write_failed"] == 5
    assert log.written == 0
    lossy.mend()
    log._sink._wake.put(None)
    log._sink._thread.join(BOUND)
    assert lossy.path.read_bytes() == b""


def test_a_file_that_was_moved_or_deleted_is_opened_again(opened, path):
    log = opened(path)
    log.record(number(PERMIT, "first"))
    assert log.flush(BOUND)
    path.rename(path.with_suffix(".1"))
    log.record(number(PERMIT, "second"))
    assert log.flush(BOUND)
    assert ids(path.read_bytes()) == ["second"]
    path.unlink()
    log.record(number(PERMIT, "third"))
    assert log.flush(BOUND)
    assert ids(path.read_bytes()) == ["third"]


@pytest.fixture
def torn(opened, tmp_path):
    """A log whose file ran full within its second line, that file, and a way to mend it."""
    path = tmp_path / f"log-{os.getpid()}.jsonl"
    log = opened(tmp_path / "log-{pid}.jsonl")
    log.record(number(PERMIT, "first"))
    assert log.flush(BOUND)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = path.stat().st_size * 3 // 2
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def mend():
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        log.record(number(PERMIT, "second"))
        log.record(number(PERMIT, "third"))
        assert not log.flush(0.1)
        assert path.stat().st_size == room
        yield log, path, mend
    finally:
        mend()
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_file_that_ran_full_within_a_line_gets_the_rest_of_that_line(torn):
    log, path, mend = torn
    mend()
    assert log.flush(BOUND)
    assert ids(path.read_bytes()) == ["first", "second", "third"]
    assert not any(log.dropped.values())


def test_a_file_that_is_moved_within_a_line_gets_the_rest_of_that_line(torn):
    log, path, mend = torn
    moved = path.rename(path.with_suffix(".1"))
    mend()
    assert log.flush(BOUND)
    log.record(number(PERMIT, "fourth"))
    assert log.flush(BOUND)
    assert ids(moved.read_bytes()) == ["first", "second", "third"]
    assert ids(path.read_bytes()) == ["fourth"]


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


class Pipe:
    """A pipe whose write end is a text stream."""

    def __init__(self, *, blocking):
        self.read_end, write_end = os.pipe()
        os.set_blocking(write_end, blocking)
        self.stream = os.fdopen(write_end, "w", encoding="ascii")

    def read(self, lines, at_once=1 << 16):
        """At least so many lines, as far as they come within the bound."""
        data = b""
        while data.count(b"\n") < lines and select.select([self.read_end], [], [], BOUND)[0]:
            data += os.read(self.read_end, at_once)
        return data

    def break_off(self):
        os.close(self.read_end)
        self.read_end = None

    def close(self):
        if self.read_end is not None:
            self.break_off()
        with suppress(OSError):
            self.stream.close()


@pytest.fixture
def pipe_as_output(monkeypatch):
    """Called within the test: what captures the tests' output has set its own before."""
    made = []

    def make(*, blocking=True):
        made.append(Pipe(blocking=blocking))
        monkeypatch.setattr(sys, "stdout", made[-1].stream)
        return made[-1]

    yield make
    monkeypatch.undo()
    for pipe in made:
        pipe.close()


def test_a_reader_that_stops_does_not_stop_the_callers_and_finds_whole_lines_later(opened, pipe_as_output):
    pipe = pipe_as_output()
    log = opened("stdout", queue=600)
    for value in range(1000):
        log.record(number(PERMIT, value))
    kept = 1000 - log.dropped["queue_full"]
    assert kept >= 600
    found = ids(pipe.read(kept))
    assert len(found) == len(set(found)) == kept
    assert log.flush(BOUND)
    assert log.written == kept


@pytest.mark.parametrize("blocking", [True, False])
def test_a_line_longer_than_a_pipe_takes_arrives_whole(opened, pipe_as_output, blocking):
    pipe = pipe_as_output(blocking=blocking)
    log = opened("stdout", content="full")
    big = "ü\n" * 50_000
    for value in range(3):
        log.record(number(ask(text=big), value))
    lines = [json.loads(line) for line in pipe.read(3).splitlines()]
    assert [line["decision_id"] for line in lines] == ["0", "1", "2"]
    assert all(line["input"]["context"]["prompt"]["segments"][0]["text"] == big for line in lines)


def test_writers_of_one_full_pipe_never_cut_each_others_lines(opened, pipe_as_output):
    pipe = pipe_as_output()
    logs = [opened("stdout") for _ in range(4)]
    for value in range(200):
        for name, log in enumerate(logs):
            log.record(number(PERMIT, f"{name}-{value}"))
    assert len(set(ids(pipe.read(800, at_once=1000)))) == 800


def test_what_the_application_has_printed_comes_first_and_whole(opened, pipe_as_output):
    pipe = pipe_as_output()
    log = opened("stdout")
    sys.stdout.write("printed, and not flushed\n")
    log.record(PERMIT)
    printed, ours = pipe.read(2).splitlines()
    assert printed == b"printed, and not flushed"
    assert ids(ours) == [PERMIT.decision_id]


def test_a_broken_pipe_keeps_the_records_until_there_is_an_output_again(opened, pipe_as_output, monkeypatch):
    pipe_as_output().break_off()
    log = opened("stdout")
    log.record(PERMIT)
    assert not log.flush(0.05)
    mended = io.StringIO()
    monkeypatch.setattr(sys, "stdout", mended)
    assert log.flush(BOUND)
    assert ids(mended.getvalue()) == [PERMIT.decision_id]


@pytest.mark.parametrize("stream", [None, "closed"])
def test_no_output_at_all_is_a_failure_that_is_counted(opened, monkeypatch, stream):
    if stream == "closed":
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    log = opened("stdout")
    log.record(PERMIT)
    log.close(timeout=0.05)
    assert log.dropped["write_failed"] == 1


def test_a_required_log_sets_a_slot_aside_and_has_none_left_when_it_is_full(opened, lossy):
    log = opened(lossy.path, queue=2, required=True)
    assert log.reserve()
    assert log.reserve()
    assert not log.reserve()
    log.release()
    assert log.reserve()
    log.record(PERMIT)
    log.record(PERMIT)
    assert not log.reserve()
    lossy.mend()
    assert log.flush(BOUND)
    assert log.reserve()
    assert not any(log.dropped.values())


def test_giving_back_more_than_was_set_aside_makes_no_room(opened, lossy):
    log = opened(lossy.path, queue=1, required=True)
    log.release()
    log.release()
    assert log.reserve()
    assert not log.reserve()


def test_a_denial_without_a_slot_cannot_push_out_the_permit_that_had_one(opened, lossy):
    log = opened(lossy.path, queue=1, required=True)
    assert log.reserve()
    assert not log.reserve()
    log.record(number(DENIAL, "no slot"))
    log.record(number(PERMIT, "had one"))
    lossy.mend()
    assert log.flush(BOUND)
    assert "had one" in ids(lossy.path.read_bytes())


def test_denials_without_a_slot_are_dropped_and_counted_so_that_the_queue_stays_bounded(opened, lossy):
    log = opened(lossy.path, queue=2, required=True)
    for _ in range(50):
        log.record(DENIAL)
    assert log.dropped["queue_full"] == 48
    for _ in range(50):
        log.record(PERMIT)
    assert log.dropped["queue_full"] == 96


def test_a_record_that_cannot_be_masked_gives_its_slot_back(opened, lossy):
    log = opened(lossy.path, queue=1, required=True)
    assert log.reserve()
    log.record(replace(PERMIT, document={"context": {"prompt": {}}}))
    assert log.dropped["masking_failed"] == 1
    assert log.reserve()


def test_a_log_that_is_not_required_always_lets_pass_and_reserves_nothing(opened, lossy):
    log = opened(lossy.path, queue=1)
    assert all(log.reserve() for _ in range(10))
    log.release()
    log.record(PERMIT)
    assert log.reserve()
    assert not any(log.dropped.values())


def test_a_required_log_without_room_denies_the_call(lossy, opened):
    log = opened(lossy.path, queue=1, required=True)
    pep = EnforcementPoint(StaticEngine(permit()), record=log)
    assert not pep.decide(PERMIT.request).denied
    assert pep.decide(PERMIT.request).denied


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


def test_a_sink_that_nobody_holds_any_more_is_let_go():
    sink = Sink(Path, 1)
    gone = weakref.ref(sink)
    del sink
    assert gone() is None
