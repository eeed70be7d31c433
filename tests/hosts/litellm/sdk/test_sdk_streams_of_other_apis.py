"""Streamed answers of governed functions in the forms of the responses, messages and text APIs."""

from __future__ import annotations

import json

import pytest
from governed_calls import CALLING, REDACT, REDACTED, SSN, WAYS, said
from sdk_streams import LONG, Read, governed

from checkrein.testing import Upstream, capture_decisions, deny, permit
from checkrein_litellm import CallDenied

pytestmark = CALLING


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@WAYS
@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_streams_of_the_responses_api_are_held(way, mode, upstream):
    upstream.reply = f"it is {SSN}"
    given = {
        "model": "openai/gpt-4o",
        "input": "hi",
        "api_base": upstream.url,
        "api_key": "k",
        "stream": True,
    }

    async def events(client):
        stream = client.responses(**given) if way == "sync" else await client.aresponses(**given)
        return await Read(stream, way).all()

    client = governed(permit(), stream={"mode": mode})
    with capture_decisions(client.pep) as decisions:
        kinds = [event.type.value for event in await events(client)]
    assert kinds[-1] == "response.completed"
    assert f"it is {SSN}" in decisions[-1].document["context"]["completion"]["text"].splitlines()
    with pytest.raises(CallDenied):
        await events(governed(deny("no"), stream={"mode": mode}))
    redacted = await events(governed(REDACT, stream={"mode": mode}))
    assert SSN not in repr(redacted)
    deltas = [event.delta for event in redacted if event.type.value == "response.output_text.delta"]
    assert "".join(deltas) == f"it is {REDACTED}"
    assert redacted[-1].response.output[0].content[0].text == f"it is {REDACTED}"


@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_streams_of_messages_are_held(mode, upstream):
    upstream.reply = f"{LONG}it is {SSN} and on"

    async def text(client):
        stream = await client.anthropic_messages(
            model="anthropic/claude-sonnet-4-5",
            messages=said("hi"),
            max_tokens=99,
            stream=True,
            api_base=upstream.url.removesuffix("/v1"),
            api_key="k",
        )
        frames = b"".join(await Read(stream, "async").all()).decode()
        assert SSN not in frames
        told = [json.loads(line.removeprefix("data:")) for line in frames.splitlines() if "data:" in line]
        return "".join(one["delta"].get("text", "") for one in told if one["type"] == "content_block_delta")

    assert await text(governed(REDACT, stream={"mode": mode})) == f"{LONG}it is {REDACTED} and on"
    with pytest.raises(CallDenied):
        await text(governed(deny("no"), stream={"mode": mode}))
    replied = await text(governed(deny("no"), stream={"mode": mode}, denials={"on_denied": "reply"}))
    assert replied.startswith("denied by policy: no")


@WAYS
@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_streams_of_text_completions_are_held(way, mode, upstream):
    upstream.reply = f"{LONG}it is {SSN} and on"
    client = governed(REDACT, stream={"mode": mode})
    given = {"model": "text-completion-openai/gpt-4o", "prompt": "hi", "api_base": upstream.url}
    given |= {"api_key": "k", "stream": True}
    stream = client.text_completion(**given) if way == "sync" else await client.atext_completion(**given)
    chunks = await Read(stream, way).all()
    text = "".join(choice.text or "" for chunk in chunks for choice in chunk.choices)
    assert text == f"{LONG}it is {REDACTED} and on"
