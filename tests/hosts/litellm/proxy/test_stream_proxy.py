"""Streams of a real proxy on every endpoint: what leaves when, and how a denial is told."""

from __future__ import annotations

import json
from contextlib import contextmanager

import anthropic
import httpx
import openai
import pytest

from checkrein import denial_from

SSN = "123-45-6789"
REDACTED = "[REDACTED:ssn]"
LONG = "".join(f"word {number} " for number in range(200))
HI = [{"role": "user", "content": "hi"}]
GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
# By name: the address, the model and the body.
ENDPOINTS = {
    "chat": ("/v1/chat/completions", "gpt-4o", {"messages": HI}),
    "chat of another provider": ("/v1/chat/completions", "claude", {"messages": HI}),
    "completions": ("/v1/completions", "completer", {"prompt": "hi"}),
    "completions over a bridge": ("/v1/completions", "gpt-4o", {"prompt": "hi"}),
    "messages": ("/v1/messages", "claude", {"messages": HI, "max_tokens": 50}),
    "messages over a bridge": ("/v1/messages", "gpt-4o", {"messages": HI, "max_tokens": 50}),
    "responses": ("/v1/responses", "gpt-4o", {"input": "hi"}),
    "responses over a bridge": ("/v1/responses", "claude", {"input": "hi"}),
    "generateContent": ("/v1beta/models/gemini:streamGenerateContent?alt=sse", "gemini", GOOGLE),
    "generateContent over a bridge": ("/v1beta/models/gpt-4o:streamGenerateContent", "gpt-4o", GOOGLE),
}
EVERYWHERE = pytest.mark.parametrize("name", ENDPOINTS)
CALLING = pytest.mark.parametrize("name", [name for name in ENDPOINTS if "completions" not in name])


def send(proxy, name, person="pro", **more):
    path, model, body = ENDPOINTS[name]
    return proxy.post(path, person, **{"model": model, "stream": True, **body, **more})


@contextmanager
def opened(proxy, name, person="pro", **more):
    path, model, body = ENDPOINTS[name]
    given = {"Authorization": f"Bearer sk-test-{person}"}
    asked = {"model": model, "stream": True, **body, **more}
    with httpx.stream("POST", f"{proxy.url}{path}", json=asked, headers=given, timeout=30) as answer:
        yield answer


def events(text):
    frames = [frame for frame in text.split("\n\n") if frame]
    told = [[one for one in frame.split("\n") if one.startswith("data: ")] for frame in frames]
    data = [lines[0].removeprefix("data: ") for lines in told if lines]
    return [json.loads(one) for one in data if one != "[DONE]"]


def text_of(event):
    """The text that an event adds, in whichever API."""
    if event.get("type") == "response.output_text.delta":
        return event["delta"]
    if event.get("type") == "content_block_delta":
        return event["delta"].get("text", "")
    said = [one.get("delta", one).get("content") or one.get("text") for one in event.get("choices", ())]
    parts = [one.get("content") or {} for one in event.get("candidates", ())]
    said += [part.get("text") for one in parts for part in one.get("parts", ())]
    return "".join(one or "" for one in said)


def said(text):
    return "".join(map(text_of, events(text)))


def errors(text):
    found = [one.get("error") or (one.get("response") or {}).get("error") for one in events(text)]
    return [one for one in found if one]


def asked(records):
    return [one for one in records if one["stage"] == "post_completion"]


@EVERYWHERE
def test_a_held_stream_is_redacted_and_whole(proxy, name):
    proxy.upstream.reply = f"it is {SSN}, keep it"
    answer = send(proxy, name)
    assert answer.status_code == 200, answer.text
    assert said(answer.text) == f"it is {REDACTED}, keep it"
    assert SSN not in answer.text
    assert "-6789" not in answer.text
    (record,) = asked(proxy.records(answer))
    assert record["input"]["context"]["partial"] is False


@EVERYWHERE
def test_a_permitted_stream_comes_as_it_was(proxy, name):
    proxy.upstream.reply = f"it is {SSN}, keep it"
    answer = send(proxy, name, "enterprise")
    assert said(answer.text) == f"it is {SSN}, keep it"
    assert len([one for one in events(answer.text) if text_of(one)]) > 3


