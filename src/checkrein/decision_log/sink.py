"""A bounded queue between the callers, who never wait, and one thread per process that writes."""

from __future__ import annotations

import atexit
import os
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Condition, RLock, Thread
from time import monotonic
from typing import Final
from weakref import WeakSet

from .targets import File, Stdout

__all__ = ["Sink"]

# The writer gathers this long, or this many events, so that it does not take the GIL record by record.
_GATHER: Final = 0.05
_BATCH: Final = 512
_WAKING: Final = frozenset({1, _BATCH})
# Code points of text that take a slot of their own, so that what is queued is bounded in size as well.
_TEXT_SLOT: Final = 4096
_PAUSES: Final = (0.01, 1.0)
_AT_EXIT: Final = 5.0


class Sink:
    """Queues events and writes them; both sides may be many threads, and callers may be signal handlers.

    Args:
        target: where they go.
        slots: most events that are held and not yet written; text takes slots of its own.
    """

    def __init__(self, target: File | Stdout, slots: int) -> None:
        self._target = target
        self._slots = slots
        self._closing = self._closed = False
        self._begin()
        _LIVE.add(self)

    def _begin(self) -> None:
        # A signal handler that records or closes may enter both again.
        self._lock = RLock()
        self._done = Condition(self._lock)
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._thread: Thread | None = None
        self._queue: deque[tuple[bytes, int]] = deque()
        self._lines: deque[bytes] = deque()
        self._room = self._slots
        self._reserved = self._accepted = self._finished = self._hurried = 0
        reasons = ("written", "queue_full", "masking_failed", "encoding_failed", "write_failed", "closed")
        self.counts = dict.fromkeys(reasons, 0)

    def after_fork(self) -> None:
        """Begin afresh in a forked child: what was queued is the parent's to write."""
        self._begin()
        self._target.close()

    def reserve(self) -> bool:
        """Set a slot aside; False when there is none."""
        with self._lock:
            free = self._room > 0 and not self._closing
            self._room -= free
            self._reserved += free
            return free

    def release(self) -> None:
        """Give back a slot that was set aside."""
        with self._lock:
            taken = min(self._reserved, 1)
            self._reserved -= taken
            self._room += taken

    def put(self, line: bytes, *, text: int = 0, reserved: bool = False, owed: bool = False) -> None:
        """Queue a line, or count it as dropped.

        Args:
            line: an encoded event. It is encoded by its caller, because an event that waits as objects costs
                the next call more, by the memory that it keeps, than encoding it does.
            text: how many code points of text it holds.
            reserved: take the slot that was set aside for it.
            owed: keep it should another event have taken that slot, one that had none set aside.
        """
        with self._lock:
            claimed = reserved and self._reserved > 0
            if claimed:
                self.release()
            if self._closing or not (claimed or self._room > (-self._slots if owed else 0)):
                self.counts["closed" if self._closing else "queue_full"] += 1
                return
            self._room -= 1 + text // _TEXT_SLOT
            self._accepted += 1
            self._queue.append((line, text))
            if len(self._queue) in _WAKING:
                self._wake.put(None)
            if self._thread is None:
                self._start()

    def lose(self, reason: str) -> None:
        """Count an event that is lost before it is queued."""
        with self._lock:
            self.counts[reason] += 1

    def flush(self, timeout: float) -> bool:
        """Wait until all that is queued now is written; False when it was not within `timeout` seconds."""
        with self._done:
            goal = self._accepted
            self._hurried += 1
            self._wake.put(None)
            try:
                return self._done.wait_for(lambda: self._finished >= goal, timeout)
            finally:
                self._hurried -= 1

    def close(self, timeout: float) -> None:
        """Write what is queued for at most `timeout` seconds, count the rest as `write_failed`, and end."""
        with self._done:
            if self._closing:
                return
            self._closing = True
            thread = self._thread
        self._wake.put(None)
        if thread is not None:
            thread.join(timeout)
        with self._done, suppress(Exception):
            # No thread could be started: there are none left, or the interpreter shuts down.
            while thread is None and (self._queue or self._lines):
                self._write_batch()
        with self._done:
            self._finish(self._accepted - self._finished, "write_failed")
            self._closed = True
        if thread is None or not thread.is_alive():
            self._target.close()

    def _start(self) -> None:
        thread = Thread(target=self._run, name="checkrein-decision-log", daemon=True)
        with suppress(RuntimeError):  # no thread now: the next event tries again, and `close` writes
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        pause = 0.0
        while True:
            if not (self._queue or self._lines):
                if self._closing:
                    return
                self._sleep(None)
            while not self._wake.empty():
                self._sleep(0)
            hurry = self._lines or len(self._queue) >= _BATCH or self._hurried or self._closing
            if pause or not hurry:
                self._sleep(pause or _GATHER)
            if self._closed:
                return
            try:
                self._write_batch()
                pause = 0.0
            except Exception:  # noqa: BLE001 -- whatever ails the target, the batch is kept and tried again
                pause = min(max(2 * pause, _PAUSES[0]), _PAUSES[1])

    def _sleep(self, timeout: float | None) -> None:
        with suppress(Empty):
            self._wake.get(timeout=timeout)

    def _write_batch(self) -> None:
        if not self._lines:
            self._take_batch()
        taken = self._target.write(self._lines) if self._lines else 0
        done = 0
        while self._lines and taken >= len(self._lines[0]):
            taken -= len(self._lines.popleft())
            done += 1
        if taken:
            self._lines[0] = self._lines[0][taken:]
        self._finish(done, "written")

    def _take_batch(self) -> None:
        slots = 0
        while self._queue and len(self._lines) + slots < _BATCH:
            line, text = self._queue.popleft()
            slots += text // _TEXT_SLOT
            with self._lock:
                self._room += text // _TEXT_SLOT
            self._lines.append(line)

    def _finish(self, events: int, how: str) -> None:
        with self._done:
            if not self._closed:
                self.counts[how] += events
                self._room += events
                self._finished += events
                self._done.notify_all()


_LIVE: Final[WeakSet[Sink]] = WeakSet()


def _after_fork() -> None:
    for sink in list(_LIVE):
        sink.after_fork()


def _at_exit() -> None:
    deadline = monotonic() + _AT_EXIT
    for sink in list(_LIVE):
        sink.close(max(0.0, deadline - monotonic()))


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_after_fork)
