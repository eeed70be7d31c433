"""The writer of a log on real files: every record once and in order, whatever becomes of the file."""

import os
import select

from logged import BOUND, PERMIT, ids, number


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
