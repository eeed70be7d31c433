"""What the test upstream answers beside chats: read by the clients that the APIs' makers ship."""

from __future__ import annotations

import anthropic
import httpx
import pytest
from openai import BadRequestError, OpenAI

from checkrein.testing import Upstream

HELLO = [{"role": "user", "content": "hello there"}]
PICTURE = ("a.png", b"\x89PNG" + b"x" * 80, "image/png")
SOUND = ("a.mp3", b"ID3" + b"x" * 80, "audio/mpeg")


@pytest.fixture
def upstream():
    with Upstream("a reply") as running:
        yield running


@pytest.fixture
def client(upstream):
    with OpenAI(base_url=upstream.url, api_key="none", max_retries=0, timeout=10) as made:
        yield made


@pytest.fixture
def claude(upstream):
    root = upstream.url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=root, api_key="none", max_retries=0, timeout=10) as made:
        yield made


def test_a_message_is_answered_with_its_words_counted(claude):
    answer = claude.messages.create(model="claude", max_tokens=9, system="be brief", messages=HELLO)
    assert [one.text for one in answer.content] == ["a reply"]
    assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 5, 2)


def test_a_message_can_call_a_tool_and_end_early(claude, upstream):
    upstream.reply = {"text": "wait", "tool_calls": [{"name": "f", "arguments": {"a": 1}}]}
    answer = claude.messages.create(model="claude", max_tokens=9, messages=HELLO)
    assert [one.type for one in answer.content] == ["text", "tool_use"]
    assert (answer.content[1].input, answer.stop_reason) == ({"a": 1}, "tool_use")
    upstream.reply = {"text": "wait", "finish_reason": "length"}
    assert claude.messages.create(model="claude", max_tokens=9, messages=HELLO).stop_reason == "max_tokens"


@pytest.mark.parametrize("reply", ["a longer reply, in pieces", {"name": "f", "arguments": {"a": "b" * 20}}])
def test_a_streamed_message_comes_in_pieces_and_is_the_same_in_the_end(claude, upstream, reply):
    upstream.reply = reply
    whole = claude.messages.create(model="claude", max_tokens=9, messages=HELLO)
    with claude.messages.stream(model="claude", max_tokens=9, messages=HELLO) as stream:
        assert len([event for event in stream if event.type == "content_block_delta"]) > 3
        streamed = stream.get_final_message()
    assert [one.model_dump(exclude={"id"}) for one in streamed.content] == [
        one.model_dump(exclude={"id"}) for one in whole.content
    ]
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_the_tokens_of_a_message_are_counted(claude):
    counted = claude.messages.count_tokens(model="claude", system="be brief", messages=HELLO)
    assert counted.input_tokens == 5


def test_googles_content_is_generated(upstream):
    body = {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
    answer = httpx.post(f"{upstream.url}/models/gemini:generateContent", json=body).json()
    assert answer["candidates"][0]["content"]["parts"] == [{"text": "a reply"}]
    assert answer["usageMetadata"]["totalTokenCount"] == 5
    upstream.reply = {"name": "f", "arguments": {"a": 1}}
    answer = httpx.post(f"{upstream.url}/models/gemini:generateContent", json=body).json()
    assert answer["candidates"][0]["content"]["parts"] == [{"functionCall": {"name": "f", "args": {"a": 1}}}]


def test_pictures_are_drawn_and_say_what_was_asked_for(client, upstream):
    for answer in (
        client.images.generate(model="m", prompt="a cat"),
        client.images.edit(model="m", prompt="a hat", image=PICTURE),
    ):
        assert answer.data[0].revised_prompt == "a reply"
        assert len(answer.data[0].b64_json) > 64
    assert "a hat" in upstream.texts


def test_nothing_is_flagged(client):
    answer = client.moderations.create(model="m", input=["one", "two"])
    assert [one.flagged for one in answer.results] == [False, False]


def test_speech_is_a_sound_and_a_sound_is_transcribed(client, upstream):
    assert client.audio.speech.create(model="m", voice="alloy", input="say it").content.startswith(b"ID3")
    assert client.audio.transcriptions.create(model="m", file=SOUND, prompt="names").text == "a reply"
    assert "names" in upstream.texts
    assert upstream.completed == 2


def test_documents_are_ranked_in_their_order(upstream):
    body = {"model": "m", "query": "which", "documents": ["one", "two"]}
    answer = httpx.post(f"{upstream.url}/rerank", json=body).json()
    assert [one["index"] for one in answer["results"]] == [0, 1]
    assert answer["results"][0]["relevance_score"] > answer["results"][1]["relevance_score"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/messages", {"model": "m", "messages": HELLO}),
        ("/messages", {"model": "m", "max_tokens": 5}),
        ("/models/gemini:generateContent", {"x": 1}),
        ("/moderations", {"model": "m"}),
        ("/rerank", {"model": "m", "query": "x"}),
        ("/audio/speech", {"model": "m", "voice": "alloy"}),
        ("/audio/speech", {"model": "m", "input": 5}),
    ],
)
def test_what_the_real_api_refuses_is_refused(upstream, path, body):
    assert httpx.post(f"{upstream.url}{path}", json=body).status_code == 400


def test_arguments_that_are_no_json_cannot_be_told_as_a_tool_of_anthropics(claude, upstream):
    upstream.reply = {"name": "f", "arguments": "no json"}
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model="claude", max_tokens=9, messages=HELLO)


def test_a_reply_function_hears_of_a_form(client, upstream):
    upstream.reply = lambda body: f"asked with {len(body)} fields"
    assert client.audio.transcriptions.create(model="m", file=SOUND).text == "asked with 0 fields"
    upstream.fail(400)
    with pytest.raises(BadRequestError):
        client.images.edit(model="m", prompt="a hat", image=PICTURE)
