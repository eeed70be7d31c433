"""A denied call, as LangChain's own retries understand it, and whether a denial would be enforced at all."""

from __future__ import annotations

from langchain_core.exceptions import ModelError

import checkrein
from checkrein.decision import Decision
from checkrein.settings import Settings
from checkrein.vocabulary import Entity, Stage

try:
    # A fiftieth of what importing LangChain's models costs, and nothing of LangGraph's own machine.
    from langgraph.errors import GraphBubbleUp
except ImportError:

    class GraphBubbleUp(Exception):  # type: ignore[no-redef]  # noqa: N818 -- LangGraph's name
        """Stands in its place where there is no LangGraph, and so nobody who would catch it."""


__all__ = ["PolicyDenied", "can_stand"]


class PolicyDenied(checkrein.PolicyDenied, ModelError, GraphBubbleUp):  # noqa: N818 -- a denial is no error (AuthZEN 1.0)
    """The call is denied, and the same question has the same answer.

    So the retries and fallbacks of LangChain's agents let it pass (as a `ModelError` whose `is_retryable` is
    False), and those of LangGraph, its error handlers and its tool nodes as well (as a `GraphBubbleUp`): it
    reaches whoever called, is asked about once, and becomes no message that a model never said. `with_retry`
    and `with_fallbacks` take any exception for a reason to go on; there, every try is asked about, and after
    a denial none is made that no policy governs, unless an installed `PolicyCallbackHandler` judges it. What
    a graph runs beside a denied node ends its step before the denial is raised.

    Args:
        decision: the denied decision, as it was recorded.
        hint: what the developer can do about it, if it is the way of calling that is denied.
    """

    def __init__(self, decision: Decision, hint: str = "") -> None:
        super().__init__(decision)
        self.hint = hint

    def __str__(self) -> str:
        told = super().__str__()
        return f"{told}; {self.hint}" if self.hint else told

    def __reduce__(self) -> tuple[type[PolicyDenied], tuple[Decision, str]]:  # type: ignore[override]
        return type(self), (self.decision, self.hint)


def can_stand(settings: Settings, stage: Stage, subject: Entity) -> bool:
    """Whether any denial at this stage would be enforced for this subject."""
    for rule in settings.enforcement.rules:
        known = subject.properties
        named = all(key in known and known[key] == value for key, value in rule.subject.items())
        if named and (not rule.stages or stage in rule.stages):
            if rule.mode == "enforce":
                return True
            if not rule.reasons:
                return False
    return settings.enforcement.default == "enforce"
