"""What verdicts do to the calls of a governed router: obligations, failures, monitoring and replies."""

from __future__ import annotations

import asyncio

import litellm
import pytest
from governed_calls import (
    CALLING,
    ENGINES_WITHOUT_A_USABLE_ANSWER,
    REDACT,
    REDACTED,
    SSN,
    STAGES,
    STREAMED_OR_NOT,
    WAYS,
    outside,
    redacted_for_bob,
    said,
    tool,
)
from routed_calls import both, chat, deployment, routed

from checkrein import SettingsError, Stage
from checkrein.testing import StaticEngine, capture_decisions, deny, obligation, permit
from checkrein_litellm import CallDenied

pytestmark = CALLING


# Obligations


@WAYS
@STREAMED_OR_NOT
async def test_findings_are_taken_out_of_the_prompt_and_of_the_answer(way, stream, eu):
    eu.reply = f"it was {SSN}"
    router = routed(
        lambda request: permit() if request.stage == "model_selection" else REDACT,
        [deployment("gpt-4o", eu, "one")],
    )
    assert await chat(router, way, f"it is {SSN}", stream=stream) == f"it was {REDACTED}"
    assert SSN not in eu.texts


@WAYS
async def test_the_obligations_of_a_request_are_carried_out(way, eu):
    bound = permit(
        obligation("limit_tokens", max_tokens=7),
        obligation("remove_tools", names=["wipe"]),
        obligation("set_parameters", temperature=0.5),
    )
    tools = [tool("wipe"), tool("look")]
    router = routed(
        lambda request: bound if request.stage == "pre_prompt" else permit(),
        [deployment("gpt-4o", eu, "one", max_tokens=50)],
    )
    await chat(router, way, tools=tools)
    await chat(router, way, tools=tools[:1])
    body, other = (one.body for one in eu.requests)
    assert (body["max_tokens"], body["temperature"]) == (7, 0.5)
    assert [one["function"]["name"] for one in body["tools"]] == ["look"]
    assert "tools" not in other


@WAYS
async def test_a_tool_that_a_deployment_brings_itself_cannot_be_taken_out(way, eu):
    bound = permit(obligation("remove_tools", names=["wipe"]))
    router = routed(
        lambda request: bound if request.stage == "pre_prompt" else permit(),
        [deployment("gpt-4o", eu, "one", tools=[tool("wipe")])],
    )
    with pytest.raises(CallDenied) as denied:
        await chat(router, way)
    assert denied.value.code == "unsupported_obligation"
    assert denied.value.decision.document["context"]["tools"] == ["wipe"]


@WAYS
@STREAMED_OR_NOT
@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
async def test_a_route_calls_another_model_with_all_that_was_demanded(way, stream, stage, eu, us):
    def answer(request):
        if request.document["resource"]["id"] != "cloud":
            return permit()
        if request.stage == stage:
            return permit(obligation("route", model="local"), obligation("limit_tokens", max_tokens=9))
        return permit()

    models = [deployment("cloud", us, "c"), deployment("local", eu, "l")]
    router = routed(answer, models)
    with capture_decisions(router.pep) as decisions:
        assert await chat(router, way, model="cloud", stream=stream) == "from the eu"
    assert us.requests == []
    assert eu.requests[0].body["max_tokens"] == 9
    assert decisions[-1].request.resource.properties["deployment"] == "l"


@WAYS
async def test_what_was_redacted_for_a_route_stays_redacted(way, eu, us):
    def answer(request):
        if request.document["resource"]["id"] == "cloud" and request.stage == "pre_prompt":
            return permit(obligation("redact", types=["us_ssn"]), obligation("route", model="local"))
        return permit()

    router = routed(answer, [deployment("cloud", us, "c"), deployment("local", eu, "l")])
    await chat(router, way, f"it is {SSN}", model="cloud")
    assert eu.requests[0].body["messages"] == said(f"it is {REDACTED}")


