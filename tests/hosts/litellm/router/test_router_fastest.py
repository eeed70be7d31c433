"""The fastest of several models of a router: a denial is told as ever, and stops no other model."""

from __future__ import annotations

import pytest
from governed_calls import CALLING, said
from routed_calls import deployment, routed

from checkrein.testing import Failure, Upstream, capture_decisions, deny, permit
from checkrein_litellm import CallDenied

pytestmark = CALLING


def forbids(*models):
    return lambda request: deny("no") if request.document["resource"]["id"] in models else permit()


def two(eu, us, answer, settings=None):
    return routed(answer, [deployment("open", eu, "o"), deployment("secret", us, "s")], settings)


async def fastest(router, model="secret, open", **more):
    return await router.abatch_completion_fastest_response(model=model, messages=said("hello"), **more)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
async def test_a_denial_of_all_models_is_told_in_full(stage, stream, eu, us):
    router = two(eu, us, lambda request: deny("no") if request.stage == stage else permit())
    with capture_decisions(router.pep) as decisions, pytest.raises(CallDenied) as denied:
        await fastest(router, stream=stream)
    decision_id = denied.value.decision.decision_id
    told = {"decision_id": decision_id, "stage": stage, "reasons": ["no"]}
    assert denied.value.provider_specific_fields == told
    assert decision_id in {one.decision_id for one in decisions}
    assert decision_id in str(denied.value)
    assert (denied.value.__cause__, denied.value.__context__) == (None, None)
    assert eu.requests == us.requests == []


async def test_a_denial_of_all_answers_is_told_in_full(eu, us):
    router = two(eu, us, lambda request: deny("no") if request.stage == "post_completion" else permit())
    with pytest.raises(CallDenied) as denied:
        await fastest(router)
    assert denied.value.decision.request.stage == "post_completion"


async def test_the_first_denial_of_several_is_told(eu, us):
    router = two(eu, us, lambda request: deny(request.document["resource"]["id"]))
    with pytest.raises(CallDenied) as denied:
        await fastest(router)
    assert denied.value.provider_specific_fields["reasons"] == ["secret"]


@pytest.mark.parametrize("model", ["secret, open", "open, secret", "secret,secret,open"])
async def test_the_permitted_models_still_race(model, eu, us):
    answer = await fastest(two(eu, us, forbids("secret")), model)
    assert answer.choices[0].message.content == "from the eu"
    assert us.requests == []


async def test_a_denial_is_told_where_the_permitted_model_fails(us):
    with Upstream(Failure(500)) as sick, pytest.raises(CallDenied):
        await fastest(two(sick, us, forbids("secret")))
    assert us.requests == []


async def test_a_failure_that_is_no_denial_stays_what_litellm_makes_of_it():
    with Upstream(Failure(500)) as sick, pytest.raises(Exception, match="All tasks failed") as failed:
        await fastest(two(sick, sick, permit()))
    assert not isinstance(failed.value, CallDenied)


async def test_the_fastest_stream_is_given_out(eu, us):
    stream = await fastest(two(eu, us, forbids("secret")), stream=True)
    assert "".join([one.choices[0].delta.content or "" async for one in stream]) == "from the eu"
    assert us.requests == []
