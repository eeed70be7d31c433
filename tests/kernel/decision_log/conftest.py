"""Logs that are closed in the end, and files that fail or run full."""

import os
import resource
import signal
import sys
from pathlib import Path

import pytest

from checkrein.decision_log import DecisionLog, DecisionLogSettings

sys.path.append(str(Path(__file__).parent))

from logged import BOUND, PERMIT, Lossy, number


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
