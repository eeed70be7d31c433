"""The outcome table: one pure function from what the engines said to what holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .combining import Judgement
from .errors import FailureCause
from .vocabulary import Effect, Reason, Stage

__all__ = ["Outcome", "conclude"]


class Outcome(NamedTuple):
    """What holds before obligations are looked at.

    Args:
        permitted: whether the call may go on if its obligations hold.
        failed_open: whether an outage was let pass.
        effect: the engines' effect, or None when `failure` is set.
        failure: the first failure that counts, or None.
        reasons: why; never empty unless permitted.
    """

    permitted: bool
    failed_open: bool = False
    effect: Effect | None = None
    failure: FailureCause | None = None
    reasons: tuple[Reason, ...] = ()


def conclude(judgement: Judgement, stage: Stage, open_on: Mapping[Stage, Sequence[FailureCause]]) -> Outcome:
    """Read the table.

    A refusal outranks a failure. A failure denies, unless every failure is an outage (`timeout`,
    `unreachable`) of a remote engine that `open_on` names for this stage: a caller must not be able to
    provoke an opening, and nonsense is not an outage.
    """
    if judgement.effect is Effect.PERMIT and not judgement.failures:
        # The most frequent by far; by place, for a name for each field costs four times as much.
        return Outcome(True, False, Effect.PERMIT, None, judgement.reasons)  # noqa: FBT003
    if judgement.effect in (Effect.DENY, Effect.NOT_APPLICABLE):
        default = "denied" if judgement.effect is Effect.DENY else "not_applicable"
        return Outcome(
            permitted=False, effect=judgement.effect, reasons=judgement.reasons or (Reason(code=default),)
        )
    if judgement.failures:
        may_open = open_on.get(stage, ())
        closing = [
            one
            for one in judgement.failures
            if not (one.remote and one.cause.is_outage and one.cause in may_open)
        ]
        cause = (closing or judgement.failures)[0].cause
        reasons = (Reason(code=f"failure.{cause}"), *judgement.reasons)
        return Outcome(permitted=not closing, failed_open=not closing, failure=cause, reasons=reasons)
    # No engine, no failure: nothing was asked, so nothing permits.
    return Outcome(permitted=False, effect=Effect.NOT_APPLICABLE, reasons=(Reason(code="not_applicable"),))
