"""Logs that are closed in the end, files that fail or run full, and what a log writes of a decision."""

import json
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from checkrein.decision_log import DecisionLog, DecisionLogSettings

sys.path.append(str(Path(__file__).parent))

from logged import BOUND, PERMIT, Lossy, number
from recorded import KEY


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


class Recorder:
    """What logs of any content write of a decision: each log is opened when it is first asked for."""

    def __init__(self, path):
        self.path = path
        self.logs = {}

    def __call__(self, decision, content="facts"):
        return json.loads(self.line(decision, content))

    def line(self, decision, content="facts"):
        if content not in self.logs:
            settings = {"to": self.path / f"{content}.jsonl", "content": content, "digest_key": KEY}
            self.logs[content] = DecisionLog(DecisionLogSettings.model_validate(settings))
        log, file = self.logs[content], self.path / f"{content}.jsonl"
        size = file.stat().st_size
        log.record(decision)
        assert log.flush()
        assert not any(log.dropped.values())
        data = file.read_bytes()[size:]
        assert data.count(b"\n") == 1
        assert data.endswith(b"\n")
        return data.decode()


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    recorder = Recorder(tmp_path_factory.mktemp("logs"))
    yield recorder
    for log in recorder.logs.values():
        log.close()
