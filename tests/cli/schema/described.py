"""Questions with everything in them or nothing, and whether a value fits a schema."""

from jsonschema import Draft202012Validator

from checkrein.obligations import allowed_at
from checkrein.vocabulary import ANONYMOUS, AccessRequest, Entity, Origin, Segment, Stage

ALICE = Entity(type="user", id="alice", properties={"tier": "pro", "groups": ["data"], "roles": ["analyst"]})
MODEL = Entity(
    type="model", id="gpt-4o", properties={"size": "large", "input_price": 2500000, "output_price": 10000000}
)
TOOL = Entity(type="tool", id="send")
DETECTORS = {stage: ["us_ssn", "email", "injection"] for stage in Stage if stage is not Stage.TOOL_CALL}
CONTEXT = {
    "operation": "chat",
    "environment": {"host": "litellm-proxy", "endpoint": "/chat/completions"},
    "estimated": {"prompt_tokens": 203, "max_tokens": 512},
    "usage": {"spent_micros": 1200000, "limit_micros": 50000000, "requests": 12, "quota": 100},
    "uninspected": [{"kind": "image", "segment": 1}],
}
OWN = {
    Stage.PRE_PROMPT: {"tools": ["search"]},
    Stage.POST_COMPLETION: {
        "tokens": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "finish_reason": "stop",
        "partial": False,
    },
    Stage.TOOL_CALL: {
        "tool": {"arguments": {"to": "bob", "deep": [{"a": None}]}, "call_id": "t1"},
        "model": "m",
    },
    Stage.TOOL_RESULT: {"tool": {"call_id": "t1"}},
}


def asked(stage, *, bare=False, **changes):
    origin = {Stage.POST_COMPLETION: Origin.ASSISTANT, Stage.TOOL_RESULT: Origin.TOOL}.get(stage, Origin.USER)
    pieces = (
        Segment(path=(0,), role="system", origin=Origin.SYSTEM, text="be kind"),
        Segment(path=(1,), role=origin.value, origin=origin, text="SSN 536-90-4399, mail jo@example.com ü"),
    )
    given = {
        "stage": stage,
        "subject": ANONYMOUS if bare else ALICE,
        "resource": TOOL if stage in (Stage.TOOL_CALL, Stage.TOOL_RESULT) else MODEL,
        "context": {} if bare else {**CONTEXT, **OWN.get(stage, {})},
        "segments": () if bare or stage is Stage.TOOL_CALL else pieces,
        "supports": allowed_at(stage),
        "call_id": "call-1",
    }
    return AccessRequest(**{**given, **changes})


def fits(schema, value):
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)] == []
