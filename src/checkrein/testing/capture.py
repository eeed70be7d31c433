"""Looks at the decisions of an enforcement point while a test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint

__all__ = ["capture_decisions"]


@contextmanager
def capture_decisions(pep: EnforcementPoint) -> Iterator[list[Decision]]:
    """Collect every decision that is recorded inside the `with`, besides the normal record.

        with capture_decisions(pep) as decisions:
            agent.invoke(...)
        assert [one.request.stage for one in decisions] == ["pre_prompt", "post_completion"]

    Captures nest, and decisions made by other threads are in the list too.

    Args:
        pep: whose decisions.

    Yields:
        The decisions, in the order in which they were recorded; the list grows until the `with` ends and
        stays readable afterwards.
    """
    decisions: list[Decision] = []
    unsubscribe = pep.subscribe(decisions.append)
    try:
        yield decisions
    finally:
        unsubscribe()
