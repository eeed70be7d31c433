"""What a denied caller gets, as LangChain's own retries understand it, and when errors are withheld, too."""

from __future__ import annotations

from langchain_core.exceptions import ModelError

import checkrein
from checkrein.decision import Decision
from checkrein.errors import CheckreinError
from checkrein.settings import Settings
from checkrein.vocabulary import Entity, Stage

try:
    # A fiftieth of what importing LangChain's models costs, and nothing of LangGraph's own machine.
    from langgraph.errors import GraphBubbleUp
except ImportError:

    class GraphBubbleUp(Exception):  # type: ignore[no-redef]  # noqa: N818 -- LangGraph's name
        """Stands in its place where there is no LangGraph, and so nobody who would catch it."""


__all__ = ["AnswerWithheldError", "PolicyDenied", "can_stand", "withholding"]


class PolicyDenied(checkrein.PolicyDenied, ModelError, GraphBubbleUp):  # noqa: N818 -- a denial is no error (AuthZEN 1.0)
    """The call is denied, and the same question has the same answer.

    So the retries and fallbacks of LangChain's agents let it pass (as a `ModelError` whose `is_retryable` is
    False), and those of LangGraph, its error handlers and its tool nodes as well (as a `GraphBubbleUp`): it
    reaches whoever called, is asked about once, and becomes no message that a model never said. `with_retry`
    and `with_fallbacks` take any exception for a reason to go on; there, every try is asked about, and a
    fallback that is not governed itself only by an installed `PolicyCallbackHandler`. What a graph runs
    beside a denied node ends its step before the denial is raised.

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


class AnswerWithheldError(CheckreinError, ModelError):
    """The model raised an error that can hold an answer which no policy has judged; its type is named."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"`{kind}` was raised while the model's answer was read; its text is withheld, because it can "
            "hold an answer that no policy has judged; call the model without `guard` to see it"
        )
        self.kind = kind

    def __reduce__(self) -> tuple[type[AnswerWithheldError], tuple[str]]:
        return type(self), (self.kind,)


# Raised before an answer is there, or about the connection.
_WITHOUT_ANSWER = (AttributeError, ImportError, ModelError, NotImplementedError, OSError, TypeError)


def withholding(error: Exception) -> Exception:
    """The error to raise instead: itself, unless it can hold an answer.

    Errors of parsing quote what they could not parse, and LangChain puts the whole response of an error into
    traces. HTTP errors and errors of the connection hold none.
    """
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    answered = getattr(response, "status_code", status)
    if isinstance(answered, int):
        refused = answered >= 400  # noqa: PLR2004 -- HTTP: an error, so its body is no answer
        return error if refused else AnswerWithheldError(type(error).__name__)
    # Looked up, not read: httpx raises where a request is missing.
    of_connection = "request" in vars(error) or hasattr(type(error), "request")
    if response is None and (isinstance(error, _WITHOUT_ANSWER) or of_connection):
        return error
    return AnswerWithheldError(type(error).__name__)


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
