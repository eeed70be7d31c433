"""Classes that say how an answer is to look: their words are judged as the schema that is sent."""

from __future__ import annotations

from typing import Any

import pytest
from governed_calls import CALLING, REDACT, REDACTED, SSN, WAYS, acompleted, completed, said
from pydantic import BaseModel, Field
from sdk_calls import by_stage, governed

from checkrein.testing import StaticEngine, permit
from checkrein_litellm import CallDenied, PolicyRouter

pytestmark = CALLING


class Person(BaseModel):
    """Somebody to look up."""

    name: str = Field(description=f"such as {SSN}")


async def send(client: Any, way: str, **given: Any) -> None:
    given = {"messages": said("hello"), **given}
    await acompleted(client, given) if way == "async" else completed(client, given)


@WAYS
async def test_what_a_class_says_is_redacted_before_it_is_sent(way, upstream):
    client = governed(by_stage(pre_prompt=REDACT))
    reached = {"model": "openai/gpt-4o", "api_base": upstream.url, "api_key": "k"}
    await send(client, way, response_format=Person, **reached)
    schema = upstream.requests[0].body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["name"]["description"] == f"such as {REDACTED}"
    assert SSN in Person.model_json_schema()["properties"]["name"]["description"]


@WAYS
async def test_what_a_class_says_is_redacted_before_a_router_sends_it(way, upstream):
    params = {"model": "openai/gpt-4o", "api_base": upstream.url, "api_key": "k"}
    models = [{"model_name": "m", "litellm_params": params}]
    router = PolicyRouter(pep=governed(by_stage(pre_prompt=REDACT)).pep, num_retries=0, model_list=models)
    await send(router, way, model="m", response_format=Person)
    assert SSN not in upstream.texts
    assert REDACTED in upstream.requests[0].raw.decode()


async def test_what_a_class_says_is_redacted_in_responses(upstream):
    client = governed(by_stage(pre_prompt=REDACT))
    reached = {"model": "openai/gpt-4o", "api_base": upstream.url, "api_key": "k"}
    await client.aresponses(input="hello", text_format=Person, **reached)
    sent = upstream.requests[0].body["text"]["format"]
    assert sent["schema"]["properties"]["name"]["description"] == f"such as {REDACTED}"


@pytest.mark.parametrize(
    "given",
    [
        {"response_format": int},
        {"response_format": lambda: None},
        {"response_format": {"type": "json_schema", "json_schema": Person}},
    ],
    ids=["no model", "no class", "a class within"],
)
async def test_a_format_that_nobody_can_read_is_denied(given, upstream):
    reached = {"model": "openai/gpt-4o", "api_base": upstream.url, "api_key": "k"}
    with pytest.raises(CallDenied) as denied:
        await send(governed(StaticEngine(permit())), "async", **reached, **given)
    assert denied.value.code.startswith("unsupported_request.")
    assert upstream.requests == []
