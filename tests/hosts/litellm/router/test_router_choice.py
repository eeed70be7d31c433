"""What a governed router chooses from, and what policies see of each deployment."""

from __future__ import annotations

import pytest
from governed_calls import CALLING, STAGES, STREAMED_OR_NOT, WAYS, outside
from routed_calls import both, chat, deployment, routed

from checkrein.testing import StaticEngine, capture_decisions, deny, permit
from checkrein_litellm import CallDenied

pytestmark = CALLING


@WAYS
@STREAMED_OR_NOT
async def test_only_permitted_deployments_are_chosen_and_one_record_tells_of_all(way, stream, eu, us):
    router = routed(outside, both(eu, us))
    with capture_decisions(router.pep) as decisions:
        for _ in range(5):
            assert await chat(router, way, stream=stream) == "from the eu"
    assert us.requests == []
    first, *others = decisions[:4]
    told = [(one.resource.properties["deployment"], one.permitted) for one in first.candidates]
    assert sorted(told) == [("in-eu", True), ("in-us", False)]
    assert first.request.resource.id == "gpt-4o"
    assert [one.request.stage for one in others] == STAGES
    assert {one.request.resource.properties["deployment"] for one in others} == {"in-eu"}
    assert {one.call_id for one in decisions[:4]} == {first.call_id}
    assert {one.attempt for one in decisions[:4]} == {1}


@WAYS
async def test_a_deployment_is_seen_with_what_is_its_own(way, eu, us):
    engine = StaticEngine(permit())
    models = [
        deployment(
            "gpt-4o",
            eu,
            "in-eu",
            info={"region": "eu", "size": "large"},
            input_cost_per_token=2e-06,
            output_cost_per_token=4e-06,
        )
    ]
    await chat(routed(engine, models), way)
    assert engine.asked[0]["resource"] == {
        "type": "model",
        "id": "gpt-4o",
        "properties": {
            "deployment": "in-eu",
            "provider": "openai",
            "region": "eu",
            "size": "large",
            "input_price": 2_000_000,
            "output_price": 4_000_000,
        },
    }
    assert engine.asked[0]["context"]["environment"]["host"] == "litellm-router"
    assert engine.asked[0]["context"]["prompt"]["length"] == 5


@WAYS
@STREAMED_OR_NOT
async def test_where_none_is_permitted_one_denial_is_the_answer(way, stream, eu, us):
    router = routed(deny("no"), both(eu, us), num_retries=3)
    with capture_decisions(router.pep) as decisions, pytest.raises(CallDenied) as denied:
        await chat(router, way, stream=stream)
    assert len(decisions) == 1
    assert denied.value.status_code == 403
    assert [one.permitted for one in decisions[0].candidates] == [False, False]
    assert eu.requests == us.requests == []


@WAYS
async def test_a_denied_user_cools_no_deployment_down(way, eu, us):
    def answer(request):
        return deny("no") if request.document["subject"]["id"] == "mallory" else permit()

    for stage in ("model_selection", "pre_prompt", "post_completion"):

        def at_stage(request, stage=stage):
            return answer(request) if request.stage == stage else permit()

        router = routed(at_stage, both(eu, us), allowed_fails=0, cooldown_time=600)
        for _ in range(4):
            with pytest.raises(CallDenied):
                await chat(router.acting_as("mallory"), way)
        assert await router.cooldown_cache.async_get_active_cooldowns(["in-eu", "in-us"], None) == []
        assert await chat(router.acting_as("alice"), way) in {eu.reply, us.reply}


@WAYS
async def test_a_deployment_named_by_its_id_is_judged_as_what_it_is(way, eu, us):
    router = routed(outside, both(eu, us))
    assert await chat(router, way, model="in-eu") == "from the eu"
    with pytest.raises(CallDenied) as denied:
        await chat(router, way, model="in-us")
    assert denied.value.code == "region"
    assert us.requests == []


@WAYS
async def test_a_wildcard_is_known_by_the_name_that_matched_it(way, eu):
    engine = StaticEngine(permit())
    models = [deployment("openai/*", eu, "any", model="openai/*")]
    await chat(routed(engine, models), way, model="openai/gpt-4o")
    assert {one["resource"]["id"] for one in engine.asked} == {"openai/gpt-4o"}


@WAYS
async def test_an_alias_is_known_by_the_model_that_it_stands_for(way, eu):
    engine = StaticEngine(permit())
    router = routed(engine, [deployment("gpt-4o", eu, "one")], model_group_alias={"best": "gpt-4o"})
    await chat(router, way, model="best")
    assert {one["resource"]["id"] for one in engine.asked} == {"gpt-4o"}


@pytest.mark.parametrize(
    "strategy", ["simple-shuffle", "least-busy", "latency-based-routing", "usage-based-routing-v2"]
)
@WAYS
async def test_every_strategy_chooses_among_the_permitted(way, strategy, eu, us):
    router = routed(outside, both(eu, us), routing_strategy=strategy)
    for _ in range(3):
        assert await chat(router, way) == "from the eu"
    assert us.requests == []