@EVERYWHERE
def test_a_held_stream_is_denied_with_a_status(proxy, name):
    proxy.upstream.reply = f"this is FORBIDDEN {LONG}"
    answer = send(proxy, name)
    assert answer.status_code == 403, (answer.headers, answer.text[:600])
    assert answer.headers["content-type"] == "application/json"
    assert "this is" not in answer.text
    record = asked(proxy.records(answer))[-1]
    assert answer.headers["x-checkrein-decision-id"] == record["decision_id"]
    error = answer.json()["error"]
    assert record["decision_id"] in error["message"]
    if "messages" not in name:
        assert error["type"] == "policy_denied"
        assert error["provider_specific_fields"]["reasons"] == ["content.forbidden"]


@CALLING
def test_the_arguments_of_a_streamed_tool_call_are_redacted(proxy, name):
    proxy.upstream.reply = {"name": "look_up", "arguments": {"who": SSN, "why": "because"}}
    answer = send(proxy, name)
    assert answer.status_code == 200, answer.text
    assert SSN[:6] not in answer.text
    assert REDACTED in answer.text


@EVERYWHERE
def test_of_a_held_stream_that_breaks_nothing_leaves(proxy, name):
    proxy.upstream.reply = f"the beginning {LONG}"
    proxy.upstream.hang_up_after(6)
    answer = send(proxy, name, "enterprise")
    if answer.status_code == 200 and not errors(answer.text):
        # LiteLLM takes the end of this connection for the end of the answer.
        assert asked(proxy.records(answer))
    else:
        assert "beginning" not in answer.text


@EVERYWHERE
def test_in_a_window_text_leaves_before_the_end(windowed, name):
    windowed.upstream.reply = LONG
    windowed.upstream.pause_after(300)
    try:
        with opened(windowed, name) as answer:
            read = ""
            pieces = answer.iter_text()
            while not said(read):
                read += next(pieces).replace("\r", "")
            assert windowed.upstream.completed == 0
            assert LONG.startswith(said(read))
            windowed.upstream.resume()
            read += "".join(pieces)
    finally:
        windowed.upstream.resume()
    assert said(read) == LONG


@pytest.mark.parametrize("size", [7])
@EVERYWHERE
def test_a_finding_is_taken_out_of_the_middle_of_a_window(windowed, name, size):
    windowed.upstream.chunk_size = size
    try:
        windowed.upstream.reply = f"{LONG}it is {SSN} and {LONG}"
        answer = send(windowed, name)
    finally:
        windowed.upstream.chunk_size = 5
    assert said(answer.text) == f"{LONG}it is {REDACTED} and {LONG}"
    assert SSN not in answer.text
    records = asked(windowed.records(answer))
    assert [one["input"]["context"]["partial"] for one in records] == [True, True, False]
    released = [one["input"]["context"]["released"] for one in records]
    assert released[0] == 0
    assert released == sorted(released)
    assert {one["call_id"] for one in records} == {answer.headers["x-checkrein-call-id"]}


@EVERYWHERE
def test_a_denial_after_text_has_left_is_told_in_a_last_frame(windowed, name):
    windowed.upstream.reply = f"{LONG}it is FORBIDDEN {SSN} and {LONG}"
    answer = send(windowed, name)
    assert answer.status_code == 200
    assert f"{LONG}it is FORBIDDEN ".startswith(said(answer.text))
    assert len(said(answer.text)) > 100
    assert SSN[4:] not in answer.text
    record = asked(windowed.records(answer))[-1]
    assert not record["permitted"]
    assert record["input"]["context"]["partial"]
    assert record["input"]["context"]["released"] == len(said(answer.text))
    (error,) = errors(answer.text)
    assert error["provider_specific_fields"]["decision_id"] == record["decision_id"]
    assert error["provider_specific_fields"]["reasons"] == ["content.forbidden"]
    assert events(answer.text)[-1]["error"] == error


