"""Every governed endpoint of a real proxy: what reaches the provider, and what its callers are told."""

from __future__ import annotations

import pytest
from proxy_endpoints import ANSWERING, ANSWERS, ENDPOINTS, send, sent, told

SSN = "123-45-6789"


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_prompt_is_redacted_wherever_it_stands(proxy, name):
    answer = send(proxy, name, "pro", f"my number is {SSN}")
    assert answer.status_code == 200, answer.text
    assert len(proxy.upstream.requests) == 1
    assert SSN not in sent(proxy)
    assert "my number is [REDACTED:ssn]" in sent(proxy)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_permitted_prompt_arrives_as_it_is_and_is_asked_about_once(proxy, name):
    answer = send(proxy, name, "enterprise", f"my number is {SSN}")
    assert answer.status_code == 200, answer.text
    assert f"my number is {SSN}" in sent(proxy)
    call = answer.headers.get("x-checkrein-call-id")
    if call is None:  # LiteLLM asks no hook for headers there
        assert name in {"moderations", "rerank", "rerank documents"}
        return
    stages = [one["stage"] for one in proxy.records(answer)]
    assert stages == ["model_selection", "pre_prompt", *(["post_completion"] * (name in ANSWERS))]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_denied_prompt_never_leaves(proxy, name):
    answer = send(proxy, name, "free", f"my number is {SSN}")
    assert "pii.ssn" in told(answer)["message"]
    assert SSN not in answer.text
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_forbidden_model_is_forbidden_on_every_endpoint(proxy, name):
    model = "vault-ranker" if name.startswith("rerank") else "vault"
    answer = send(proxy, name, "pro", "hello", model)
    assert "model.forbidden" in told(answer)["message"]
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_nobody_is_served_without_an_identity(proxy, name):
    assert "identity.missing" in told(send(proxy, name, "nobody", "hello"))["message"]
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_engine_without_an_answer_denies_everywhere(proxy, name):
    answer = send(proxy, name, "enterprise", "nonsense")
    assert "failure.invalid_answer" in told(answer)["message"]
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_monitoring_changes_nothing_anywhere(proxy, name):
    proxy.upstream.reply = f"FORBIDDEN {SSN}"
    answer = send(proxy, name, "watched", f"FORBIDDEN {SSN}")
    assert answer.status_code == 200, answer.text
    assert f"FORBIDDEN {SSN}" in sent(proxy)
    if name in ANSWERING:
        assert f"FORBIDDEN {SSN}" in answer.text


@pytest.mark.parametrize("name", ANSWERING)
def test_an_answer_is_redacted_in_whichever_shape(proxy, name):
    proxy.upstream.reply = f"it is {SSN}, keep it"
    answer = send(proxy, name, "pro", "hello")
    assert answer.status_code == 200, answer.text
    assert SSN not in answer.text
    assert "it is [REDACTED:ssn], keep it" in answer.text


@pytest.mark.parametrize("name", ANSWERING)
def test_a_denied_answer_is_not_given_out(proxy, name):
    proxy.upstream.reply = "this is FORBIDDEN to you"
    answer = send(proxy, name, "pro", "hello")
    assert "content.forbidden" in told(answer)["message"]
    assert "this is" not in answer.text
    assert len(proxy.upstream.requests) == 1


@pytest.mark.parametrize(
    "name", [one for one in ANSWERING if "image" not in one and "completions" not in one]
)
def test_the_arguments_of_a_tool_call_are_an_answer_too(proxy, name):
    proxy.upstream.reply = {"name": "look_up", "arguments": {"who": SSN, "why": "because"}}
    answer = send(proxy, name, "pro", "hello")
    assert answer.status_code == 200, answer.text
    assert SSN not in answer.text
    assert "[REDACTED:ssn]" in answer.text


