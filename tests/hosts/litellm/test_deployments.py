"""The deployments behind a model's name: what policies see of each, and which of them the proxy chooses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import litellm
import pytest
from governed_calls import CALLING, SSN, outside, point, said
from litellm import Router
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.proxy._types import UserAPIKeyAuth

from checkrein import EnforcementPoint
from checkrein.testing import Failure, Upstream, capture_decisions, deny, obligation, permit
from checkrein_litellm import CallDenied, PolicyGuard
from checkrein_litellm.deployments import entity_of, group_of, shared

pytestmark = CALLING

KEY = UserAPIKeyAuth(user_id="alice", request_route="/chat/completions")


def deployment(
    number: str, upstream: Upstream | None = None, name: str = "gpt-4o", **info: Any
) -> dict[str, Any]:
    params = {"model": f"openai/{name}", "api_base": upstream.url if upstream else "http://x", "api_key": "k"}
    return {
        "model_name": name,
        "litellm_params": {**params, "max_retries": 0},
        "model_info": {"id": number, **info},
    }


# What a policy sees


def test_a_deployment_has_the_models_name_and_properties_of_its_own():
    entity = entity_of("gpt-4o", deployment("one", region="eu", size="large"))
    assert (entity.type, entity.id) == ("model", "gpt-4o")
    assert entity.properties == {
        "deployment": "one",
        "provider": "openai",
        "input_price": 2_500_000,
        "output_price": 10_000_000,
        "region": "eu",
        "size": "large",
    }


@pytest.mark.parametrize("key", ["region_name", "aws_region_name", "vertex_location", "watsonx_region_name"])
def test_a_region_is_where_the_provider_is_told_to_answer(key):
    one = deployment("one")
    one["litellm_params"][key] = "eu-west-1"
    assert entity_of("m", one).properties["region"] == "eu-west-1"
    one["model_info"]["region"] = "eu"
    assert entity_of("m", one).properties["region"] == "eu"


def test_what_is_unknown_is_absent():
    unknown = {"litellm_params": {"model": "nobody/knows"}, "model_info": {"region": 7, "size": ""}}
    assert entity_of("m", unknown).properties == {}
    assert entity_of("m", {}).properties == {}


def test_a_price_is_the_operators_own_first():
    one = deployment("one")
    one["litellm_params"]["input_cost_per_token"] = 0.0
    one["model_info"]["output_cost_per_token"] = 1e-06
    properties = entity_of("m", one).properties
    assert (properties["input_price"], properties["output_price"]) == (0, 1_000_000)


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf"), True, "1e-06"])
def test_a_price_that_is_none_is_unknown(cost):
    one = deployment("one")
    one["litellm_params"]["input_cost_per_token"] = cost
    assert "input_price" not in entity_of("m", one).properties


def test_several_share_what_is_equal_and_cost_as_much_as_the_dearest():
    assert shared(
        [{"region": "eu", "input_price": 2}, {"region": "eu", "input_price": 3, "size": "large"}]
    ) == {
        "region": "eu",
        "input_price": 3,
    }
    assert shared([{"region": "eu", "input_price": 2}, {"region": "us"}]) == {}
    assert shared([]) == {}


def test_a_wildcard_stands_for_the_name_that_was_asked_for():
    assert group_of({"model_name": "openai/*"}, "openai/gpt-4o") == "openai/gpt-4o"
    assert group_of({"model_name": "gpt-4o"}, "best") == "gpt-4o"
    team = {"model_name": "team-7-gpt", "model_info": {"team_public_model_name": "gpt-4o"}}
    assert group_of(team, "x") == "gpt-4o"


# The guard at the proxy's own router


class Proxied:
    """A call's way through the proxy: the guard in front, LiteLLM's router, the guard at each deployment."""

    def __init__(self, guard: PolicyGuard, router: Router, pep: EnforcementPoint) -> None:
        self.guard, self.router, self.pep = guard, router, pep

    async def __call__(self, text: str = "hello", model: str = "gpt-4o", **more: Any) -> str:
        messages = said(text)
        log = Logging(
            model=model,
            messages=messages,
            stream=False,
            call_type="acompletion",
            start_time=datetime.now(UTC),
            litellm_call_id=f"call-{text}-{model}",
            function_id="f",
        )
        data = {
            "model": model,
            "messages": messages,
            "metadata": {"user_api_key_auth": KEY},
            "litellm_logging_obj": log,
            "proxy_server_request": {"headers": {}},
            **more,
        }
        data = await self.guard.async_pre_call_hook(KEY, None, data, "acompletion")
        answer = await self.router.acompletion(**data)
        answer = await self.guard.async_post_call_success_hook(data, KEY, answer)
        return answer.choices[0].message.content


@pytest.fixture
def proxied(monkeypatch, proxy_server):
    def make(answer: Any, models: list[Any], **settings: Any) -> Proxied:
        pep = point(answer, {"detectors": {"pre_prompt": ["us_ssn"]}, **settings})
        monkeypatch.setattr("checkrein_litellm.proxy.guard.enforcement_point", lambda *_, **__: pep)
        guard = PolicyGuard(guardrail_name="checkrein")
        fallbacks = [{"sick": ["gpt-4o"]}]
        router = Router(model_list=models, num_retries=0, fallbacks=fallbacks, retry_after=0)
        monkeypatch.setattr(proxy_server, "llm_router", router)
        monkeypatch.setattr(litellm, "callbacks", [guard])
        return Proxied(guard, router, pep)

    return make


async def test_only_permitted_deployments_are_chosen_and_the_chosen_one_is_judged_in_full(proxied, eu, us):
    call = proxied(outside, [deployment("e", eu, region="eu"), deployment("u", us, region="us")])
    with capture_decisions(call.pep) as decisions:
        for number in range(4):
            assert await call(f"hello {number}") == "from the eu"
    assert us.requests == []
    first = decisions[:6]
    assert [(one.request.stage.value, len(one.candidates)) for one in first] == [
        ("model_selection", 0),
        ("pre_prompt", 0),
        ("model_selection", 2),
        ("model_selection", 0),
        ("pre_prompt", 0),
        ("post_completion", 0),
    ]
    assert len({one.call_id for one in first}) == 1
    assert "deployment" not in first[0].request.resource.properties
    assert {one.request.resource.properties["deployment"] for one in first[3:]} == {"e"}
    assert {one.request.resource.id for one in first} == {"gpt-4o"}


async def test_a_group_of_one_is_asked_about_once(proxied, eu):
    call = proxied(permit(), [deployment("e", eu, region="eu")])
    with capture_decisions(call.pep) as decisions:
        await call()
    assert len(decisions) == 3
    assert [one.request.resource.properties["region"] for one in decisions] == ["eu"] * 3


async def test_where_none_is_permitted_the_denial_is_told_and_none_cools_down(proxied, eu, us):
    def answer(request):
        named = "deployment" in request.document["resource"]["properties"]
        return deny("no") if named else permit()

    call = proxied(answer, [deployment("e", eu), deployment("u", us)])
    for number in range(3):
        with pytest.raises(CallDenied) as denied:
            await call(f"hello {number}")
        assert denied.value.status_code == 403
    assert eu.requests == us.requests == []
    assert await call.router.cooldown_cache.async_get_active_cooldowns(["e", "u"], None) == []


async def test_a_deployment_named_by_its_id_is_judged_as_what_it_is(proxied, eu, us):
    call = proxied(outside, [deployment("e", eu, region="eu"), deployment("u", us, region="us")])
    assert await call("one", model="e") == "from the eu"
    with pytest.raises(CallDenied) as denied:
        await call("two", model="u")
    assert denied.value.code == "region"
    assert us.requests == []


async def test_what_is_demanded_of_one_deployment_is_carried_out_there(proxied, eu):
    def answer(request):
        if request.document["resource"]["properties"].get("deployment") is None:
            return permit()
        if request.stage == "pre_prompt":
            return permit(obligation("redact", types=["us_ssn"]))
        return (
            permit(obligation("limit_tokens", max_tokens=9))
            if request.stage == "model_selection"
            else permit()
        )

    call = proxied(answer, [deployment("a", eu), deployment("b", eu)])
    await call(f"it is {SSN}")
    assert eu.requests[0].body["max_tokens"] == 9
    assert SSN not in eu.texts


async def test_a_fallback_is_narrowed_and_judged_too(proxied, eu, us):
    eu.reply = Failure(500)
    models = [
        deployment("s", eu, name="sick"),
        deployment("u1", us, region="us"),
        deployment("u2", us, region="us"),
    ]
    call = proxied(outside, models)
    with capture_decisions(call.pep) as decisions, pytest.raises(litellm.InternalServerError):
        await call(model="sick")  # LiteLLM tells how the first one failed; the guard's failure hook tells why
    assert [one.permitted for one in decisions[-1].candidates] == [False, False]
    assert us.requests == []
    call = proxied(permit(), models)
    assert await call(model="sick") == "from the us"


async def test_a_caller_cannot_pass_one_deployment_off_as_another(proxied, eu, us):
    models = [deployment("e", eu, region="eu"), deployment("u", us, region="us")]
    call = proxied(outside, models)
    told = {
        "deployment": "openai/gpt-4o",
        "deployment_model_name": "gpt-4o",
        "model_info": {"id": "e", "region": "eu"},
    }
    with pytest.raises(CallDenied):
        await call(model="u", litellm_metadata=told, model_info={"id": "e", "region": "eu"})
    assert us.requests == []


async def test_many_calls_at_once_are_each_narrowed_for_their_own(proxied, eu, us):
    call = proxied(outside, [deployment("e", eu, region="eu"), deployment("u", us, region="us")])
    answers = await asyncio.gather(*(call(f"hello {number}") for number in range(20)))
    assert answers == ["from the eu"] * 20
    assert us.requests == []


async def test_monitoring_narrows_nothing(proxied, eu, us):
    call = proxied(deny("no"), [deployment("e", eu), deployment("u", us)], enforcement={"default": "monitor"})
    with capture_decisions(call.pep) as decisions:
        assert await call() in {"from the eu", "from the us"}
    assert [one.enforced for one in decisions] == [False] * 6
