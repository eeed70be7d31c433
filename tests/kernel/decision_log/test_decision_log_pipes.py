"""A log on the output of the process: whole lines through pipes that are slow, full or broken."""

import io
import json
import os
import select
import sys
from contextlib import suppress

import pytest
from logged import BOUND, PERMIT, ask, ids, number


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
