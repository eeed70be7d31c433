"""The exception of a denied call: LiteLLM's word for it and Checkrein's at once."""

from __future__ import annotations

from typing import Any, Final

from fastapi import HTTPException
from litellm.exceptions import GuardrailRaisedException

from checkrein import Decision, PolicyDenied

__all__ = ["CALL_ID_HEADER", "DECISION_ID_HEADER", "CallDenied", "told_instead"]

CALL_ID_HEADER: Final = "x-checkrein-call-id"
"""Response header: joins the decisions of one call in the decision log."""

DECISION_ID_HEADER: Final = "x-checkrein-decision-id"
"""Response header: the last decision before the answer left."""

# LiteLLM takes 401, 402, 404, 408 and 429 for a sick deployment and cools it down for everyone.
_STATUS: Final = 403


class CallDenied(GuardrailRaisedException, PolicyDenied):
    """A denied call of the proxy.

    A subclass of LiteLLM's own guardrail exception, because that alone keeps its status and its fields on
    every way to the client and is neither retried nor counted as a failure of the deployment.

    Args:
        decision: the denied decision, as it was recorded.
    """

    def __init__(self, decision: Decision) -> None:
        # LiteLLM's constructor would hand its message to the next class, which takes a decision.
        PolicyDenied.__init__(self, decision)
        self.guardrail_name = "checkrein"
        self.status_code = _STATUS
        # Of a batch, LiteLLM leaves out what was judged, and stops at what nobody could judge.
        self.blocked_content = decision.failure is None
        self.message = decision.message
        self.type = "policy_denied"
        self.param = None
        self.provider_specific_fields: dict[str, Any] = {
            "decision_id": decision.decision_id,
            "stage": decision.request.stage.value,
            "reasons": [reason.code for reason in decision.reasons],
        }
        self.headers = {CALL_ID_HEADER: decision.call_id, DECISION_ID_HEADER: decision.decision_id}


def told_instead(decision: Decision) -> HTTPException:
    """The denial as LiteLLM takes it from a failure hook.

    Where a fallback is denied, LiteLLM tells its caller how the first model failed, who would try again.
    """
    denial = CallDenied(decision)
    error = HTTPException(_STATUS, denial.message, denial.headers)
    for name in ("type", "param", "provider_specific_fields"):
        setattr(error, name, getattr(denial, name))
    return error
