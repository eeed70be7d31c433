"""Every try of a governed router is judged: no retry and no fallback goes around a denial."""

from __future__ import annotations

import litellm
import pytest
from governed_calls import CALLING, REDACT, REDACTED, SSN, STREAMED_OR_NOT, WAYS, said
from routed_calls import chat, deployment, redacts, routed

from checkrein import Stage
from checkrein.testing import Failure, StaticEngine, capture_decisions, deny, permit
from checkrein_litellm import CallDenied

pytestmark = CALLING


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
