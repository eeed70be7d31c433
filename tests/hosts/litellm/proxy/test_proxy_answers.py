"""What reaches the caller of a real proxy process, whole and streamed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from openai import APIError, PermissionDeniedError

SSN = "123-45-6789"
HI = [{"role": "user", "content": "hi"}]


def events(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def streamed(answer, field="content"):
    texts = {}
    for event in events(answer):
        for choice in event["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get(field) or "")
    return texts


@pytest.mark.parametrize("stream", [False, True])
def test_no_raw_character_of_any_choice_reaches_the_caller(proxy, stream):
    proxy.upstream.reply = {"choices": [f"first {SSN} end", f"second {SSN} end", "third"]}
    answer = proxy.chat("pro", "hi", n=3, stream=stream)
    assert answer.status_code == 200
    assert SSN not in answer.text
    expected = {0: "first [REDACTED:ssn] end", 1: "second [REDACTED:ssn] end", 2: "third"}
    if stream:
        assert streamed(answer) == expected
    else:
        choices = answer.json()["choices"]
        assert {one["index"]: one["message"]["content"] for one in choices} == expected
    assert proxy.records(answer)[-1]["changes"] == {"texts": 2}


@pytest.mark.parametrize("stream", [False, True])
def test_no_raw_character_of_a_tool_call_reaches_the_caller(proxy, stream):
    proxy.upstream.reply = {"name": "look_up", "arguments": json.dumps({"who": SSN, "why": "because"})}
    with proxy.client("pro") as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=HI, stream=stream)
        if stream:
            pieces = [
                call.function.arguments or ""
                for chunk in answer
                for choice in chunk.choices
                for call in choice.delta.tool_calls or ()
            ]
            arguments = "".join(pieces)
        else:
            arguments = answer.choices[0].message.tool_calls[0].function.arguments
    assert json.loads(arguments) == {"who": "[REDACTED:ssn]", "why": "because"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_denied_answer_is_a_403_and_none_of_it_is_given_out(proxy, stream):
    proxy.upstream.reply = "this is FORBIDDEN to you"
    with proxy.client("pro") as client, pytest.raises(PermissionDeniedError) as denied:
        list(client.chat.completions.create(model="gpt-4o", messages=HI, stream=stream))
    assert len(proxy.upstream.requests) == 1
    assert "this is" not in denied.value.response.text
    error = denied.value.body
    assert error["type"] == "policy_denied"
    record = proxy.records(denied.value.response)[-1]
    assert (record["stage"], record["permitted"]) == ("post_completion", False)
    assert record["decision_id"] in error["message"]
    if not stream:
        told = error["provider_specific_fields"]
        assert told["decision_id"] == record["decision_id"]
        assert told["reasons"] == ["content.forbidden"]


def test_a_permitted_stream_is_the_providers_own(proxy):
    proxy.upstream.reply = "one two three four five six"
    answer = proxy.chat("enterprise", "hi", stream=True, stream_options={"include_usage": True})
    assert streamed(answer) == {0: "one two three four five six"}
    found = events(answer)
    assert len([one for one in found if one["choices"] and one["choices"][0]["delta"].get("content")]) > 3
    assert "stop" in [one["choices"][0].get("finish_reason") for one in found if one["choices"]]
    assert found[-1]["usage"]["total_tokens"] > 0
    records = proxy.records(answer)
    assert [one["stage"] for one in records] == ["model_selection", "pre_prompt", "post_completion"]
    assert records[-1]["input"]["context"]["finish_reason"] == "stop"
    assert records[-1]["input"]["context"]["tokens"]["total_tokens"] > 0


def test_a_redacted_stream_keeps_its_end_and_its_usage(proxy):
    proxy.upstream.reply = f"your number is {SSN}, keep it"
    answer = proxy.chat("pro", "hi", stream=True, stream_options={"include_usage": True})
    found = events(answer)
    assert streamed(answer) == {0: "your number is [REDACTED:ssn], keep it"}
    assert "stop" in [one["choices"][0].get("finish_reason") for one in found if one["choices"]]
    assert found[-1]["usage"]["total_tokens"] > 0


def test_a_replaced_stream_says_nothing_else(proxy):
    proxy.upstream.reply = "please REPLACE all of this, from end to end"
    assert streamed(proxy.chat("enterprise", "hi", stream=True)) == {0: "replaced"}


def test_of_a_stream_that_breaks_nothing_is_given_out(proxy):
    proxy.upstream.reply = f"the beginning {SSN} and a long rest of the answer"
    proxy.upstream.hang_up_after(6)
    with proxy.client("pro") as client, pytest.raises(APIError) as broken:
        list(client.chat.completions.create(model="gpt-4o", messages=HI, stream=True))
    assert proxy.upstream.requests
    assert "beginning" not in str(broken.value)


def test_a_stream_over_the_limit_is_cut_off_and_denied(proxy):
    proxy.upstream.chunk_size = 2_000
    try:
        proxy.upstream.reply = "x" * 40_000
        answer = proxy.chat("enterprise", "hi", stream=True)
    finally:
        proxy.upstream.chunk_size = 5
    assert answer.status_code == 403
    assert "limit.text" in answer.json()["error"]["message"]
    assert proxy.records(answer)[-1]["reasons"] == [
        {"code": "limit.text", "message": "the stream is over the limit `limits.text`"}
    ]


def test_an_answer_over_the_limit_is_denied(proxy):
    proxy.upstream.reply = "x" * 40_000
    answer = proxy.chat("enterprise", "hi")
    assert answer.status_code == 403
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["limit.text"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_cached_answer_is_judged_for_whoever_gets_it(proxy, stream):
    proxy.upstream.reply = f"your number is {SSN}"
    asked = {"cache": {"use-cache": True}, "stream": stream}
    answers = [
        proxy.chat(person, f"cached {stream}", **asked) for person in ("enterprise", "pro", "enterprise")
    ]
    assert len(proxy.upstream.requests) == 1
    seen = [streamed(one)[0] if stream else one.json()["choices"][0]["message"]["content"] for one in answers]
    assert seen == [f"your number is {SSN}", "your number is [REDACTED:ssn]", f"your number is {SSN}"]
    assert len(proxy.records(answers[1])) == 3


def test_what_must_not_be_stored_is_not_cached(proxy):
    for _ in range(2):
        answer = proxy.chat("enterprise", "NOSTORE please", cache={"use-cache": True}, store=True)
        assert answer.status_code == 200
    assert len(proxy.upstream.requests) == 2
    assert proxy.upstream.requests[0].body["store"] is False


@pytest.mark.parametrize("stream", ["true", 1])
def test_a_stream_by_another_word_is_judged_too(proxy, stream):
    proxy.upstream.reply = f"your number is {SSN}"
    assert SSN not in proxy.chat("pro", "hi", stream=stream).text


def test_calls_at_the_same_time_keep_apart(proxy):
    def ask(number):
        person = ("free", "pro", "enterprise")[number % 3]
        return person, proxy.chat(person, f"call {number}", stream=number % 2 == 0)

    proxy.upstream.reply = lambda body: f"{body['messages'][0]['content']} is {SSN}"
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(36)))
    for number, (person, answer) in enumerate(answers):
        assert answer.status_code == 200
        text = streamed(answer)[0] if number % 2 == 0 else answer.json()["choices"][0]["message"]["content"]
        assert text == f"call {number} is {SSN if person == 'enterprise' else '[REDACTED:ssn]'}"
    for person, answer in answers[:3]:
        subjects = {one["input"]["subject"]["id"] for one in proxy.records(answer)}
        assert subjects == {{"free": "fred", "pro": "priya", "enterprise": "erin"}[person]}


def test_a_denied_answer_cools_no_deployment_down(proxy):
    proxy.upstream.reply = "FORBIDDEN"
    assert {proxy.chat("pro", "hi").status_code for _ in range(6)} == {403}
    proxy.upstream.reply = "fine"
    assert proxy.chat("enterprise", "hi").status_code == 200