@WAYS
async def test_a_route_in_a_circle_is_denied(way, eu, us):
    def answer(request):
        if request.stage != "model_selection":
            return permit()
        here = request.document["resource"]["id"]
        return permit(obligation("route", model="b" if here == "a" else "a"))

    router = routed(answer, [deployment("a", us, "1"), deployment("b", eu, "2")])
    with pytest.raises(CallDenied) as denied:
        await chat(router, way, model="a")
    assert denied.value.code == "route_loop"
    assert eu.requests == us.requests == []


@WAYS
async def test_a_route_to_no_model_of_the_router_is_denied(way, eu):
    router = routed(permit(obligation("route", model="nowhere")), [deployment("a", eu, "1")])
    with pytest.raises(CallDenied):
        await chat(router, way, model="a")
    assert eu.requests == []


# Engines that fail, monitoring, replies


@WAYS
@STREAMED_OR_NOT
@ENGINES_WITHOUT_A_USABLE_ANSWER
async def test_an_engine_without_a_usable_answer_stops_the_call(way, stream, engine, eu, us):
    router = routed(engine, both(eu, us), fallbacks=[{"gpt-4o": ["gpt-4o"]}], num_retries=2)
    with pytest.raises(CallDenied):
        await chat(router, way, stream=stream)
    assert eu.requests == us.requests == []


@WAYS
@STREAMED_OR_NOT
async def test_monitoring_records_and_changes_nothing(way, stream, eu):
    router = routed(deny("no"), [deployment("gpt-4o", eu, "one")], {"enforcement": {"default": "monitor"}})
    with capture_decisions(router.pep) as decisions:
        assert await chat(router, way, f"it is {SSN}", stream=stream) == "from the eu"
    assert [(one.permitted, one.enforced) for one in decisions] == [(False, False)] * 4
    assert SSN in eu.texts


@WAYS
@STREAMED_OR_NOT
@pytest.mark.parametrize("stage", [stage.value for stage in STAGES])
async def test_a_denial_at_any_stage_gives_nothing_out_and_may_be_told(way, stream, stage, eu):
    def answer(request):
        return deny("no") if request.stage == stage else permit()

    models = [deployment("gpt-4o", eu, "one")]
    with pytest.raises(CallDenied):
        await chat(routed(answer, models), way, stream=stream)
    router = routed(answer, models, {"denials": {"on_denied": "reply"}})
    with capture_decisions(router.pep) as decisions:
        assert await chat(router, way, stream=stream) == decisions[-1].message


@WAYS
async def test_a_remote_engine_is_asked_as_well(way, eu, us):
    router = routed(StaticEngine(outside, remote=True), both(eu, us))
    assert await chat(router, way) == "from the eu"


def test_a_stage_that_nothing_covers_is_an_error_at_once(eu):
    with pytest.raises(SettingsError, match="pre_prompt"):
        routed(StaticEngine({Stage.MODEL_SELECTION: permit()}), [deployment("m", eu, "one")])


# Caches


async def stored() -> None:
    """Wait for what LiteLLM does a moment after it answered."""
    async with asyncio.timeout(20):
        while not litellm.cache.cache.cache_dict:  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)


@WAYS
@STREAMED_OR_NOT
async def test_a_cached_answer_is_judged_for_whoever_gets_it(way, stream, eu, monkeypatch):
    monkeypatch.setattr(litellm, "cache", None)

    eu.reply = f"it was {SSN}"
    router = routed(redacted_for_bob, [deployment("gpt-4o", eu, "one")], cache_responses=True)
    texts = []
    for user in ("alice", "bob", "alice"):
        texts.append(await chat(router.acting_as(user), way, stream=stream))
        # LiteLLM stores an answer a moment after it was given.
        await stored()
    assert texts == [f"it was {SSN}", f"it was {REDACTED}", f"it was {SSN}"]
    assert len(eu.requests) == 1