@EVERYWHERE
def test_the_rest_of_a_denied_stream_is_not_waited_for(windowed, name):
    windowed.upstream.reply = f"{LONG}it is FORBIDDEN {SSN} and {LONG}{LONG}"
    windowed.upstream.pause_after(700)
    try:
        assert errors(send(windowed, name).text)
        windowed.upstream.wait()
        assert windowed.upstream.aborted == 1
    finally:
        windowed.upstream.resume()


@EVERYWHERE
def test_where_nothing_has_left_a_denial_is_a_reply(windowed, name):
    windowed.upstream.reply = f"this is FORBIDDEN {LONG}"
    answer = send(windowed, name)
    assert answer.status_code == 200
    assert "this is" not in answer.text
    record = asked(windowed.records(answer))[-1]
    assert record["decision_id"] in said(answer.text)
    assert answer.headers["x-checkrein-decision-id"] == record["decision_id"]
    assert not errors(answer.text)
    assert [end for end in ("content_filter", "refusal", "SAFETY") if end in answer.text]


@pytest.mark.parametrize("stream", [False, True])
@EVERYWHERE
def test_a_prompt_that_is_denied_is_answered_with_a_reply(windowed, name, stream):
    path, model, body = ENDPOINTS[name]
    asked = json.loads(json.dumps(body).replace('"hi"', '"FORBIDDEN"'))
    if not stream:
        path = path.removesuffix("?alt=sse").replace(":streamGenerateContent", ":generateContent")
    answer = windowed.post(path, "pro", model=model, stream=stream, **asked)
    assert answer.status_code == 200, answer.text
    assert windowed.upstream.requests == []
    record = windowed.records(answer)[-1]
    assert (record["stage"], record["permitted"]) == ("pre_prompt", False)
    assert record["decision_id"] in (said(answer.text) if stream else answer.text)
    assert [end for end in ("content_filter", "refusal", "SAFETY") if end in answer.text]


def test_who_cannot_read_a_text_is_denied_with_a_status(windowed):
    windowed.upstream.reply = f"this is FORBIDDEN {LONG}"
    for more in ({"tool_choice": "required"}, {"response_format": {"type": "json_object"}}):
        answer = send(windowed, "chat", **more)
        assert answer.status_code == 403
        assert answer.json()["error"]["type"] == "policy_denied"


@CALLING
def test_calls_of_tools_wait_for_the_end_of_a_window(windowed, name):
    call = {"name": "look_up", "arguments": {"who": SSN, "why": "because"}}
    windowed.upstream.reply = {"text": LONG, "tool_calls": [call]}
    answer = send(windowed, name)
    assert said(answer.text) == LONG
    assert SSN[:6] not in answer.text
    assert REDACTED in answer.text
    windowed.upstream.reply = {
        "text": LONG,
        "tool_calls": [{**call, "arguments": {"who": f"FORBIDDEN {SSN}"}}],
    }
    answer = send(windowed, name)
    assert "look_up" not in answer.text
    assert errors(answer.text)


@EVERYWHERE
def test_a_caller_who_leaves_ends_the_stream(windowed, name):
    windowed.upstream.reply = LONG * 3
    windowed.upstream.pause_after(300)
    with opened(windowed, name) as answer:
        pieces = answer.iter_text()
        read = next(pieces)
        while not said(read):
            read += next(pieces)
    windowed.upstream.wait()
    assert windowed.upstream.aborted == 1
    windowed.upstream.resume()


def test_the_clients_of_openai_read_a_window(windowed):
    windowed.upstream.reply = f"{LONG}it is {SSN}"
    expected = f"{LONG}it is {REDACTED}"
    with windowed.client("pro") as client:
        options = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(model="gpt-4o", messages=HI, stream=True, stream_options=options)
        )
        assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == expected
        assert [
            one.choices[0].finish_reason for one in chunks if one.choices and one.choices[0].finish_reason
        ] == ["stop"]
        assert chunks[-1].usage.total_tokens > 0
        assert len({one.id for one in chunks}) == 1
        chunks = list(client.completions.create(model="completer", prompt="hi", stream=True))
        assert "".join(one.choices[0].text or "" for one in chunks) == expected
        told = list(client.responses.create(model="gpt-4o", input="hi", stream=True))
    assert [one.sequence_number for one in told] == list(range(len(told)))
    assert told[-1].response.output_text == expected
    assert [one.text for one in told if one.type == "response.output_text.done"] == [expected]
    assert "".join(one.delta for one in told if one.type == "response.output_text.delta") == expected
    assert told[-1].response.usage.total_tokens > 0


