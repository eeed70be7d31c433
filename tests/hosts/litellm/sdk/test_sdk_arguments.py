"""What a model calls a tool with, as the application gets it: read whatever its names and its kinds."""

from __future__ import annotations

import pytest
from governed_calls import CALLING, REDACT, SSN, STREAMED_OR_NOT, said
from sdk_calls import by_stage, governed

from checkrein.testing import obligation, permit

pytestmark = CALLING

TOOL = {"name": "look_up", "input_schema": {"type": "object", "properties": {}}}


async def answered(client, upstream, **more):
    given = {
        "model": "anthropic/claude-sonnet-4-5",
        "max_tokens": 9,
        "messages": said("hello"),
        "tools": [TOOL],
        "api_base": upstream.url.removesuffix("/v1"),
        "api_key": "k",
    }
    return await client.anthropic_messages(**{**given, **more})


@STREAMED_OR_NOT
@pytest.mark.parametrize("name", ["note", "logprobs"])
async def test_an_argument_is_redacted_whatever_it_is_called(name, stream, upstream):
    upstream.reply = {"name": "look_up", "arguments": {name: f"it is {SSN}"}}
    answer = await answered(governed(by_stage(post_completion=REDACT)), upstream, stream=stream)
    told = "".join([str(one) async for one in answer]) if stream else str(answer)
    assert SSN not in told
    assert "it is [REDACTED:us_ssn]" in told


async def test_a_card_that_is_a_number_is_redacted_in_an_answer_and_in_a_prompt(upstream):
    card = 4111111111111111
    redact = permit(obligation("redact", types=["credit_card"]))
    detect = {"detectors": {"pre_prompt": ["credit_card"], "post_completion": ["credit_card"]}}
    client = governed(by_stage(pre_prompt=redact, post_completion=redact), detect)
    upstream.reply = {"name": "look_up", "arguments": {"card": card}}
    used = {"type": "tool_use", "id": "toolu_0123456789", "name": "look_up", "input": {"card": card}}
    result = {"type": "tool_result", "tool_use_id": "toolu_0123456789", "content": "found"}
    turns = [{"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]
    answer = await answered(client, upstream, messages=[*said("hello"), *turns])
    assert str(card) not in str(answer)
    assert str(card) not in upstream.requests[0].raw.decode()
    assert used["input"] == {"card": card}