# Where each API has what a policy sets.
LIMITS = {
    "chat": "max_tokens",
    "completions": "max_tokens",
    "messages": "max_tokens",
    "responses": "max_output_tokens",
    "generateContent": "maxOutputTokens",
    "embeddings": None,
    "images": None,
    "moderations": None,
    "speech": None,
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_written_where_the_endpoint_has_one(proxy, name):
    answer = send(proxy, name, "pro", "please LIMIT me")
    assert answer.status_code == 200, answer.text
    (request,) = proxy.upstream.requests
    key = LIMITS[name]
    if key is not None:
        assert request.body.get("generationConfig", request.body)[key] == 20


@pytest.mark.parametrize(
    "name", ["completions", "messages over a bridge", "responses", "embeddings", "images"]
)
def test_a_route_is_taken_on_every_endpoint(proxy, name):
    answer = send(proxy, name, "enterprise", "please ROUTE me")
    assert answer.status_code == 200, answer.text
    (request,) = proxy.upstream.requests
    assert request.body["model"] == "gpt-4o-mini"


TOOLS = {
    "messages": [{"name": one, "input_schema": {"type": "object"}} for one in ("shell", "search")],
    "responses": [{"type": "function", "name": one, "parameters": {}} for one in ("shell", "search")],
    "generateContent": [{"functionDeclarations": [{"name": "shell"}, {"name": "search"}]}],
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_removed_in_whichever_shape(proxy, name):
    answer = send(proxy, name, "pro", "please DISARM me", tools=TOOLS[name])
    assert answer.status_code == 200, answer.text
    assert "search" in sent(proxy)
    assert "shell" not in sent(proxy)
    prompt = next(one for one in proxy.records(answer) if one["stage"] == "pre_prompt")
    assert prompt["input"]["context"]["tools"] == ["shell", "search"]


@pytest.mark.parametrize("name", ["chat", "completions", "messages", "responses", "embeddings", "images"])
def test_a_replaced_prompt_is_all_that_is_sent_on_every_endpoint(proxy, name):
    assert send(proxy, name, "enterprise", "please REPLACE me").status_code == 200
    assert "please" not in sent(proxy)
    assert "replaced" in sent(proxy)


REST = {
    "the system prompt of messages": ("messages", {"system": [{"type": "text", "text": SSN}]}),
    "the user of messages": ("messages", {"metadata": {"user_id": SSN}}),
    "a tool's answer in messages": (
        "messages",
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "toolu_1234", "name": "f", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_1234", "content": SSN}],
                },
            ]
        },
    ),
    "a tool's input in messages": (
        "messages",
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "toolu_1234", "name": "f", "input": {"a": SSN}}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_1234", "content": "x"}],
                },
            ]
        },
    ),
    "a document in messages": (
        "messages",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": SSN},
                        }
                    ],
                }
            ]
        },
    ),
    "the instructions of responses": ("responses", {"instructions": SSN}),
    "the metadata of responses": ("responses", {"metadata": {"note": SSN}}),
    "a tool's answer in responses": (
        "responses",
        {
            "input": [
                {"type": "function_call", "call_id": "call_1234", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1234", "output": SSN},
            ]
        },
    ),
    "the variables of a stored prompt": (
        "responses",
        {"prompt": {"id": "pmpt_1", "variables": {"who": SSN}}},
    ),
    "the system prompt of generateContent": (
        "generateContent",
        {"systemInstruction": {"parts": [{"text": SSN}]}},
    ),
    "a function's answer in generateContent": (
        "generateContent",
        {
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": SSN}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": SSN}}}]},
            ]
        },
    ),
    "the suffix of a completion": ("completions", {"suffix": SSN}),
    "the style of speech": ("speech", {"instructions": SSN}),
    "the user of a picture": ("images", {"user": SSN}),
    "a document to rank": ("rerank", {"documents": [{"text": SSN}]}),
}


@pytest.mark.parametrize("where", REST)
def test_no_raw_character_reaches_the_provider_on_any_endpoint(proxy, where):
    name, more = REST[where]
    path, model, body = ENDPOINTS[name]
    answer = proxy.post(path, "pro", **{"model": model, **body("hello"), **more})
    assert answer.status_code == 200, answer.text
    assert SSN not in sent(proxy)
    assert "[REDACTED:ssn]" in sent(proxy)


