"""What a model calls a tool with, as the application gets it: read whatever its names and its kinds."""

from __future__ import annotations

import pytest
from governed_calls import CALLING, REDACT, SSN, STREAMED_OR_NOT, said
from sdk_calls import by_stage, governed

pytestmark = CALLING

TOOL = {"name": "look_up", "input_schema": {"type": "object", "properties": {}}}


async def answered(client, upstream, **more):
    return await client.anthropic_messages(
        model="anthropic/claude-sonnet-4-5",
        max_tokens=9,
        messages=said("hello"),
        tools=[TOOL],
        api_base=upstream.url.removesuffix("/v1"),
        api_key="k",
        **more,
    )


@STREAMED_OR_NOT
@pytest.mark.parametrize("name", ["note", "logprobs"])
async def test_an_argument_is_redacted_whatever_it_is_called(name, stream, upstream):
    upstream.reply = {"name": "look_up", "arguments": {name: f"it is {SSN}"}}
    answer = await answered(governed(by_stage(post_completion=REDACT)), upstream, stream=stream)
    told = "".join([str(one) async for one in answer]) if stream else str(answer)
    assert SSN not in told
    assert "it is [REDACTED:us_ssn]" in told
