"""The outcome table, every combination of effect, failure, remoteness and `open_on`."""

from itertools import product

import pytest

from checkrein.combining import Failure, Judgement
from checkrein.errors import FailureCause
from checkrein.outcome import conclude
from checkrein.vocabulary import Effect, Reason, Stage

OUTAGES = {FailureCause.TIMEOUT, FailureCause.UNREACHABLE}


@pytest.mark.parametrize(
    ("stage", "effect", "cause", "remote", "opened"),
    list(
        product(
            Stage, [None, *Effect], [None, *FailureCause], [True, False], [(), *[(c,) for c in FailureCause]]
        )
    ),
)
def test_a_call_is_permitted_by_a_permit_or_by_a_named_outage_of_a_remote_engine_alone(
    stage, effect, cause, remote, opened
):
    failures = (Failure(cause, remote),) if cause else ()
    outcome = conclude(Judgement(effect=effect, failures=failures), stage, {stage: opened})
    may_open = cause in OUTAGES and remote and cause in opened
    if effect in (Effect.DENY, Effect.NOT_APPLICABLE):
        expected = False
    elif cause:
        expected = may_open
    else:
        expected = effect is Effect.PERMIT
    assert outcome.permitted is expected
    assert outcome.failed_open is (expected and cause is not None)
    assert (outcome.effect is None) != (outcome.failure is None)
    assert outcome.permitted or outcome.reasons


def test_an_outage_opens_only_at_the_stage_that_is_named():
    judgement = Judgement(effect=None, failures=(Failure(FailureCause.TIMEOUT, remote=True),))
    named = {Stage.PRE_PROMPT: (FailureCause.TIMEOUT,)}
    assert conclude(judgement, Stage.PRE_PROMPT, named).permitted
    assert not conclude(judgement, Stage.MODEL_SELECTION, named).permitted


def test_one_failure_that_cannot_open_closes_beside_one_that_can():
    failures = (Failure(FailureCause.TIMEOUT, remote=True), Failure(FailureCause.ENGINE_ERROR, remote=True))
    outcome = conclude(
        Judgement(effect=Effect.PERMIT, failures=failures),
        Stage.PRE_PROMPT,
        {Stage.PRE_PROMPT: (FailureCause.TIMEOUT,)},
    )
    assert not outcome.permitted
    assert outcome.failure is FailureCause.ENGINE_ERROR


def test_a_refusal_without_a_reason_gets_one():
    assert conclude(Judgement(effect=Effect.DENY), Stage.PRE_PROMPT, {}).reasons == (Reason(code="denied"),)
