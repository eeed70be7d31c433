"""LiteLLM's functions as applications call them, governed: what leaves, and what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
import pytest
from governed_calls import (
    CALLING,
    ENGINES_WITHOUT_A_USABLE_ANSWER,
    REDACT,
    SSN,
    STAGES,
    STREAMED_OR_NOT,
    WAYS,
    redacted_for_bob,
    said,
    tool,
)
from sdk_calls import by_stage, chat, governed

from checkrein.testing import (
    StaticEngine,
    Upstream,
    capture_decisions,
    deny,
    not_applicable,
    obligation,
    permit,
)
from checkrein_litellm import CallDenied

pytestmark = CALLING


@WAYS
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


@WAYS
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


@WAYS
@STREAMED_OR_NOT
@ENGINES_WITHOUT_A_USABLE_ANSWER
async def test_an_engine_without_a_usable_answer_stops_the_call(way, stream, engine, upstream):
    with pytest.raises(CallDenied):
        await chat(governed(engine), way, upstream, stream=stream)
    assert upstream.requests == []


@WAYS
@STREAMED_OR_NOT
async def test_findings_are_taken_out_of_the_prompt_and_of_the_answer(way, stream, upstream):
    client = governed(by_stage(pre_prompt=REDACT, post_completion=REDACT))
    messages = said(f"mine is {SSN}")
    answer = await chat(client, way, upstream, messages=messages, stream=stream)
    assert answer == "the number is [REDACTED:us_ssn], as you know"
    assert SSN not in upstream.texts
    assert "mine is [REDACTED:us_ssn]" in upstream.texts
    assert messages == said(f"mine is {SSN}")


@WAYS
@STREAMED_OR_NOT
async def test_a_replacement_stands_for_the_answer(way, stream, upstream):
    client = governed(by_stage(post_completion=permit(obligation("replace", text="withheld"))))
    assert await chat(client, way, upstream, stream=stream) == "withheld"


@WAYS
async def test_the_obligations_of_a_request_are_carried_out(way, upstream):
    bound = permit(
        obligation("limit_tokens", max_tokens=7),
        obligation("remove_tools", names=["wipe"]),
        obligation("set_parameters", temperature=0.5),
        obligation("no_store"),
    )
    tools = [tool("wipe"), tool("look")]
    client = governed(by_stage(pre_prompt=bound))
    await chat(client, way, upstream, tools=tools, max_tokens=100, store=True)
    body = upstream.requests[0].body
    assert body["max_tokens"] == 7
    assert body["temperature"] == 0.5
    assert body["store"] is False
    assert [one["function"]["name"] for one in body["tools"]] == ["look"]
    assert len(tools) == 2


@WAYS
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


@WAYS
async def test_a_route_never_sends_to_the_address_of_another_model(way, upstream):
    client = governed(by_stage(model_selection=permit(obligation("route", model="ollama/llama3"))))
    with pytest.raises(CallDenied) as denied:
        await chat(client, way, upstream)
    assert denied.value.code == "unsupported_obligation"
    assert upstream.requests == []


@WAYS
@STREAMED_OR_NOT
async def test_monitoring_records_a_denial_and_changes_nothing(way, stream, upstream):
    client = governed(StaticEngine(deny("no")), {"enforcement": {"default": "monitor"}})
    with capture_decisions(client.pep) as decisions:
        assert await chat(client, way, upstream, f"mine is {SSN}", stream=stream) == upstream.reply
    assert [(one.permitted, one.enforced) for one in decisions] == [(False, False)] * 3
    assert SSN in upstream.texts


# Replies


@WAYS
@STREAMED_OR_NOT
@pytest.mark.parametrize("stage", [stage.value for stage in STAGES])
async def test_a_denial_may_be_told_in_a_reply(way, stream, stage, upstream):
    client = governed(by_stage(**{stage: deny("no")}), {"denials": {"on_denied": "reply"}})
    with capture_decisions(client.pep) as decisions:
        told = await chat(client, way, upstream, stream=stream)
    assert told == decisions[-1].message
    assert SSN not in told


@WAYS
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


# Several choices, tools, caches


@WAYS
@STREAMED_OR_NOT
async def test_every_choice_is_judged(way, stream, upstream):
    upstream.reply = {"choices": ["fine", f"not {SSN}"]}
    client = governed(by_stage(post_completion=REDACT))
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


@WAYS
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


@WAYS
@STREAMED_OR_NOT
@pytest.mark.usefixtures("cache")
async def test_a_cached_answer_is_judged_for_whoever_gets_it(way, stream, upstream):
    client = governed(StaticEngine(redacted_for_bob))
    texts = []
    for user in ("alice", "bob", "alice"):
        texts.append(await chat(client.acting_as(user), way, upstream, stream=stream, caching=True))
        await asyncio.sleep(0)
    redacted = "the number is [REDACTED:us_ssn], as you know"
    assert texts == [upstream.reply, redacted, upstream.reply]


@WAYS
@pytest.mark.usefixtures("cache")
async def test_what_must_not_be_stored_is_in_no_cache(way, upstream):
    client = governed(by_stage(pre_prompt=permit(obligation("no_store"))))
    for _ in range(2):
        await chat(client, way, upstream, caching=True)
    assert len(upstream.requests) == 2


@WAYS
async def test_a_mock_response_is_judged_like_any_other(way, upstream):
    client = governed(by_stage(post_completion=REDACT))
    assert await chat(client, way, upstream, mock_response=f"it is {SSN}") == "it is [REDACTED:us_ssn]"
    assert upstream.requests == []
