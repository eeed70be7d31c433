"""Looks at the decisions of an enforcement point while a test runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from checkrein.decision import Decision

__all__ = ["capture_decisions"]


class _Subscribable(Protocol):
    def subscribe(self, subscriber: Callable[[Decision], None], /) -> Callable[[], Any]: ...


@contextmanager
def capture_decisions(pep: _Subscribable) -> Iterator[list[Decision]]:
    """Collect every decision that is recorded inside the `with`, besides the normal record.

        with capture_decisions(pep) as decisions:
            agent.invoke(...)
        assert [one.request.stage for one in decisions] == ["pre_prompt", "post_completion"]

    Captures nest, and decisions made by other threads are in the list too.

    Args:
        pep: the `EnforcementPoint`.

    Yields:
        the decisions, in the order in which they were recorded; it grows until the `with` ends.
    """
    decisions: list[Decision] = []
    unsubscribe = pep.subscribe(decisions.append)
    try:
        yield decisions
    finally:
        unsubscribe()