def ranks(record):
    return record["input"].get("context", {}).get("operation") == "rerank"


@pytest.mark.parametrize(
    ("where", "origins"),
    [
        ("a tool's answer in messages", {"user", "tool"}),
        ("a tool's answer in responses", {"assistant", "tool"}),
        ("a function's answer in generateContent", {"user", "assistant", "tool"}),
        ("the instructions of responses", {"system", "user"}),
        ("the system prompt of messages", {"system", "user"}),
        ("a document to rank", {"user", "retrieved"}),
    ],
)
def test_policies_see_who_says_what_in_whichever_shape(proxy, where, origins):
    name, more = REST[where]
    path, model, body = ENDPOINTS[name]
    answer = proxy.post(path, "enterprise", **{"model": model, **body("hello"), **more})
    if name == "rerank":  # LiteLLM asks no hook for headers there
        log = proxy.wait_for(lambda one: one.get("stage") == "pre_prompt" and ranks(one))
        record = [one for one in log if one.get("stage") == "pre_prompt" and ranks(one)][-1]
    else:
        record = proxy.records(answer)[1]
    assert {one["origin"] for one in record["input"]["context"]["prompt"]["segments"]} == origins


@pytest.mark.parametrize(
    ("name", "more", "kinds"),
    [
        ("completions", {"model": "completer", "prompt": [1, 2, 3]}, ["tokens"]),
        ("completions", {"model": "completer", "prompt": [[1, 2], [3]]}, ["tokens"]),
        ("embeddings", {"input": [[1, 2], [3]]}, ["tokens"]),
        ("image edits", {}, ["image"]),
        (
            "generateContent",
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "A" * 80}}]}]},
            ["image"],
        ),
        (
            "messages",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": "A" * 80},
                            }
                        ],
                    }
                ]
            },
            ["image"],
        ),
    ],
)
def test_policies_learn_of_what_is_no_text(proxy, name, more, kinds):
    answer = send(proxy, name, "enterprise", "hello", **more)
    assert answer.status_code == 200, answer.text
    context = proxy.records(answer)[1]["input"]["context"]
    assert [one["kind"] for one in context["uninspected"]] == kinds


def test_policies_learn_that_a_provider_adds_what_it_stored(proxy):
    before = send(proxy, "responses", "enterprise", "hello").json()["id"]
    answer = send(proxy, "responses", "enterprise", "go on", previous_response_id=before)
    assert answer.status_code == 200, answer.text
    context = proxy.records(answer)[1]["input"]["context"]
    assert [one["kind"] for one in context["uninspected"]] == ["stored"]


def test_a_file_of_googles_is_told_as_one(proxy):
    part = {"fileData": {"mimeType": "application/pdf", "fileUri": "https://files.example/x y"}}
    answer = send(
        proxy, "generateContent", "enterprise", "hi", contents=[{"parts": [part]}], cachedContent="c/1"
    )
    context = proxy.records(answer)[1]["input"]["context"]
    assert [one["kind"] for one in context["uninspected"]] == ["file", "stored"]


def test_the_tokens_of_an_answer_are_told_in_whichever_shape(proxy):
    for name in ("messages", "responses", "generateContent", "completions"):
        context = proxy.records(send(proxy, name, "enterprise", "hello"))[-1]["input"]["context"]
        assert context["tokens"]["total_tokens"] > 1, name
        assert context["tokens"]["completion_tokens"] == 1, name
        assert context["finish_reason"] in {"end_turn", "completed", "STOP", "stop"}, name


@pytest.mark.parametrize("name", ["completions", "responses", "messages"])
def test_a_cached_answer_is_judged_for_whoever_gets_it_on_every_endpoint(proxy, name):
    proxy.upstream.reply = f"it is {SSN}"
    answers = [
        send(proxy, name, person, f"cached {name}", cache={"use-cache": True})
        for person in ("enterprise", "pro", "enterprise")
    ]
    assert [SSN in one.text for one in answers] == [True, False, True]