def test_the_client_of_anthropic_reads_a_window(windowed):
    call = {"name": "look_up", "arguments": {"who": SSN}}
    windowed.upstream.reply = {"text": f"{LONG}it is {SSN}", "tool_calls": [call]}
    with (
        anthropic.Anthropic(base_url=windowed.url, auth_token="sk-test-pro", max_retries=0) as client,
        client.messages.stream(model="claude", max_tokens=50, messages=HI) as stream,
    ):
        message = stream.get_final_message()
    assert message.content[0].text == f"{LONG}it is {REDACTED}"
    assert message.content[1].input == {"who": REDACTED}
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens > 0


def test_clients_read_a_denial_out_of_the_last_frame(windowed):
    windowed.upstream.reply = f"{LONG}it is FORBIDDEN {SSN} and {LONG}"
    with windowed.client("pro") as client:
        for ask in (
            lambda: client.chat.completions.create(model="gpt-4o", messages=HI, stream=True),
            lambda: client.completions.create(model="completer", prompt="hi", stream=True),
            lambda: client.responses.create(model="gpt-4o", input="hi", stream=True),
        ):
            with pytest.raises(openai.APIError) as failed:
                list(ask())
            assert denial_from(failed.value).reasons == ("content.forbidden",)
    with (
        anthropic.Anthropic(base_url=windowed.url, auth_token="sk-test-pro", max_retries=0) as client,
        pytest.raises(anthropic.APIError) as failed,
        client.messages.stream(model="claude", max_tokens=50, messages=HI) as stream,
    ):
        stream.get_final_message()
    assert denial_from(failed.value).reasons == ("content.forbidden",)


def test_several_choices_keep_their_texts_in_a_window(windowed):
    windowed.upstream.reply = {"choices": [f"{LONG}{SSN}", f"it is {SSN} and {LONG}"]}
    texts = {0: "", 1: ""}
    for event in events(send(windowed, "chat", n=2).text):
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
    assert texts == {0: f"{LONG}{REDACTED}", 1: f"it is {REDACTED} and {LONG}"}


@EVERYWHERE
def test_of_a_window_that_breaks_nothing_more_leaves(windowed, name):
    windowed.upstream.reply = f"{LONG}{LONG}"
    windowed.upstream.hang_up_after(300)
    answer = send(windowed, name)
    assert answer.status_code in {200, 500}, answer.text
    assert f"{LONG}{LONG}".startswith(said(answer.text))


@EVERYWHERE
def test_under_monitor_a_stream_comes_as_it_was_and_is_judged_all_the_same(windowed, name):
    windowed.upstream.reply = f"this is FORBIDDEN {LONG}"
    answer = send(windowed, name, "watched")
    assert said(answer.text) == f"this is FORBIDDEN {LONG}"
    (record,) = asked(windowed.records(answer))
    assert (record["permitted"], record["enforced"]) == (False, False)


@pytest.mark.parametrize("running_as", ["proxy", "windowed"])
@pytest.mark.parametrize("name", ["chat", "completions", "messages", "responses"])
def test_a_cached_stream_is_judged_for_whoever_gets_it(request, running_as, name):
    proxy = request.getfixturevalue(running_as)
    proxy.upstream.reply = f"{LONG}it is {SSN}"
    cached = {"cache": {"use-cache": True}, "user": f"cached {name}"} if name != "messages" else {}
    answers = [send(proxy, name, person, **cached) for person in ("enterprise", "pro", "enterprise")]
    raw, redacted = f"{LONG}it is {SSN}", f"{LONG}it is {REDACTED}"
    assert [said(one.text) for one in answers] == [raw, redacted, raw]
