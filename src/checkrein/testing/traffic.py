"""What the test upstream counts and remembers, and how it lets answers out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .exchange import UpstreamRequest

__all__ = ["Traffic"]


class Traffic:
    """What came and went, and how answers are let out; shared by all connections."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.answering = 0
        self.cut_after: int | None = None
        self.pause_after: int | None = None
        self.resumed = threading.Event()
        self.clear()

    def clear(self) -> None:
        """Forget the requests and count from zero."""
        with self.changed:
            self.requests: list[UpstreamRequest] = []
            self.completed = self.aborted = self.chunks = 0

    def remember(self, request: UpstreamRequest) -> None:
        """Keep a request."""
        with self.changed:
            self.requests.append(request)

    def count(self, *, chunks: int = 0, completed: int = 0) -> None:
        """Count before writing: whoever has an answer finds it counted."""
        with self.changed:
            self.chunks += chunks
            self.completed += completed

    @contextmanager
    def one_answer(self) -> Iterator[None]:
        """An answer on its way; a client that leaves meanwhile is counted."""
        with self.changed:
            self.answering += 1
        try:
            yield
        except OSError:
            with self.changed:
                self.aborted += 1
            raise
        finally:
            with self.changed:
                self.answering -= 1
                self.changed.notify_all()
