"""Follows live changes: a watcher or the clock says when, and one thread rebuilds."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

__all__ = ["Follower"]

# How often a watcher that can tell is asked whether it still listens, in seconds.
_CHECK: Final = 30


class Follower:
    """A daemon thread that reloads.

    A watcher's own thread is never held up, and nothing that fails here can end it: redis-watcher stops
    listening when its callback raises.

    Args:
        reload: reads the policy anew; it must not raise.
        make_watcher: makes the watcher from the callback; None when only the clock tells.
        refresh: seconds between readings that nobody asked for; None for none.
    """

    def __init__(
        self,
        reload: Callable[[], None],
        make_watcher: Callable[[Callable[..., None]], Any] | None,
        refresh: float | None,
    ) -> None:
        self._reload = reload
        self._told = Event()
        self._closed = False
        self._refresh = refresh
        self._watcher = make_watcher(self.changed) if make_watcher else None
        self._thread = Thread(target=self._run, name="checkrein-casbin", daemon=True)
        self._thread.start()

    def changed(self, *_: Any) -> None:
        """Tell that the policy changed; returns at once."""
        self._told.set()

    def close(self) -> None:
        """Stop; may be called again."""
        self._closed = True
        self._told.set()
        close = getattr(self._watcher, "close", None)
        if callable(close):  # redis-watcher has a flag of that name
            close()
        self._watcher = None

    def _run(self) -> None:
        listens = getattr(self._watcher, "should_reload", None)
        waits = [one for one in (self._refresh, _CHECK if callable(listens) else None) if one is not None]
        read = monotonic()
        while True:
            told = self._told.wait(min(waits, default=None))
            self._told.clear()
            if self._closed:
                return
            due = self._refresh is not None and monotonic() - read >= self._refresh
            # A watcher that had lost its connection has missed messages; asked, it connects again.
            lost = callable(listens) and not told and bool(listens())
            if told or due or lost:
                self._reload()
                read = monotonic()
