"""The words of the house: AuthZEN's, XACML's and OPA's, as frozen values.

A host builds an `AccessRequest`, an engine answers a `Verdict`; `decision.py` holds what we conclude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

__all__ = [
    "ANONYMOUS",
    "EMPTY",
    "AccessRequest",
    "Effect",
    "Entity",
    "Finding",
    "Obligation",
    "Origin",
    "Reason",
    "Segment",
    "Stage",
    "Verdict",
]

EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})
"""No properties, no context; nobody can change it."""


class Stage(StrEnum):
    """Where in a call a policy is asked."""

    MODEL_SELECTION = "model_selection"
    PRE_PROMPT = "pre_prompt"
    POST_COMPLETION = "post_completion"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"

    # A member equals its string, so it hashes as its string; and a lookup costs no call of Python.
    __hash__ = str.__hash__

    @property
    def action(self) -> str:
        """The AuthZEN action name that a request of this stage has by default."""
        return _ACTIONS[self]

    @property
    def has_text(self) -> bool:
        """Whether text is judged (and can be redacted) at this stage; model selection sees facts alone."""
        return self is not Stage.MODEL_SELECTION


_ACTIONS: Final = {
    Stage.MODEL_SELECTION: "invoke_model",
    Stage.PRE_PROMPT: "submit_prompt",
    Stage.POST_COMPLETION: "return_completion",
    Stage.TOOL_CALL: "call_tool",
    Stage.TOOL_RESULT: "return_tool_result",
}


class Effect(StrEnum):
    """An engine's answer. `not_applicable` (nothing matched) is a denial, never a failure."""

    PERMIT = "permit"
    DENY = "deny"
    NOT_APPLICABLE = "not_applicable"

    __hash__ = str.__hash__


class Origin(StrEnum):
    """Who wrote a segment."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    RETRIEVED = "retrieved"

    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A subject or a resource (AuthZEN 1.0, sections 5.1 and 5.2).

    Args:
        type: its kind, for instance `user`, `model`, `tool`.
        id: its name within that kind.
        properties: JSON values that policies may read.
    """

    type: str
    id: str
    properties: Mapping[str, Any] = field(default_factory=dict)


ANONYMOUS: Final = Entity(type="anonymous", id="anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One piece of text of a call.

    Args:
        path: where the host finds it again; opaque to the kernel, and unique within a request.
        role: the message's role in the host's words.
        origin: who wrote it.
        text: the text; kept out of `repr`, so that no traceback or log line shows it.
    """

    path: tuple[str | int, ...]
    role: str
    origin: Origin
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a detector found; offsets are code points into the document's joined text.

    Args:
        type: the detector's name, for instance `us_ssn`.
        origin: who wrote the segment.
        current: whether it stands in the turn being answered.
        segment: index of the segment.
        start: first code point.
        end: one past the last code point.
    """

    type: str
    origin: Origin
    current: bool
    segment: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """The question.

    Args:
        stage: where in the call it is asked.
        subject: who asks; `ANONYMOUS` when nobody is known.
        resource: the model, tool or retriever.
        action: AuthZEN action name; by default the stage's own.
        context: what the host knows besides: `operation`, `environment`, `tools`, `tokens`, `uninspected`,
            `estimated` (`prompt_tokens`, `max_tokens`), `finish_reason`, `partial` ... (JSON values).
        segments: the text of the call, in order; at model selection too, for its facts only.
        supports: obligation types that this host can carry out at this stage.
        call_id: joins the stages of one call.
        attempt: 1 for the first try of the call, then counting retries and fallbacks.
        identity: where the subject comes from: `source`, and `asserted` when a caller merely said so.
    """

    stage: Stage
    subject: Entity
    resource: Entity
    action: str = ""
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    segments: tuple[Segment, ...] = ()
    supports: frozenset[str] = frozenset()
    call_id: str = ""
    attempt: int = 1
    identity: Mapping[str, Any] = field(default_factory=lambda: {"source": "none", "asserted": False})

    @property
    def action_name(self) -> str:
        """The AuthZEN action name: the one given, or the stage's own."""
        return self.action or self.stage.action


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why.

    Args:
        code: stable, dotted, for machines: `pii.us_ssn`.
        message: for the operator; it can echo a prompt, so callers see the settings' catalogue instead.
    """

    code: str
    message: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """What must be done for a permit to hold (AuthZEN obligations profile, draft 1).

    Args:
        type: what to do: `redact`, `route`, ...
        properties: how.
        id: the policy's own name for it, kept for the record.
    """

    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an engine answered.

    Args:
        effect: permit, deny or not_applicable.
        reasons: why.
        obligations: what a permit is bound to.
        policy_ids: the determining policies, in the engine's own names.
        revision: which version of the policies answered.
        cached: whether the answer was remembered instead of asked for.
        decision_id: the engine's own id of its decision, where it has one: it stands in the engine's log.
    """

    effect: Effect
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    policy_ids: tuple[str, ...] = ()
    revision: str | None = None
    cached: bool = False
    decision_id: str | None = None
