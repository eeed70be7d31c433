"""Whether OPA has its policies: before its first bundle arrives it answers every rule with nothing at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import Final

from checkrein.errors import EngineFailure, FailureCause
from checkrein.flow import Flow

from .connection import late
from .waiting import Await
from .wire import Response

__all__ = ["PERIOD", "Readiness"]

PERIOD: Final = 1.0
"""Seconds for which one look counts."""

_OK: Final = 200
_OUTAGES: Final = range(500, 600)


class Readiness:
    """Looks at `/health?bundles`, at most once a second, whoever asks.

    Args:
        look: sends the request, given a deadline.
    """

    def __init__(self, look: Callable[[float], Flow[Response]]) -> None:
        self._look = look
        # A look whose event loop was closed over it ends when it is collected: in the middle of anything.
        self._lock = threading.RLock()
        self._looking: Future[None] | None = None
        self._seen_at = -PERIOD
        self._seen: EngineFailure | None = None

    def check(self, deadline: float) -> Flow[None]:
        """Return when OPA has its policies.

        Raises:
            EngineFailure: `unreachable` when it has not; `engine_error` when its health cannot be read, so
                that an undefined rule (which a caller may bring about) never passes for an outage.
        """
        while True:
            with self._lock:
                if monotonic() - self._seen_at < PERIOD:
                    if self._seen is not None:
                        raise EngineFailure(self._seen.cause, self._seen.detail)
                    return
                other = self._looking
                if other is None:
                    mine = self._looking = Future()
            if other is None:
                yield from self._look_for_all(mine, deadline)
                continue
            yield Await(other, deadline)
            if not other.done() and late(deadline):
                raise EngineFailure(FailureCause.TIMEOUT, "no word on OPA's health within `timeout`")

    def _look_for_all(self, mine: Future[None], deadline: float) -> Flow[None]:
        seen: EngineFailure | None = None
        known = False
        try:
            response = yield from self._look(deadline)
            seen = _judged(response.status)
            known = True
        except EngineFailure as failure:
            seen, known = failure, True
        finally:
            with self._lock:
                if known:
                    self._seen, self._seen_at = seen, monotonic()
                self._looking = None
            mine.set_result(None)


def _judged(status: int) -> EngineFailure | None:
    if status == _OK:
        return None
    if status in _OUTAGES:
        return EngineFailure(
            FailureCause.UNREACHABLE, f"no result, and OPA has not loaded its bundles: `{status}`"
        )
    return EngineFailure(
        FailureCause.ENGINE_ERROR,
        f"no result, and `/health?bundles` answers `{status}`; let us read it, or define a default",
    )
