"""What the test upstream answers, read by the real OpenAI client: every endpoint, whole and streamed."""

import json

import httpx
import openai
import pytest

from checkrein.testing import Upstream

HELLO = [{"role": "user", "content": "say hello please"}]
TEXT = "Grüße, wonderful world 🎉!"
CALL = {"name": "search", "arguments": {"query": "Grüße", "limit": 3}}


@pytest.fixture
def upstream():
    with Upstream(TEXT) as running:
        yield running


@pytest.fixture
def client(upstream):
    with openai.OpenAI(base_url=upstream.url, api_key="none", max_retries=0) as opened:
        yield opened


def refused(upstream, path, **body):
    answer = httpx.post(f"{upstream.url}/{path}", json=body)
    assert answer.status_code == 400
    return answer.json()["error"]["message"]


def test_a_chat_is_answered_in_the_asked_models_name_with_words_for_tokens(client):
    answer = client.chat.completions.create(model="some/model", messages=HELLO)
    assert answer.model == "some/model"
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == 4
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 4


def test_a_streamed_chat_is_the_same_text_in_small_pieces(upstream, client):
    with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks[1:-1]]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(pieces) == TEXT
    assert {len(piece) for piece in pieces[:-1]} == {5}
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    assert upstream.chunks == len(chunks)


def test_usage_is_the_last_chunk_of_a_stream_when_asked_for(client):
    whole = client.chat.completions.create(model="m", messages=HELLO)
    options = {"include_usage": True}
    with client.chat.completions.create(
        model="m", messages=HELLO, stream=True, stream_options=options
    ) as stream:
        chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("stream", [False, True])
def test_choices_may_differ_and_the_last_repeats(upstream, client, stream):
    upstream.reply = {"choices": ["clean", "a secret of some length"]}
    answer = client.chat.completions.create(model="m", messages=HELLO, n=3, stream=stream)
    texts = {0: "", 1: "", 2: ""}
    if stream:
        order = []
        with answer:
            for chunk in answer:
                order.append(chunk.choices[0].index)
                texts[order[-1]] += chunk.choices[0].delta.content or ""
        assert order[:6] == [0, 1, 2, 0, 1, 2]
    else:
        texts = {choice.index: choice.message.content for choice in answer.choices}
    assert texts == {0: "clean", 1: "a secret of some length", 2: "a secret of some length"}


def test_a_tool_call_is_answered(upstream, client):
    upstream.reply = CALL
    choice = client.chat.completions.create(model="m", messages=HELLO).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls[0].function.name == "search"
    assert json.loads(choice.message.tool_calls[0].function.arguments) == CALL["arguments"]


def test_text_and_several_tool_calls_stream_with_their_arguments_in_pieces(upstream, client):
    upstream.reply = {"text": "One moment.", "tool_calls": [CALL, {"name": "noop", "id": "call_7"}]}
    with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
        deltas = [chunk.choices[0].delta for chunk in stream]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    arguments = [call.function.arguments for call in calls if call.index == 0]
    assert "".join(delta.content or "" for delta in deltas) == "One moment."
    assert json.loads("".join(arguments)) == CALL["arguments"]
    assert len(arguments) > 3
    assert [call.function.name for call in calls if call.id] == ["search", "noop"]
    assert calls[-1].index == 1
    assert next(call.id for call in calls if call.index == 1) == "call_7"


@pytest.mark.parametrize("stream", [False, True])
def test_arguments_that_are_no_json_go_out_unchanged(upstream, client, stream):
    upstream.reply = {"name": "search", "arguments": '{"query": '}
    answer = client.chat.completions.create(model="m", messages=HELLO, stream=stream)
    if stream:
        with answer:
            calls = [call for chunk in answer for call in chunk.choices[0].delta.tool_calls or ()]
    else:
        calls = answer.choices[0].message.tool_calls
    assert "".join(call.function.arguments for call in calls) == '{"query": '


def test_a_finish_reason_can_be_told(upstream, client):
    upstream.reply = {"text": "cut sho", "finish_reason": "length"}
    assert client.chat.completions.create(model="m", messages=HELLO).choices[0].finish_reason == "length"
    response = client.responses.create(model="m", input="hello")
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_completions_are_answered_per_prompt_and_streamed(client):
    answer = client.completions.create(model="m", prompt=["one", "two"], n=2)
    assert [choice.text for choice in answer.choices] == [TEXT] * 4
    with client.completions.create(model="m", prompt="one", stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_embeddings_are_the_same_for_the_same_text_in_both_encodings(client):
    packed = client.embeddings.create(model="m", input=["one", "two", "one"])
    plain = client.embeddings.create(model="m", input="one", encoding_format="float", dimensions=8)
    first, second, third = (one.embedding for one in packed.data)
    assert first == third != second
    assert first == pytest.approx(plain.data[0].embedding)
    assert sum(number * number for number in first) == pytest.approx(1)
    assert len(client.embeddings.create(model="m", input=[17, 4], dimensions=300).data[0].embedding) == 300


def test_a_response_is_answered_and_streamed(client):
    whole = client.responses.create(model="m", input="hello", instructions="be kind")
    assert whole.output_text == TEXT
    assert whole.usage.total_tokens == 3 + 4
    with client.responses.stream(model="m", input="hello", instructions="be kind") as stream:
        events = list(stream)
        final = stream.get_final_response()
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == TEXT
    assert len(deltas) > 3
    assert final.output_text == TEXT
    assert final.usage == whole.usage
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_response_calls_tools_whole_and_streamed(upstream, client):
    upstream.reply = CALL
    whole = client.responses.create(model="m", input="hello").output
    with client.responses.stream(model="m", input="hello") as stream:
        events = list(stream)
        streamed = stream.get_final_response().output
    for output in (whole, streamed):
        assert [(item.type, item.name) for item in output] == [("function_call", "search")]
        assert json.loads(output[0].arguments) == CALL["arguments"]
    deltas = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert json.loads("".join(deltas)) == CALL["arguments"]


def test_the_models_are_listed():
    with (
        Upstream(models=["large", "small"]) as upstream,
        openai.OpenAI(base_url=upstream.url, api_key="none") as client,
    ):
        assert [model.id for model in client.models.list()] == ["large", "small"]


async def test_the_asynchronous_client_is_answered_too(upstream):
    async with openai.AsyncOpenAI(base_url=upstream.url, api_key="none", max_retries=0) as client:
        answer = await client.chat.completions.create(model="m", messages=HELLO)
        assert answer.choices[0].message.content == TEXT
        async with await client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(pieces) == TEXT
        assert (await client.responses.create(model="m", input="hello")).output_text == TEXT


def test_what_the_real_api_refuses_is_refused(upstream):
    assert "`messages`" in refused(upstream, "chat/completions", model="m")
    assert "`model`" in refused(upstream, "chat/completions", messages=HELLO)
    assert "`n`" in refused(upstream, "chat/completions", model="m", messages=HELLO, n=0)
    assert "`n`" in refused(upstream, "completions", model="m", prompt="x", n=10**9)
    assert "`prompt`" in refused(upstream, "completions", model="m", prompt=["x"] * 1000)
    assert "`input`" in refused(upstream, "embeddings", model="m", input=["x"] * 3000)
    assert "`dimensions`" in refused(upstream, "embeddings", model="m", input="x", dimensions=10**9)
    upstream.reply = CALL
    assert "tool calls" in refused(upstream, "completions", model="m", prompt="x")
    assert upstream.completed == len(upstream.requests) == 8
