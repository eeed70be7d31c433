"""What we concluded: enforced by the host and recorded in the log as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .errors import FailureCause, PolicyDenied
from .vocabulary import AccessRequest, Effect, Entity, Finding, Obligation, Reason

__all__ = ["Answer", "Candidate", "Changes", "Decision", "Discharge", "DischargedObligation"]


class Discharge(StrEnum):
    """What became of an obligation."""

    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DischargedObligation:
    """An obligation and what became of it; `dropped` = not needed or, under monitor, not carried out."""

    obligation: Obligation
    state: Discharge


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one engine answered.

    Args:
        engine: its name in the settings.
        effect: its effect, or None when it failed.
        cause: why it failed, or None.
        detail: the failure in an operator's words.
        policy_ids: the determining policies.
        revision: the version of its policies.
        cached: whether it was asked at all.
        decision_id: the engine's own id of its decision, or None.
        duration_us: how long it took, in microseconds.
    """

    engine: str
    effect: Effect | None = None
    cause: FailureCause | None = None
    detail: str = ""
    policy_ids: tuple[str, ...] = ()
    revision: str | None = None
    cached: bool = False
    decision_id: str | None = None
    duration_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of several resources that were judged together, before one of them is chosen.

    Args:
        resource: what could be chosen.
        permitted: the judgement on it.
        enforced: whether the judgement stands; False under `monitor`.
        reasons: why; never empty unless permitted.
    """

    resource: Entity
    permitted: bool
    enforced: bool = True
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the host must write back before the call goes on; empty by default.

    Args:
        texts: new text by `Segment.path`; segments that keep their text are absent.
        model: the model to call instead.
        max_tokens: the largest completion, in tokens.
        parameters: request parameters to set.
        remove_tools: names of tools to take out.
        no_store: keep nothing of this call: no cache, no history, no content in any log.
    """

    texts: Mapping[tuple[str | int, ...], str] = field(default_factory=dict, repr=False)
    model: str | None = None
    max_tokens: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remove_tools: frozenset[str] = frozenset()
    no_store: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.texts
            or self.model is not None
            or self.max_tokens is not None
            or self.parameters
            or self.remove_tools
            or self.no_store
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The conclusion on one request.

    Args:
        decision_id: UUIDv7.
        request: what was asked, before any redaction.
        permitted: the judgement.
        enforced: whether the judgement stands; False under `monitor`.
        failed_open: an outage of a remote engine was let pass by `failure.open_on`.
        effect: what the engines said, or None when `failure` is set; exactly one of the two.
        failure: why there was no usable answer.
        reasons: why; never empty on a denial.
        obligations: each with what became of it.
        changes: what the host must write back.
        answers: per engine asked.
        candidates: what became of each, where several were judged together; see `kept`.
        findings: what the detectors found in the request's text.
        document: the input document that the engines saw (AuthZEN request, with the text).
        message: what a denied caller may see.
        duration_us: microseconds from question to conclusion.
    """

    decision_id: str
    request: AccessRequest
    permitted: bool
    enforced: bool
    failed_open: bool = False
    effect: Effect | None = None
    failure: FailureCause | None = None
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[DischargedObligation, ...] = ()
    changes: Changes = field(default_factory=Changes)
    answers: tuple[Answer, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    findings: tuple[Finding, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    message: str = field(default="", repr=False)
    duration_us: int = 0

    @property
    def call_id(self) -> str:
        """Joins the stages of one call."""
        return self.request.call_id

    @property
    def attempt(self) -> int:
        """Which try of the call this is, from 1."""
        return self.request.attempt

    @property
    def denied(self) -> bool:
        """Whether the host must stop the call: not permitted, and the judgement stands."""
        return self.enforced and not self.permitted

    @property
    def kept(self) -> tuple[Entity, ...]:
        """What the host may choose from: candidates that are permitted, or whose refusal does not stand."""
        return tuple(one.resource for one in self.candidates if one.permitted or not one.enforced)

    def raise_if_denied(self, exception: type[PolicyDenied] = PolicyDenied) -> None:
        """Raise when the call must stop.

        Args:
            exception: the host's own subclass of `PolicyDenied`.

        Raises:
            PolicyDenied: the call is denied.
        """
        if self.denied:
            raise exception(self)
