"""What calls of LiteLLM's functions bring along: read wherever it stands, or denied."""

from __future__ import annotations

import litellm
import pytest
from governed_calls import CALLING, REDACT, SSN, WAYS, said
from sdk_calls import by_stage, chat, governed

from checkrein import SettingsError, Stage
from checkrein.testing import StaticEngine, capture_decisions, permit
from checkrein_litellm import CallDenied

pytestmark = CALLING


@WAYS
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


@WAYS
async def test_what_cannot_be_governed_passes_under_monitor_and_is_recorded(way, upstream):
    client = governed(StaticEngine(permit()), {"enforcement": {"default": "monitor"}})
    with capture_decisions(client.pep) as decisions:
        assert await chat(client, way, upstream, extra_body={"x": 1}) == upstream.reply
    assert [one.reasons[0].code for one in decisions] == ["unsupported_request.extra_body"]


@WAYS
async def test_an_alias_is_judged_by_the_model_that_it_stands_for(way, upstream, monkeypatch):
    monkeypatch.setattr(litellm, "model_alias_map", {"openai/gpt-4o": "openai/secret"})
    engine = StaticEngine(permit())
    await chat(governed(engine), way, upstream)
    assert {one["resource"]["id"] for one in engine.asked} == {"openai/secret"}
    assert upstream.requests[0].body["model"] == "secret"


@WAYS
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
    client = governed(by_stage(pre_prompt=REDACT))
    messages = ({"role": "user", "content": ({"type": "text", "text": f"it is {SSN}"},)},)
    await chat(client, "sync", upstream, messages=messages)
    assert SSN not in upstream.texts
    assert engine.asked == []


async def test_an_earlier_answer_in_the_conversation_is_read_and_left_alone(upstream):
    client = governed(by_stage(pre_prompt=REDACT))
    earlier = litellm.Message(role="assistant", content=f"it was {SSN}")
    await chat(client, "sync", upstream, messages=[*said("a"), earlier, *said("b")])
    assert SSN not in upstream.texts
    assert earlier.content == f"it was {SSN}"


@WAYS
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
