"""What an application notes about a call, as providers get it: judged, and its own notes left alone."""

from __future__ import annotations

import pytest
from governed_calls import CALLING, REDACT, REDACTED, SSN, WAYS, acompleted, completed, said
from sdk_calls import by_stage, governed

from checkrein_litellm import PolicyRouter

pytestmark = CALLING


async def send(client, way, upstream, model, **more):
    base = upstream.url.removesuffix("/v1") if model.startswith("anthropic/") else upstream.url
    given = {"model": model, "messages": said("hello"), "api_base": base, "api_key": "k", **more}
    await acompleted(client, given) if way == "async" else completed(client, given)
    (request,) = upstream.requests
    return request


@WAYS
async def test_the_user_whom_a_provider_is_told_of_is_judged(way, upstream):
    notes = {"user_id": f"it is {SSN}"}
    client = governed(by_stage(pre_prompt=REDACT))
    request = await send(client, way, upstream, "anthropic/claude-3", max_tokens=9, metadata=notes)
    assert request.body["metadata"] == {"user_id": f"it is {REDACTED}"}
    assert notes == {"user_id": f"it is {SSN}"}


@WAYS
@pytest.mark.parametrize(
    "noted", [{"litellm_session_id": f"it is {SSN}"}, {"metadata": {"session_id": f"it is {SSN}"}}]
)
async def test_a_session_that_goes_into_a_header_is_judged(way, noted, upstream):
    client = governed(by_stage(pre_prompt=REDACT))
    request = await send(client, way, upstream, "fireworks_ai/accounts/x/models/llama", **noted)
    assert dict(request.headers)["x-session-affinity"] == f"it is {REDACTED}"


@WAYS
async def test_the_notes_of_a_routers_caller_are_judged_and_its_own_are_not(way, upstream):
    params = {
        "model": "anthropic/claude-3",
        "api_base": upstream.url.removesuffix("/v1"),
        "api_key": "k",
        "max_tokens": 9,
    }
    engine = by_stage(pre_prompt=REDACT)
    point = governed(engine).pep
    router = PolicyRouter(
        pep=point, num_retries=0, model_list=[{"model_name": "my own claude", "litellm_params": params}]
    )
    given = {"model": "my own claude", "messages": said("hello"), "metadata": {"user_id": f"it is {SSN}"}}
    await router.acompletion(**given) if way == "async" else router.completion(**given)
    (request,) = upstream.requests
    assert request.body["metadata"] == {"user_id": f"it is {REDACTED}"}
    (asked,) = [one for one in engine.asked if one["stage"] == "pre_prompt"]
    assert asked["context"]["prompt"]["text"] == f"hello\nit is {SSN}"
