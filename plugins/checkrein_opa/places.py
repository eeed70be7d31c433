"""Who may ask now: a bounded number of places, the first come first served.

Without a lock: a question whose event loop was closed over it gives its place back when it is collected as
garbage, and that can happen in the middle of anything, of taking a place too.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, InvalidStateError

from checkrein.flow import Flow

from .waiting import Await

__all__ = ["Places"]


class Places:
    """Places, shared by threads and event loops.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._free = deque([None] * count)
        self._waiting: deque[Future[None]] = deque()

    def enter(self, deadline: float) -> Flow[bool]:
        """Take a place; tell whether there was one before the deadline.

        Args:
            deadline: by `time.monotonic`, in seconds.
        """
        if self._take():
            return True
        place: Future[None] = Future()
        self._waiting.append(place)
        if self._take():  # it became free just before we stood in line
            if not place.cancel():
                self.leave()  # and so did another one
            return True
        entered = False
        try:
            yield Await(place, deadline)
            entered = not place.cancel()
        finally:
            if not entered and not place.cancel():
                self.leave()  # it was given in the last moment, and nobody is here to use it
        return entered

    def leave(self) -> None:
        """Give a place back: to whoever waits for the longest time."""
        while True:
            while self._waiting:
                if self._give():
                    return
            self._free.append(None)
            # Whoever has come in between has looked too early.
            if not self._waiting or not self._take():
                return

    def _take(self) -> bool:
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def _give(self) -> bool:
        try:
            self._waiting.popleft().set_result(None)
        except (IndexError, InvalidStateError):  # nobody is left, or it waits no longer
            return False
        return True
