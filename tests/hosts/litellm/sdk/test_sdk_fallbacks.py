"""Retries and fallbacks of LiteLLM's functions, governed: each is judged, none goes around a denial."""

from __future__ import annotations

import litellm
import pytest
from governed_calls import CALLING, REDACT, SSN, STREAMED_OR_NOT, WAYS, said
from sdk_calls import by_stage, chat, governed

from checkrein.testing import Failure, StaticEngine, capture_decisions, deny, permit
from checkrein_litellm import CallDenied

pytestmark = CALLING


@WAYS
async def test_a_retry_sends_no_more_than_was_permitted(way, upstream):
    upstream.reply = [Failure(500), "fine"]
    client = governed(by_stage(pre_prompt=REDACT))
    assert await chat(client, way, upstream, f"it is {SSN}", num_retries=2, max_retries=0) == "fine"
    assert len(upstream.requests) == 2
    assert SSN not in upstream.texts


@WAYS
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


@WAYS
async def test_no_fallback_goes_around_a_denial(way, upstream):
    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "openai/gpt-4o" else permit()

    with pytest.raises(CallDenied):
        await chat(governed(StaticEngine(answer)), way, upstream, fallbacks=["openai/b"])
    assert upstream.requests == []


@WAYS
async def test_a_denied_fallback_is_the_end(way, upstream):
    upstream.reply = Failure(500)

    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "openai/b" else permit()

    with pytest.raises(CallDenied):
        await chat(
            governed(StaticEngine(answer)), way, upstream, fallbacks=["openai/b", "openai/c"], max_retries=0
        )
    assert [one.body["model"] for one in upstream.requests] == ["gpt-4o"]


@WAYS
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


@WAYS
async def test_when_all_models_fail_the_last_failure_is_told(way, upstream):
    upstream.reply = [Failure(500), Failure(503)]
    with pytest.raises(litellm.ServiceUnavailableError):
        await chat(governed(StaticEngine(permit())), way, upstream, fallbacks=["openai/b"], max_retries=0)
    assert len(upstream.requests) == 2


@WAYS
async def test_fallbacks_of_the_whole_process_are_not_tried_unjudged(way, upstream, monkeypatch):
    monkeypatch.setattr(litellm, "model_fallbacks", ["openai/other"])
    with pytest.raises(CallDenied):
        await chat(governed(StaticEngine(permit())), way, upstream)
    assert upstream.requests == []
