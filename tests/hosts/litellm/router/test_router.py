"""A governed router: what it chooses from, what every try is asked, and what no failure goes around."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import litellm
import pytest
from litellm import Router

from checkrein import EnforcementPoint, Settings, SettingsError, Stage, acting_as
from checkrein.testing import (
    FailingEngine,
    Failure,
    StaticEngine,
    Upstream,
    capture_decisions,
    deny,
    not_applicable,
    obligation,
    permit,
)
from checkrein_litellm import CallDenied, PolicyRouter
from checkrein_litellm.router.methods import COMPOSED, GOVERNED, HARMLESS, KEPT, REFUSED

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
    pytest.mark.usefixtures("own_clients"),
]

SSN = "123-45-6789"
REDACTED = "[REDACTED:us_ssn]"
REDACT = permit(obligation("redact", types=["us_ssn"]))
DETECT = {"detectors": {"pre_prompt": ["us_ssn"], "post_completion": ["us_ssn"]}}
WAYS = pytest.mark.parametrize("way", ["sync", "async"])
STREAMED_OR_NOT = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
STAGES = [Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION]


@pytest.fixture
def eu():
    with Upstream("from the eu") as server:
        yield server


@pytest.fixture
def us():
    with Upstream("from the us") as server:
        yield server


def deployment(name: str, upstream: Upstream, number: str, **more: Any) -> dict[str, Any]:
    info = {"id": number, **more.pop("info", {})}
    params = {"model": f"openai/{name}", "api_base": upstream.url, "api_key": "k", "max_retries": 0, **more}
    return {"model_name": name, "litellm_params": params, "model_info": info}


def routed(answer: Any, models: list[Any], settings: Any = None, **more: Any) -> PolicyRouter:
    engine = answer if hasattr(answer, "evaluate") else StaticEngine(answer)
    read = Settings.model_validate({**DETECT, **(settings or {})})
    pep = EnforcementPoint(engine, read, record=lambda _: None)
    given = {"num_retries": 0, "retry_after": 0, **more}
    return PolicyRouter(model_list=models, pep=pep, **given)


def both(eu: Upstream, us: Upstream, **more: Any) -> list[Any]:
    return [
        deployment("gpt-4o", eu, "in-eu", info={"region": "eu", "size": "large"}, **more),
        deployment("gpt-4o", us, "in-us", info={"region": "us"}, **more),
    ]


def outside(request: Any) -> Any:
    """Nothing leaves for the us."""
    return deny("region") if request.document["resource"]["properties"].get("region") == "us" else permit()


def redacts(request: Any) -> Any:
    """Findings leave in no prompt."""
    return REDACT if request.stage is Stage.PRE_PROMPT else permit()


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


async def chat(router: Any, way: str, text: str = "hello", model: str = "gpt-4o", **more: Any) -> str:
    given = {"model": model, "messages": said(text), **more}
    if way == "sync":
        # As an application without an event loop would: in a thread that has none.
        return await asyncio.to_thread(_read, router, given)
    answer = await router.acompletion(**given)
    if not given.get("stream"):
        return answer.choices[0].message.content
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])


def _read(router: Any, given: dict[str, Any]) -> str:
    answer = router.completion(**given)
    if not given.get("stream"):
        return answer.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)


# What it chooses from


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


# Every try


@WAYS
@STREAMED_OR_NOT
async def test_a_retry_is_judged_in_full_and_counted(way, stream, eu):
    eu.reply = [Failure(500), "second time"]
    engine = StaticEngine(
        {Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: REDACT, Stage.POST_COMPLETION: permit()}
    )
    router = routed(engine, [deployment("gpt-4o", eu, "one"), deployment("gpt-4o", eu, "two")], num_retries=2)
    with capture_decisions(router.pep) as decisions:
        assert await chat(router, way, f"it is {SSN}", stream=stream) == "second time"
    asked = [(one.request.stage.value, one.attempt, bool(one.candidates)) for one in decisions]
    once = [("model_selection", True), ("model_selection", False), ("pre_prompt", False)]
    assert asked == [
        *((stage, 1, several) for stage, several in once),
        *((stage, 2, several) for stage, several in once),
        ("post_completion", 2, False),
    ]
    assert SSN not in eu.texts
    assert len(eu.requests) == 2


@WAYS
@STREAMED_OR_NOT
async def test_a_fallback_is_judged_in_full(way, stream, eu, us):
    eu.reply = Failure(500)
    models = [deployment("sick", eu, "s"), deployment("well", us, "w")]
    router = routed(redacts, models, fallbacks=[{"sick": ["well"]}])
    with capture_decisions(router.pep) as decisions:
        assert await chat(router, way, f"it is {SSN}", model="sick", stream=stream) == "from the us"
    assert [one.request.resource.id for one in decisions] == ["sick"] * 3 + ["well"] * 4
    assert SSN not in eu.texts + us.texts


@WAYS
@STREAMED_OR_NOT
@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
async def test_no_fallback_goes_around_a_denial(way, stream, stage, eu, us):
    def answer(request):
        secret = request.document["resource"]["id"] == "secret"
        return deny("no") if secret and request.stage == stage else permit()

    models = [deployment("secret", eu, "s"), deployment("open", us, "o")]
    router = routed(answer, models, fallbacks=[{"secret": ["open"]}], num_retries=2)
    for more in ({}, {"fallbacks": ["open"]}, {"fallbacks": [{"model": "open"}]}):
        with pytest.raises(CallDenied):
            await chat(router, way, model="secret", stream=stream, **more)
    assert eu.requests == us.requests == []


@WAYS
async def test_a_denied_fallback_is_the_end_and_is_told(way, eu, us):
    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "secret" else permit()

    eu.reply = Failure(500)
    models = [deployment("sick", eu, "x"), deployment("secret", us, "s"), deployment("open", us, "o")]
    router = routed(answer, models, fallbacks=[{"sick": ["secret", "open"]}])
    with pytest.raises(CallDenied):
        await chat(router, way, model="sick")
    assert us.requests == []


@WAYS
async def test_what_a_client_wants_to_say_in_a_fallback_is_judged(way, eu, us):
    eu.reply = Failure(500)
    models = [deployment("sick", eu, "x"), deployment("open", us, "o")]
    router = routed(redacts, models)
    fallbacks = [{"model": "open", "messages": said(f"now {SSN}")}]
    assert await chat(router, way, model="sick", fallbacks=fallbacks) == "from the us"
    assert us.requests[0].body["messages"] == said(f"now {REDACTED}")


@WAYS
async def test_a_failed_model_is_told_as_it_failed(way, eu):
    eu.reply = Failure(503)
    with pytest.raises(litellm.ServiceUnavailableError):
        await chat(routed(permit(), [deployment("gpt-4o", eu, "one")]), way)


@WAYS
async def test_a_retry_that_is_denied_waits_for_nothing(way, eu):
    eu.reply = Failure(500)

    def answer(request):
        return deny("enough") if request.document.get("context") and len(eu.requests) else permit()

    models = [deployment("gpt-4o", eu, "one"), deployment("gpt-4o", eu, "two")]
    with pytest.raises(CallDenied):
        await chat(routed(answer, models, num_retries=5), way)
    assert len(eu.requests) == 1


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
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
        for name in ("wipe", "look")
    ]
    router = routed(
        lambda request: bound if request.stage == "pre_prompt" else permit(),
        [deployment("gpt-4o", eu, "one", max_tokens=50)],
    )
    await chat(router, way, tools=tools)
    await chat(router, way, tools=tools[:1])
    body, other = (one.body for one in eu.requests)
    assert (body["max_tokens"], body["temperature"]) == (7, 0.5)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
    assert "tools" not in other


@WAYS
async def test_a_tool_that_a_deployment_brings_itself_cannot_be_taken_out(way, eu):
    tool = {
        "type": "function",
        "function": {"name": "wipe", "parameters": {"type": "object", "properties": {}}},
    }
    bound = permit(obligation("remove_tools", names=["wipe"]))
    router = routed(
        lambda request: bound if request.stage == "pre_prompt" else permit(),
        [deployment("gpt-4o", eu, "one", tools=[tool])],
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
@pytest.mark.parametrize(
    "engine",
    [
        FailingEngine("timeout", remote=True),
        FailingEngine(answer=True),
        FailingEngine(error=ZeroDivisionError("oops")),
        StaticEngine(permit(obligation("sing", song="la"))),
        StaticEngine(not_applicable()),
    ],
    ids=["timeout", "nonsense", "bug", "unknown obligation", "nothing"],
)
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


# Every call of a router


CALLS: dict[str, dict[str, Any]] = {
    "aanthropic_messages": {"messages": said(f"it is {SSN}"), "max_tokens": 9},
    "acompletion": {"messages": said(f"it is {SSN}")},
    "aembedding": {"input": [f"it is {SSN}"]},
    "aimage_generation": {"prompt": f"it is {SSN}"},
    "amoderation": {"input": f"it is {SSN}"},
    "anthropic_messages": {"messages": said(f"it is {SSN}"), "max_tokens": 9},
    "arerank": {"query": f"it is {SSN}", "documents": ["a b", "c d"]},
    "aresponses": {"input": f"it is {SSN}"},
    "aspeech": {"input": f"it is {SSN}", "voice": "alloy"},
    "atext_completion": {"prompt": f"it is {SSN}"},
    "atranscription": {"prompt": f"it is {SSN}"},
    "completion": {"messages": said(f"it is {SSN}")},
    "embedding": {"input": [f"it is {SSN}"]},
    "image_generation": {"prompt": f"it is {SSN}"},
    "responses": {"input": f"it is {SSN}"},
    "text_completion": {"prompt": f"it is {SSN}"},
}
# LiteLLM's router calls a text completion, if it is a synchronous one, by the name of the model group.
NAMES = {"text_completion": "openai/m"}
MODELS = {"arerank": "hosted_vllm/m", "atranscription": "openai/whisper-1"}


async def called(router: Any, name: str) -> Any:
    given = dict(CALLS[name])
    if name == "atranscription":
        given["file"] = ("a.wav", b"RIFF")
    return await finished(getattr(router, name), model=NAMES.get(name, "m"), **given)


async def finished(function: Any, **given: Any) -> Any:
    answer = function(**given)
    return await answer if inspect.isawaitable(answer) else answer


@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize("name", CALLS)
async def test_every_call_is_redacted(name, eu):
    models = [deployment(NAMES.get(name, "m"), eu, "one", model=MODELS.get(name, "openai/m"))]
    eu.reply = "fine"
    router = routed(redacts, models)
    with capture_decisions(router.pep) as decisions:
        await called(router, name)
    assert decisions[1].document["context"]["prompt"]["length"] >= len(f"it is {SSN}")
    assert len(eu.requests) == 1
    raw = eu.requests[0].raw.decode(errors="replace")
    assert SSN not in raw
    assert f"it is {REDACTED}" in raw


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
async def test_every_call_is_denied(name, stage, eu):
    models = [deployment(NAMES.get(name, "m"), eu, "one", model=MODELS.get(name, "openai/m"))]
    with pytest.raises(CallDenied):
        await called(routed(lambda request: deny("no") if request.stage == stage else permit(), models), name)
    assert eu.requests == []


@pytest.mark.parametrize(
    "name",
    [
        "aanthropic_messages",
        "aimage_generation",
        "aresponses",
        "atext_completion",
        "atranscription",
        "completion",
    ],
)
@pytest.mark.usefixtures("swept")
async def test_every_answer_that_says_something_is_judged(name, eu):
    eu.reply = f"it was {SSN}"
    models = [deployment(NAMES.get(name, "m"), eu, "one", model=MODELS.get(name, "openai/m"))]
    with pytest.raises(CallDenied) as denied:
        await called(
            routed(lambda request: deny("no") if request.stage == "post_completion" else permit(), models),
            name,
        )
    assert f"it was {SSN}" in denied.value.decision.document["context"]["completion"]["text"]


async def test_a_batch_tells_of_each_denial_in_its_place(eu, us):
    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "secret" else permit()

    router = routed(answer, [deployment("open", eu, "o"), deployment("secret", us, "s")])
    answers = await router.abatch_completion(models=["open", "secret"], messages=said("hello"))
    assert answers[0].choices[0].message.content == "from the eu"
    assert isinstance(answers[1], CallDenied)
    fastest = await router.abatch_completion_fastest_response(model="secret, open", messages=said("hello"))
    assert fastest.choices[0].message.content == "from the eu"
    assert us.requests == []


async def test_a_scheduled_call_is_judged_once(eu):
    router = routed(redacts, [deployment("gpt-4o", eu, "one")])
    with capture_decisions(router.pep) as decisions:
        await router.acompletion(model="gpt-4o", messages=said(f"it is {SSN}"), priority=0)
        await router.schedule_acompletion(model="gpt-4o", messages=said(f"it is {SSN}"), priority=0)
    assert len(decisions) == 8
    assert SSN not in eu.texts


def test_every_public_call_of_a_router_is_classified():
    """Fails when LiteLLM adds a method: decide whether it calls a provider, and govern or refuse it."""
    classes = [set(GOVERNED), set(COMPOSED), set(REFUSED), set(HARMLESS)]
    assert sum(map(len, classes)) == len(set().union(*classes))
    methods = {name for name in dir(Router) if not name.startswith("_") and callable(getattr(Router, name))}
    assert methods <= set().union(*classes)
    made = vars(Router(model_list=[]))
    here = {name for name in made if callable(made[name]) and inspect.isfunction(made[name])}
    assert {name for name in GOVERNED if name not in methods} <= here
    assert all(hasattr(Router, name) for name in KEPT)


async def test_whatever_else_a_router_sets_up_is_refused(eu):
    plain = vars(Router(model_list=[]))
    made = {name for name, one in plain.items() if inspect.isfunction(one)}
    router = routed(permit(), [deployment("m", eu, "one")])
    refused = 0
    for name in sorted((made | REFUSED) - set(GOVERNED)):
        with pytest.raises(CallDenied) as denied:
            await finished(getattr(router, name), model="m", custom_llm_provider="openai")
        assert denied.value.code == "unsupported_endpoint"
        refused += 1
    assert refused > 80
    assert eu.requests == []


async def test_a_deployment_chosen_for_nobodys_call_is_refused(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    with pytest.raises(CallDenied):
        router.get_available_deployment(model="m", messages=said("x"))
    with pytest.raises(CallDenied):
        await router.async_get_available_deployment(model="m", request_kwargs={}, messages=said("x"))
    with pytest.raises(CallDenied):
        await router._acompletion(model="m", messages=said("x"))
    with pytest.raises(CallDenied):
        router.get_available_deployment_for_pass_through(model="m")
    with pytest.raises(CallDenied):
        await router.async_function_with_fallbacks(
            original_function=router._acompletion, model="m", messages=said("x")
        )
    assert eu.requests == []


async def test_a_call_id_of_the_callers_is_kept_and_leads_nowhere(eu):
    engine = StaticEngine(permit())
    router = routed(engine, [deployment("m", eu, "one")])
    await asyncio.gather(
        *(
            router.acting_as(user).acompletion(model="m", messages=said(user), litellm_call_id="same")
            for user in ("alice", "bob")
        )
    )
    asked = {
        (one["subject"]["id"], one["context"]["prompt"]["text"])
        for one in engine.asked
        if one["stage"] == "pre_prompt"
    }
    assert asked == {("alice", "alice"), ("bob", "bob")}
    assert engine.asked[0]["context"]["environment"]["client_call_id"] == "same"


async def test_what_a_deployment_would_fetch_is_refused(eu):
    router = routed(permit(), [deployment("m", eu, "one", prompt_id="p")])
    with pytest.raises(CallDenied):
        await router.acompletion(model="m", messages=said("x"))
    assert eu.requests == []


async def test_who_moderates_with_a_model_that_is_not_the_routers_is_denied(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    with pytest.raises(CallDenied) as denied:
        await router.amoderation(model="openai/omni", input="x", api_base=eu.url, api_key="k")
    assert denied.value.code == "unsupported_request.model"
    assert eu.requests == []


# Caches, streams that break, identity


async def stored() -> None:
    """Wait for what LiteLLM does a moment after it answered."""
    async with asyncio.timeout(20):
        while not litellm.cache.cache.cache_dict:  # noqa: ASYNC110 -- nothing tells
            await asyncio.sleep(0)


@WAYS
@STREAMED_OR_NOT
async def test_a_cached_answer_is_judged_for_whoever_gets_it(way, stream, eu, monkeypatch):
    monkeypatch.setattr(litellm, "cache", None)

    def answer(request):
        bob = request.document["subject"]["id"] == "bob"
        return REDACT if bob and request.stage is Stage.POST_COMPLETION else permit()

    eu.reply = f"it was {SSN}"
    router = routed(answer, [deployment("gpt-4o", eu, "one")], cache_responses=True)
    texts = []
    for user in ("alice", "bob", "alice"):
        texts.append(await chat(router.acting_as(user), way, stream=stream))
        # LiteLLM stores an answer a moment after it was given.
        await stored()
    assert texts == [f"it was {SSN}", f"it was {REDACTED}", f"it was {SSN}"]
    assert len(eu.requests) == 1


@pytest.mark.usefixtures("swept")
@WAYS
async def test_a_stream_that_breaks_falls_back_to_what_is_permitted_alone(way, eu, us):
    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "secret" else permit()

    eu.reply = "it is long enough to break"
    eu.hang_up_after(0)
    models = [deployment("sick", eu, "x"), deployment("secret", us, "s")]
    router = routed(answer, models, fallbacks=[{"sick": ["secret"]}])
    with pytest.raises(Exception) as failed:  # noqa: PT011 -- LiteLLM's error, or the denial
        await chat(router, way, model="sick", stream=True)
    assert us.requests == []
    assert "long" not in str(failed.value)


@WAYS
async def test_metadata_counts_only_where_it_is_trusted(way, eu):
    engine = StaticEngine(permit())
    settings = {"identity": {"litellm": {"metadata": {"id": "employee"}, "trusted": True}}}
    models = [deployment("m", eu, "one")]
    await chat(routed(engine, models, settings), way, model="m", metadata={"employee": "eve"})
    await chat(routed(engine, models), way, model="m", metadata={"employee": "eve"})
    with acting_as("alice"):
        await chat(routed(engine, models, settings), way, model="m", metadata={"employee": "eve"})
    assert [one["subject"]["id"] for one in engine.asked[::4]] == ["eve", "anonymous", "alice"]
    assert engine.asked[0]["context"]["identity"] == {"source": "metadata", "asserted": True}


async def test_no_parameter_of_a_call_says_for_whom_it_is_made(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    for claimed in ({"subject": {"id": "root"}}, "root"):
        with pytest.raises(TypeError, match="acting_as"):
            await router.acompletion(model="m", messages=said("x"), checkrein_identity=claimed)
    assert eu.requests == []


@pytest.mark.usefixtures("swept")
async def test_what_a_fallback_brings_of_its_own_is_read(eu, us):
    def answer(request):
        return deny("leak") if request.document["context"]["findings"] else permit()

    eu.reply = Failure(500)
    router = routed(answer, [deployment("sick", eu, "x"), deployment("open", us, "o")])
    fallbacks = [{"model": "open", "messages": said(f"it is {SSN}")}]
    with pytest.raises(CallDenied):
        await router.atext_completion(model="sick", prompt="hello", fallbacks=fallbacks)
    assert us.requests == []


def test_only_governed_calls_are_made_for_a_subject(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    with pytest.raises(AttributeError, match="acting_as"):
        _ = router.acting_as("alice").abatch_completion
    with pytest.raises(TypeError, match="is no subject"):
        router.acting_as(None)


def test_a_synchronous_call_is_judged_where_no_event_loop_runs(eu, us):
    router = routed(outside, both(eu, us))
    assert _read(router, {"model": "gpt-4o", "messages": said("x")}) == "from the eu"


async def test_a_synchronous_call_is_judged_where_an_event_loop_runs(eu, us):
    router = routed(outside, both(eu, us))
    with acting_as("alice"):
        assert _read(router, {"model": "gpt-4o", "messages": said("x")}) == "from the eu"


def test_a_stage_that_nothing_covers_is_an_error_at_once(eu):
    with pytest.raises(SettingsError, match="pre_prompt"):
        routed(StaticEngine({Stage.MODEL_SELECTION: permit()}), [deployment("m", eu, "one")])
