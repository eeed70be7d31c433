"""What LiteLLM's own logs are told: outcomes of decisions, and prompts as policy changed them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any, Final, Literal

from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.litellm_core_utils.core_helpers import get_or_create_metadata_bucket
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.types.guardrails import GuardrailEventHooks
from litellm.types.utils import StandardLoggingGuardrailInformation

from checkrein import Decision, Stage
from checkrein_litellm.endpoints import Endpoint

from .calls import Call

__all__ = ["log_admission", "log_changes", "log_decisions", "status_of"]

Status = Literal[
    "success", "guardrail_flagged", "guardrail_intervened", "guardrail_failed_to_respond", "not_run"
]

_log = logging.getLogger("checkrein.litellm")
_KEY: Final = "standard_logging_guardrail_information"
_MICROS: Final = 1_000_000
_HOOKS: Final = {
    Stage.MODEL_SELECTION: GuardrailEventHooks.pre_call,
    Stage.PRE_PROMPT: GuardrailEventHooks.pre_call,
    Stage.POST_COMPLETION: GuardrailEventHooks.post_call,
    Stage.TOOL_CALL: GuardrailEventHooks.pre_mcp_call,
    Stage.TOOL_RESULT: GuardrailEventHooks.post_mcp_call,
}


def log_changes(data: Mapping[str, Any], endpoint: Endpoint) -> None:
    """Give LiteLLM's logs the prompt as policy changed it: they keep it as it came in.

    Args:
        data: the request, as it is now.
        endpoint: what kind of call it is.
    """
    log = data.get("litellm_logging_obj")
    said = [data[key] for key in ("messages", *endpoint.content) if data.get(key) is not None]
    if isinstance(log, Logging) and said:
        log.update_messages(said[0])
    request = data.get("proxy_server_request")
    body = request.get("body") if isinstance(request, Mapping) else None
    if isinstance(body, MutableMapping):
        body.update({key: data[key] for key in body if key in data})


def log_admission(guard: CustomGuardrail, call: Call | None, data: dict[str, Any]) -> None:
    """The same as `log_decisions`, before a call is routed: what a later hook can tell as well may wait.

    LiteLLM copies the whole request as soon as it reads here that a guardrail has seen it, which serves the
    evaluations of some endpoints and costs as much as a decision.

    Args:
        guard: the guardrail.
        call: the call; None where there is none.
        data: its request.
    """
    if call is not None and (call.denial is not None or call.let_pass or call.endpoint.operation != "chat"):
        log_decisions(guard, call, data)


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
    if not call.unlogged:
        return
    waiting, call.unlogged = call.unlogged, []
    call.logged = waiting[-1]
    try:
        _add(data, [_entry(guard.guardrail_name or "", one) for one in waiting])
    except Exception as error:  # noqa: BLE001 -- LiteLLM's book-keeping decides nothing about a call
        _log.warning("LiteLLM's logs miss decisions on call `%s`: `%s`", call.call_id, type(error).__name__)


def status_of(decision: Decision) -> Status:
    """A decision in LiteLLM's words.

    `guardrail_failed_to_respond` where an engine had no usable answer, whether the call was stopped for it or
    let pass; `guardrail_intervened` where the call was stopped or changed; `guardrail_flagged` where it would
    have been stopped, under monitor; `not_run` where no engine was asked; else `success`.
    """
    if decision.failure is not None or decision.failed_open:
        return "guardrail_failed_to_respond"
    if decision.denied or (decision.enforced and decision.changes):
        return "guardrail_intervened"
    if not decision.permitted:
        return "guardrail_flagged"
    return "success" if decision.answers else "not_run"


def _entry(name: str, decision: Decision) -> StandardLoggingGuardrailInformation:
    request = decision.request
    found: dict[str, int] = {}
    if decision.changes.texts:
        for finding in decision.findings:
            found[finding.type] = found.get(finding.type, 0) + 1
    return StandardLoggingGuardrailInformation(
        guardrail_name=name,
        guardrail_provider="checkrein",
        guardrail_mode=_HOOKS[request.stage],
        guardrail_status=status_of(decision),
        guardrail_response={
            "decision_id": decision.decision_id,
            "call_id": decision.call_id,
            "attempt": decision.attempt,
            "stage": request.stage.value,
            "resource": request.resource.id,
            "permitted": decision.permitted,
            "enforced": decision.enforced,
            "reasons": [reason.code for reason in decision.reasons],
            "obligations": [f"{one.obligation.type}: {one.state.value}" for one in decision.obligations],
        },
        duration=decision.duration_us / _MICROS,
        masked_entity_count=found or None,
    )


def _add(data: dict[str, Any], entries: list[StandardLoggingGuardrailInformation]) -> None:
    """What `CustomGuardrail.add_standard_logging_guardrail_information_to_request_data` does.

    It looks for text to mask, of which there is none here, and where OpenTelemetry is not installed it
    loads a module anew each time, in vain: that takes longer than a decision.
    """
    containers = [get_or_create_metadata_bucket(data)[1]]
    log = data.get("litellm_logging_obj")
    if isinstance(log, Logging):
        # Of some endpoints LiteLLM logs what stands here.
        params = [getattr(log, "litellm_params", None), log.model_call_details.get("litellm_params")]
        containers += [_metadata_of(one) for one in params if isinstance(one, dict)]
    for container in {id(one): one for one in containers}.values():
        known = container.get(_KEY)
        if isinstance(known, list):
            known += [entry for entry in entries if entry not in known]
        else:
            container[_KEY] = list(entries)
    emit = _telemetry()
    if emit is not None:
        for entry in entries:
            emit(entry)


def _metadata_of(params: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(params.get("metadata"), dict):
        params["metadata"] = {}
    return params["metadata"]  # type: ignore[no-any-return]


@cache
def _telemetry() -> Any:
    """LiteLLM's function that makes a span of an entry, or None where OpenTelemetry is not installed."""
    try:
        return import_module("litellm.integrations.otel.logger").emit_guardrail_span
    except ImportError:
        return None
