"""Tokens repeat an answer's text, and stand in one place: a tool's argument of their name is an argument."""

from __future__ import annotations

import json

import pytest
from litellm.types.utils import Delta, ModelResponse, ModelResponseStream, StreamingChoices

from checkrein import Changes
from checkrein_litellm.changes import write_answer
from checkrein_litellm.streams.chat import ChoicesShape
from checkrein_litellm.streams.google import GenerateShape
from checkrein_litellm.streams.messages import MessagesShape
from checkrein_litellm.streams.responses import ResponsesShape
from checkrein_litellm.streams.sse import frame
from checkrein_litellm.streams.waiting import HeldTexts
from checkrein_litellm.text.surfaces import answer_surfaces

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")

SECRET = "one two 123"


def texts(found):
    return [segment.text for segment in found.segments]


def google(args, **more):
    call = {"functionCall": {"name": "f", "args": args}}
    return {"candidates": [{"content": {"role": "model", "parts": [call]}, "index": 0, **more}]}


def rests(shape, *chunks):
    return [shape.rest(event) for chunk in chunks for event in shape.read(chunk) if event.more]


@pytest.mark.parametrize("name", ["logprobs", "logprobsResult", "top_logprobs"])
def test_an_argument_that_is_called_like_tokens_is_read_in_a_whole_answer(name):
    assert SECRET in texts(answer_surfaces(google({name: SECRET}), 32))
    used = {"content": [{"type": "tool_use", "id": "toolu_0123", "name": "f", "input": {name: [SECRET]}}]}
    assert texts(answer_surfaces(used, 32)) == [SECRET]
    call = {"type": "mcp_call", "name": "f", "results": [{"attributes": {name: SECRET}}]}
    assert texts(answer_surfaces({"output": [call]}, 32)) == [SECRET]
    block = {"provider_specific_fields": {"a": {name: SECRET}}}
    assert texts(answer_surfaces({"choices": [{"index": 0, "message": block}]}, 32)) == [SECRET]


@pytest.mark.parametrize("name", ["logprobs", "logprobsResult"])
def test_an_argument_that_is_called_like_tokens_is_read_and_kept_in_a_stream(name):
    shape = GenerateShape(10_000)
    kept = rests(shape, frame(google({name: [1, 2], "q": SECRET})))
    assert kept == [google({name: [1, 2], "q": SECRET})]
    assert SECRET in texts(HeldTexts(shape, kept, {}, 32))
    shape = MessagesShape(10_000)
    block = {"type": "tool_use", "id": "toolu_0123", "name": "f", "input": {name: SECRET}}
    kept = rests(shape, frame({"type": "content_block_start", "index": 0, "content_block": block}))
    assert texts(HeldTexts(shape, kept, {}, 32)) == [SECRET]
    responses = ResponsesShape(frozenset())
    item = {"type": "file_search_call", "results": [{"attributes": {name: SECRET}}]}
    kept = rests(responses, {"type": "response.output_item.done", "output_index": 0, "item": item})
    assert texts(HeldTexts(responses, kept, {}, 32)) == [SECRET]


def chat(content, *tokens, **more):
    logprobs = {"content": [{"token": token, "logprob": -1.0, "top_logprobs": []} for token in tokens]}
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs, **more}
    return ModelResponse(choices=[choice])


def test_tokens_that_say_the_text_are_no_text_of_their_own():
    assert texts(answer_surfaces(chat("well, yes", "well", ",", " yes"), 32)) == ["well, yes"]
    completed = {"choices": [{"index": 0, "text": "well, yes", "logprobs": {"tokens": ["well,", " yes"]}}]}
    assert texts(answer_surfaces(completed, 32)) == ["well, yes"]


def test_tokens_that_say_something_else_are_judged_and_go_when_it_must_not_be_said():
    given = chat("well, yes", "he thinks of ", SECRET, "well, yes")
    found = answer_surfaces(given, 32)
    assert texts(found) == ["well, yes", f"he thinks of {SECRET}well, yes"]
    write_answer([given], Changes(texts={found.segments[1].path: "gone"}), found)
    assert given.choices[0].logprobs is None
    assert given.choices[0].message.content == "well, yes"


def test_an_alternative_that_is_longer_than_a_token_is_judged():
    given = chat("yes, sir", "yes", ", sir")
    given.choices[0].logprobs.content[0].top_logprobs = [
        {"token": " no", "logprob": -2.0, "bytes": None},
        {"token": SECRET, "logprob": -3.0, "bytes": None},
    ]
    assert texts(answer_surfaces(given, 32)) == ["yes, sir", SECRET]


def test_the_tokens_of_a_changed_candidate_go_with_its_text():
    chosen = [{"token": "one two"}, {"token": " 123"}]
    candidate = {"content": {"parts": [{"text": SECRET}]}, "logprobsResult": {"chosenCandidates": chosen}}
    answer = {"candidates": [candidate]}
    found = answer_surfaces(answer, 32)
    assert texts(found) == [SECRET]
    write_answer([answer], Changes(texts={found.segments[0].path: "gone"}), found)
    assert SECRET not in json.dumps(answer)
    assert not candidate["logprobsResult"]


def test_a_piece_of_a_stream_keeps_the_tokens_of_its_text_and_no_others():
    def chunk(content, token):
        choice = StreamingChoices(index=0, delta=Delta(content=content))
        choice.logprobs = {"content": [{"token": token, "logprob": -1.0}]}
        return ModelResponseStream(choices=[choice])

    (event,) = ChoicesShape().read(chunk("yes", "yes"))
    assert event.data.choices[0].logprobs
    odd = chunk("yes", SECRET)
    (event,) = ChoicesShape().read(odd)
    assert SECRET not in event.data.model_dump_json()
    assert SECRET in odd.model_dump_json()  # LiteLLM's own is left alone
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "yes"}
    (event,) = ResponsesShape(frozenset()).read({**delta, "logprobs": [{"token": SECRET}]})
    assert event.data == {**delta, "logprobs": []}
    (event,) = ResponsesShape(frozenset()).read({**delta, "logprobs": [{"token": "yes"}]})
    assert event.data["logprobs"] == [{"token": "yes"}]
    candidate = {"content": {"parts": [{"text": "y"}, {"text": "es"}]}, "index": 0}
    for token, left in (("yes", True), (SECRET, False)):
        result = {"chosenCandidates": [{"token": token}]}
        (event,) = GenerateShape(10_000).read(
            frame({"candidates": [{**candidate, "logprobsResult": result}]})
        )
        assert bool(event.data["candidates"][0]["logprobsResult"]) is left
