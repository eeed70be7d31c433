"""LiteLLM's functions as applications call them, governed: what leaves, and what comes back."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import litellm
import pytest

from checkrein import EnforcementPoint, Entity, Settings, SettingsError, Stage, acting_as
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
from checkrein_litellm import CallDenied, PolicyClient

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
    pytest.mark.usefixtures("own_clients"),
]

SSN = "123-45-6789"
REDACT = obligation("redact", types=["us_ssn"])
DETECT = {"detectors": {"pre_prompt": ["us_ssn"], "post_completion": ["us_ssn"]}}
SYNC_AND_ASYNC = pytest.mark.parametrize("way", ["sync", "async"])
STREAMED_OR_NOT = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
STAGES = [Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION]


@pytest.fixture
def upstream():
    with Upstream("the number is 123-45-6789, as you know") as server:
        yield server


def governed(engine: Any, settings: Any = None, **more: Any) -> PolicyClient:
    read = Settings.model_validate({**DETECT, **(settings or {})})
    return PolicyClient(EnforcementPoint(engine, read, record=lambda _: None), **more)


def by_stage(**answers: Any) -> StaticEngine:
    return StaticEngine({stage: answers.get(stage.value, permit()) for stage in STAGES})


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


async def chat(client: Any, way: str, upstream: Upstream, text: str = "hello", **more: Any) -> str:
    """What the caller reads in the end."""
    given = {
        "model": "openai/gpt-4o",
        "messages": said(text),
        "api_base": upstream.url,
        "api_key": "k",
        **more,
    }
    if way == "sync":
        answer = client.completion(**given)
        if not given.get("stream"):
            return answer.choices[0].message.content
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
    answer = await client.acompletion(**given)
    if not given.get("stream"):
        return answer.choices[0].message.content
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_a_permitted_call_is_asked_about_thrice_and_answered(way, stream, upstream):
    engine = StaticEngine(permit())
    client = governed(engine)
    with capture_decisions(client.pep) as decisions:
        assert await chat(client, way, upstream, stream=stream) == upstream.reply
    assert [one.request.stage for one in decisions] == STAGES
    assert len({one.call_id for one in decisions}) == 1
    document = engine.asked[0]
    assert document["resource"]["id"] == "openai/gpt-4o"
    assert document["resource"]["properties"]["provider"] == "openai"
    assert document["context"]["environment"]["host"] == "litellm-sdk"
    assert engine.asked[2]["context"]["completion"]["text"] == upstream.reply


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
@pytest.mark.parametrize("stage", [stage.value for stage in STAGES])
@pytest.mark.parametrize("verdict", [deny("no"), not_applicable()], ids=["deny", "nothing"])
async def test_a_denial_at_any_stage_gives_nothing_out(way, stream, stage, verdict, upstream):
    client = governed(by_stage(**{stage: verdict}))
    with pytest.raises(CallDenied) as denied:
        await chat(client, way, upstream, stream=stream)
    assert denied.value.decision.request.stage == stage
    assert SSN not in str(denied.value)
    assert len(upstream.requests) == (1 if stage == "post_completion" else 0)


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
@pytest.mark.parametrize(
    "engine",
    [
        FailingEngine("timeout", remote=True),
        FailingEngine(answer=True),
        FailingEngine(error=ZeroDivisionError("oops")),
        StaticEngine(permit(obligation("sing", song="la"))),
    ],
    ids=["timeout", "nonsense", "bug", "unknown obligation"],
)
async def test_an_engine_without_a_usable_answer_stops_the_call(way, stream, engine, upstream):
    with pytest.raises(CallDenied):
        await chat(governed(engine), way, upstream, stream=stream)
    assert upstream.requests == []


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_findings_are_taken_out_of_the_prompt_and_of_the_answer(way, stream, upstream):
    redact = permit(REDACT)
    client = governed(by_stage(pre_prompt=redact, post_completion=redact))
    messages = said(f"mine is {SSN}")
    answer = await chat(client, way, upstream, messages=messages, stream=stream)
    assert answer == "the number is [REDACTED:us_ssn], as you know"
    assert SSN not in upstream.texts
    assert "mine is [REDACTED:us_ssn]" in upstream.texts
    assert messages == said(f"mine is {SSN}")


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_a_replacement_stands_for_the_answer(way, stream, upstream):
    client = governed(by_stage(post_completion=permit(obligation("replace", text="withheld"))))
    assert await chat(client, way, upstream, stream=stream) == "withheld"


@SYNC_AND_ASYNC
async def test_the_obligations_of_a_request_are_carried_out(way, upstream):
    bound = permit(
        obligation("limit_tokens", max_tokens=7),
        obligation("remove_tools", names=["wipe"]),
        obligation("set_parameters", temperature=0.5),
        obligation("no_store"),
    )
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
        for name in ("wipe", "look")
    ]
    client = governed(by_stage(pre_prompt=bound))
    await chat(client, way, upstream, tools=tools, max_tokens=100, store=True)
    body = upstream.requests[0].body
    assert body["max_tokens"] == 7
    assert body["temperature"] == 0.5
    assert body["store"] is False
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"]
    assert len(tools) == 2


@SYNC_AND_ASYNC
@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
async def test_a_route_calls_another_model_where_that_one_is(way, stage, upstream):
    def answer(request):
        return (
            permit(obligation("route", model="local"))
            if request.stage == stage and (request.document["resource"]["id"] == "cloud")
            else permit()
        )

    with Upstream("from here") as local:
        models = {
            "cloud": {"model": "openai/gpt-4o", "api_base": upstream.url, "api_key": "k"},
            "local": {"model": "openai/llama", "api_base": local.url, "api_key": "k"},
        }
        client = governed(StaticEngine(answer), models=models)
        given: dict[str, Any] = {"model": "cloud", "messages": said("hello")}
        answered = client.completion(**given) if way == "sync" else await client.acompletion(**given)
        assert answered.choices[0].message.content == "from here"
        assert [one.body["model"] for one in local.requests] == ["llama"]
    assert upstream.requests == []


@SYNC_AND_ASYNC
async def test_a_route_never_sends_to_the_address_of_another_model(way, upstream):
    client = governed(by_stage(model_selection=permit(obligation("route", model="ollama/llama3"))))
    with pytest.raises(CallDenied) as denied:
        await chat(client, way, upstream)
    assert denied.value.code == "unsupported_obligation"
    assert upstream.requests == []


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_monitoring_records_a_denial_and_changes_nothing(way, stream, upstream):
    client = governed(StaticEngine(deny("no")), {"enforcement": {"default": "monitor"}})
    with capture_decisions(client.pep) as decisions:
        assert await chat(client, way, upstream, f"mine is {SSN}", stream=stream) == upstream.reply
    assert [(one.permitted, one.enforced) for one in decisions] == [(False, False)] * 3
    assert SSN in upstream.texts


# Several choices, tools, caches


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_every_choice_is_judged(way, stream, upstream):
    upstream.reply = {"choices": ["fine", f"not {SSN}"]}
    client = governed(by_stage(post_completion=permit(REDACT)))
    given = {"model": "openai/gpt-4o", "messages": said("hi"), "api_base": upstream.url, "api_key": "k"}
    answer = (
        client.completion(n=2, stream=stream, **given)
        if way == "sync"
        else (await client.acompletion(n=2, stream=stream, **given))
    )
    texts = ["", ""]
    if stream:
        chunks = list(answer) if way == "sync" else [one async for one in answer]
        for choice in (choice for chunk in chunks for choice in chunk.choices):
            texts[choice.index] += choice.delta.content or ""
    else:
        texts = [choice.message.content for choice in answer.choices]
    assert texts == ["fine", "not [REDACTED:us_ssn]"]


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_the_arguments_of_tool_calls_are_judged(way, stream, upstream):
    upstream.reply = {"name": "send", "arguments": {"text": f"it is {SSN}"}}

    def answer(request):
        text = request.document["context"].get("completion", {}).get("text", "")
        return deny("leak") if SSN in text else permit()

    with pytest.raises(CallDenied):
        await chat(governed(StaticEngine(answer)), way, upstream, stream=stream)


@pytest.fixture
def cache(monkeypatch, own_clients):
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
@pytest.mark.usefixtures("cache")
async def test_a_cached_answer_is_judged_for_whoever_gets_it(way, stream, upstream):
    def answer(request):
        bob = request.document["subject"]["id"] == "bob"
        return permit(REDACT) if bob and request.stage is Stage.POST_COMPLETION else permit()

    client = governed(StaticEngine(answer))
    texts = []
    for user in ("alice", "bob", "alice"):
        texts.append(await chat(client.acting_as(user), way, upstream, stream=stream, caching=True))
        await asyncio.sleep(0)
    redacted = "the number is [REDACTED:us_ssn], as you know"
    assert texts == [upstream.reply, redacted, upstream.reply]


@SYNC_AND_ASYNC
@pytest.mark.usefixtures("cache")
async def test_what_must_not_be_stored_is_in_no_cache(way, upstream):
    client = governed(by_stage(pre_prompt=permit(obligation("no_store"))))
    for _ in range(2):
        await chat(client, way, upstream, caching=True)
    assert len(upstream.requests) == 2


@SYNC_AND_ASYNC
async def test_a_mock_response_is_judged_like_any_other(way, upstream):
    client = governed(by_stage(post_completion=permit(REDACT)))
    assert await chat(client, way, upstream, mock_response=f"it is {SSN}") == "it is [REDACTED:us_ssn]"
    assert upstream.requests == []


# Retries and fallbacks


@SYNC_AND_ASYNC
async def test_a_retry_sends_no_more_than_was_permitted(way, upstream):
    upstream.reply = [Failure(500), "fine"]
    client = governed(by_stage(pre_prompt=permit(REDACT)))
    assert await chat(client, way, upstream, f"it is {SSN}", num_retries=2, max_retries=0) == "fine"
    assert len(upstream.requests) == 2
    assert SSN not in upstream.texts


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_each_fallback_is_judged_in_full(way, stream, upstream):
    upstream.reply = [Failure(500), Failure(500), "third time"]
    engine = StaticEngine(permit())
    client = governed(engine)
    fallbacks = ["openai/b", {"model": "openai/c", "messages": said("shorter")}]
    with capture_decisions(client.pep) as decisions:
        answer = await chat(client, way, upstream, stream=stream, fallbacks=fallbacks, max_retries=0)
    assert answer == "third time"
    asked = [(one.request.resource.id, one.request.stage.value, one.attempt) for one in decisions]
    before = ["model_selection", "pre_prompt"]
    assert asked == [
        *(("openai/gpt-4o", stage, 1) for stage in before),
        *(("openai/b", stage, 2) for stage in before),
        *(("openai/c", stage, 3) for stage in before),
        ("openai/c", "post_completion", 3),
    ]
    assert [one.body["messages"][0]["content"] for one in upstream.requests] == ["hello", "hello", "shorter"]


@SYNC_AND_ASYNC
async def test_no_fallback_goes_around_a_denial(way, upstream):
    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "openai/gpt-4o" else permit()

    with pytest.raises(CallDenied):
        await chat(governed(StaticEngine(answer)), way, upstream, fallbacks=["openai/b"])
    assert upstream.requests == []


@SYNC_AND_ASYNC
async def test_a_denied_fallback_is_the_end(way, upstream):
    upstream.reply = Failure(500)

    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "openai/b" else permit()

    with pytest.raises(CallDenied):
        await chat(
            governed(StaticEngine(answer)), way, upstream, fallbacks=["openai/b", "openai/c"], max_retries=0
        )
    assert [one.body["model"] for one in upstream.requests] == ["gpt-4o"]


@SYNC_AND_ASYNC
async def test_a_longer_context_is_judged_before_it_is_used(way, upstream):
    def reply(body):
        if body["model"] == "gpt-4o":
            return Failure(400, "This model's maximum context length is 10 tokens.")
        return "long enough"

    upstream.reply = reply
    engine = StaticEngine(permit())
    longer = {"openai/gpt-4o": "openai/gpt-4o-long"}
    answer = await chat(governed(engine), way, upstream, context_window_fallback_dict=longer)
    assert answer == "long enough"
    assert [one["resource"]["id"] for one in engine.asked[2:4]] == ["openai/gpt-4o-long"] * 2


@SYNC_AND_ASYNC
async def test_when_all_models_fail_the_last_failure_is_told(way, upstream):
    upstream.reply = [Failure(500), Failure(503)]
    with pytest.raises(litellm.ServiceUnavailableError):
        await chat(governed(StaticEngine(permit())), way, upstream, fallbacks=["openai/b"], max_retries=0)
    assert len(upstream.requests) == 2


# What cannot be governed


@SYNC_AND_ASYNC
@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"model_list": [{"model_name": "x"}]}, "unsupported_request.model_list"),
        ({"extra_body": {"messages": []}}, "unsupported_request.extra_body"),
        ({"prompt_id": "p"}, "unsupported_request.prompt_id"),
        ({"acompletion": True}, "unsupported_request.acompletion"),
        ({"fallbacks": "openai/b"}, "unsupported_request.fallbacks"),
        ({"fallbacks": [{"fallbacks": ["x"]}]}, "unsupported_request.fallbacks"),
        ({"context_window_fallback_dict": ["x"]}, "unsupported_request.context_window_fallback_dict"),
        ({"tools": [{"type": "mcp", "server_url": "litellm_proxy"}]}, "unsupported_request.mcp"),
        ({"model": ""}, "unsupported_request.model"),
        ({"messages": [{"role": "user", "content": {1, 2}}]}, "unsupported_request.content"),
        ({"messages": iter(said("hello"))}, "unsupported_request.content"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_governed_is_denied(way, given, code, upstream):
    with pytest.raises(CallDenied) as denied:
        await chat(governed(StaticEngine(permit())), way, upstream, **given)
    assert denied.value.code == code
    assert upstream.requests == []


@SYNC_AND_ASYNC
async def test_what_cannot_be_governed_passes_under_monitor_and_is_recorded(way, upstream):
    client = governed(StaticEngine(permit()), {"enforcement": {"default": "monitor"}})
    with capture_decisions(client.pep) as decisions:
        assert await chat(client, way, upstream, extra_body={"x": 1}) == upstream.reply
    assert [one.reasons[0].code for one in decisions] == ["unsupported_request.extra_body"]


@SYNC_AND_ASYNC
async def test_fallbacks_of_the_whole_process_are_not_tried_unjudged(way, upstream, monkeypatch):
    monkeypatch.setattr(litellm, "model_fallbacks", ["openai/other"])
    with pytest.raises(CallDenied):
        await chat(governed(StaticEngine(permit())), way, upstream)
    assert upstream.requests == []


@SYNC_AND_ASYNC
async def test_an_alias_is_judged_by_the_model_that_it_stands_for(way, upstream, monkeypatch):
    monkeypatch.setattr(litellm, "model_alias_map", {"openai/gpt-4o": "openai/secret"})
    engine = StaticEngine(permit())
    await chat(governed(engine), way, upstream)
    assert {one["resource"]["id"] for one in engine.asked} == {"openai/secret"}
    assert upstream.requests[0].body["model"] == "secret"


@SYNC_AND_ASYNC
async def test_a_provider_told_besides_is_part_of_the_name(way, upstream):
    engine = StaticEngine(permit())
    await chat(governed(engine), way, upstream, model="gpt-4o", custom_llm_provider="openai")
    assert {one["resource"]["id"] for one in engine.asked} == {"openai/gpt-4o"}


async def test_what_is_not_wrapped_is_not_there():
    client = governed(StaticEngine(permit()))
    for name in ("batch_completion", "acreate_file", "batch_completion_models", "aretrieve_batch"):
        assert not hasattr(client, name)


async def test_text_in_a_tuple_is_read(upstream):
    engine = StaticEngine(permit())
    client = governed(by_stage(pre_prompt=permit(REDACT)))
    messages = ({"role": "user", "content": ({"type": "text", "text": f"it is {SSN}"},)},)
    await chat(client, "sync", upstream, messages=messages)
    assert SSN not in upstream.texts
    assert engine.asked == []


async def test_an_earlier_answer_in_the_conversation_is_read_and_left_alone(upstream):
    client = governed(by_stage(pre_prompt=permit(REDACT)))
    earlier = litellm.Message(role="assistant", content=f"it was {SSN}")
    await chat(client, "sync", upstream, messages=[*said("a"), earlier, *said("b")])
    assert SSN not in upstream.texts
    assert earlier.content == f"it was {SSN}"


# Who calls


@SYNC_AND_ASYNC
async def test_the_caller_is_bound_or_acts_or_is_anonymous(way, upstream):
    engine = StaticEngine(permit())
    client = governed(engine)
    await chat(client, way, upstream)
    with acting_as("alice"):
        await chat(client, way, upstream)
        await chat(client.acting_as(Entity(type="service", id="mailer")), way, upstream)
    subjects = [one["subject"]["id"] for one in engine.asked[::3]]
    assert subjects == ["anonymous", "alice", "mailer"]
    assert [one["context"]["identity"]["source"] for one in engine.asked[::3]] == ["none", "context", "bound"]


@SYNC_AND_ASYNC
@pytest.mark.parametrize("trusted", [True, False])
async def test_metadata_counts_only_where_it_is_trusted_and_is_marked(way, trusted, upstream):
    engine = StaticEngine(permit())
    fields = {"id": ["employee", "user"], "properties": {"tier": "tier"}}
    settings = {"identity": {"litellm": {"metadata": fields, "trusted": trusted}}}
    await chat(governed(engine, settings), way, upstream, metadata={"employee": "eve", "tier": "pro"})
    asked = engine.asked[0]
    assert asked["subject"]["id"] == ("eve" if trusted else "anonymous")
    assert asked["context"]["identity"] == {
        "source": "metadata" if trusted else "none",
        "asserted": trusted,
    }


def test_a_bound_caller_is_kept_in_other_threads(upstream):
    engine = StaticEngine(permit())
    client = governed(engine).acting_as("alice")
    given = {"model": "openai/gpt-4o", "messages": said("hi"), "api_base": upstream.url, "api_key": "k"}
    thread = threading.Thread(target=client.completion, kwargs=given)
    thread.start()
    thread.join(30)
    assert [one["subject"]["id"] for one in engine.asked] == ["alice"] * 3


@pytest.mark.parametrize("user", [None, 7, {"id": "alice"}])
def test_only_a_subject_can_act(user):
    with pytest.raises(TypeError, match="is no subject"):
        governed(StaticEngine(permit())).acting_as(user)


# Replies


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
@pytest.mark.parametrize("stage", [stage.value for stage in STAGES])
async def test_a_denial_may_be_told_in_a_reply(way, stream, stage, upstream):
    client = governed(by_stage(**{stage: deny("no")}), {"denials": {"on_denied": "reply"}})
    with capture_decisions(client.pep) as decisions:
        told = await chat(client, way, upstream, stream=stream)
    assert told == decisions[-1].message
    assert SSN not in told


@SYNC_AND_ASYNC
@STREAMED_OR_NOT
async def test_whoever_awaits_a_schema_or_a_tool_gets_no_reply_but_the_denial(way, stream, upstream):
    client = governed(StaticEngine(deny("no")), {"denials": {"on_denied": "reply"}})
    for given in ({"response_format": {"type": "json_object"}}, {"tool_choice": "required"}):
        with pytest.raises(CallDenied):
            await chat(client, way, upstream, stream=stream, **given)


def test_a_reply_says_which_decision_it_is(upstream):
    client = governed(StaticEngine(deny("no")), {"denials": {"on_denied": "reply"}})
    answer = client.completion(model="m", messages=said("hi"))
    choice = answer.choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.message.provider_specific_fields["reasons"] == ["no"]


# Construction


def test_a_stage_that_nothing_covers_is_an_error_at_once():
    with pytest.raises(SettingsError, match="pre_prompt"):
        governed(StaticEngine({Stage.MODEL_SELECTION: permit()}))


@pytest.mark.parametrize(
    ("params", "said_of"),
    [({}, "at least its `model`"), ({"model": "m", "messages": []}, "`messages`"), ("m", "parameters")],
    ids=["empty", "content", "no mapping"],
)
def test_a_model_is_no_more_than_how_it_is_reached(params, said_of):
    with pytest.raises(ValueError, match=said_of):
        governed(StaticEngine(permit()), models={"local": params})


@SYNC_AND_ASYNC
async def test_parameters_may_be_given_by_position(way, upstream):
    engine = StaticEngine(permit())
    client = governed(engine)
    more = {"api_base": upstream.url, "api_key": "k"}
    if way == "sync":
        client.completion("openai/gpt-4o", said("hello"), **more)
    else:
        await client.acompletion("openai/gpt-4o", said("hello"), **more)
    assert engine.asked[1]["context"]["prompt"]["text"] == "hello"
    with pytest.raises(TypeError):
        client.completion("openai/gpt-4o", model="twice")
