"""What LiteLLM's own logs are told of decisions: their outcome, in LiteLLM's words, and no text."""

from __future__ import annotations

import logging
from typing import Any, Final, Literal

from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.types.guardrails import GuardrailEventHooks

from checkrein import Decision, Stage

from .calls import Call

__all__ = ["log_decisions", "status_of"]

Status = Literal["success", "guardrail_flagged", "guardrail_intervened", "guardrail_failed_to_respond"]

_log = logging.getLogger("checkrein.litellm")
_MICROS: Final = 1_000_000
_HOOKS: Final = {
    Stage.MODEL_SELECTION: GuardrailEventHooks.pre_call,
    Stage.PRE_PROMPT: GuardrailEventHooks.pre_call,
    Stage.POST_COMPLETION: GuardrailEventHooks.post_call,
    Stage.TOOL_CALL: GuardrailEventHooks.pre_mcp_call,
    Stage.TOOL_RESULT: GuardrailEventHooks.post_mcp_call,
}


def log_decisions(guard: CustomGuardrail, call: Call | None, data: dict[str, Any]) -> None:
    """Add a call's new decisions to what LiteLLM logs of it: `StandardLoggingPayload.guardrail_information`.

    Args:
        guard: the guardrail, in whose name they stand there.
        call: the call; None where there is none.
        data: its request, as the hook got it.
    """
    if call is None:
        return
    # The decisions on a stream come with its chunks, the last of them alone.
    if call.last is not None and call.last is not call.logged and call.last not in call.unlogged:
        call.unlogged.append(call.last)
    waiting, call.unlogged = call.unlogged, []
    for decision in waiting:
        call.logged = decision
        try:
            _add(guard, decision, data)
        except Exception as error:  # noqa: BLE001 -- LiteLLM's book-keeping decides nothing about a call
            _log.warning(
                "LiteLLM's logs miss decision `%s`: `%s`", decision.decision_id, type(error).__name__
            )


def status_of(decision: Decision) -> Status:
    """A decision in LiteLLM's words.

    `guardrail_failed_to_respond` where an engine had no usable answer, whether the call was stopped for it or
    let pass; `guardrail_intervened` where the call was stopped or changed; `guardrail_flagged` where it would
    have been, under monitor; else `success`.
    """
    if decision.failure is not None or decision.failed_open:
        return "guardrail_failed_to_respond"
    if decision.enforced and (decision.denied or decision.changes):
        return "guardrail_intervened"
    return "success" if decision.permitted else "guardrail_flagged"


def _add(guard: CustomGuardrail, decision: Decision, data: dict[str, Any]) -> None:
    request = decision.request
    told = {
        "decision_id": decision.decision_id,
        "call_id": decision.call_id,
        "attempt": decision.attempt,
        "stage": request.stage.value,
        "resource": request.resource.id,
        "permitted": decision.permitted,
        "enforced": decision.enforced,
        "reasons": [reason.code for reason in decision.reasons],
        "obligations": [f"{one.obligation.type}: {one.state.value}" for one in decision.obligations],
    }
    found: dict[str, int] = {}
    for finding in decision.findings:
        found[finding.type] = found.get(finding.type, 0) + 1
    duration = decision.duration_us / _MICROS
    guard.add_standard_logging_guardrail_information_to_request_data(
        guardrail_json_response=told,
        request_data=data,
        guardrail_status=status_of(decision),
        duration=duration,
        masked_entity_count=found if decision.changes.texts else None,
        guardrail_provider="checkrein",
        event_type=_HOOKS[request.stage],
    )
