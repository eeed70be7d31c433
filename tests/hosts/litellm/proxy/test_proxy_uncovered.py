"""What LiteLLM shows to no hook, at a real proxy: refused by name, or let pass by name and on record."""

from __future__ import annotations

import json

import httpx
import pytest

SSN = "123-45-6789"
SOUND = {"file": ("talk.mp3", b"ID3" + b"x" * 80, "audio/mpeg")}
HI = [{"role": "user", "content": "hi"}]

REFUSED = {
    "agents": ("POST", "/v1/a2a/x/message/send", {"jsonrpc": "2.0", "id": "1", "params": {}}),
    "batches": ("POST", "/v1/batches", {"input_file_id": "f", "endpoint": "/v1/chat/completions"}),
    "compaction": ("POST", "/v1/responses/compact", {"input": "hi"}),
    "containers": ("GET", "/v1/containers/x/files", None),
    "decisions": ("POST", "/v1/decisions", {"input": "hi"}),
    "evals": ("POST", "/v1/evals", {"name": "x"}),
    "file_content": ("GET", "/v1/files/x/content", None),
    "files": ("GET", "/openai/v1/files", None),
    "fine_tuning": ("POST", "/v1/fine_tuning/jobs", {"training_file": "f"}),
    "interactions": ("POST", "/interactions", {"input": "hi"}),
    "ocr": ("POST", "/v1/ocr", {"document": {"type": "text", "text": "hi"}}),
    "queue": ("POST", "/queue/chat/completions", {"messages": HI, "priority": 0}),
    "rag": ("POST", "/v1/rag/query", {"messages": HI}),
    "realtime": ("POST", "/v1/realtime/client_secrets", {"session": {"instructions": "hi"}}),
    "search": ("POST", "/v1/search/x", {"query": "hi"}),
    "skills": ("GET", "/v1/skills", None),
    "stored_responses": ("GET", "/v1/responses/resp_1", None),
    "token_counting": ("POST", "/v1/responses/input_tokens", {"input": "hi"}),
    "vector_stores": ("POST", "/v1/vector_stores/x/search", {"query": "hi"}),
    "videos": ("POST", "/v1/videos", {"prompt": "hi"}),
}


def ask(proxy, method, path, person, body=None):
    headers = {"Authorization": f"Bearer sk-test-{person}"}
    return httpx.request(method, f"{proxy.url}{path}", json=body, headers=headers, timeout=30)


def reasons(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]["provider_specific_fields"]["reasons"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_covered_is_refused_by_name(proxy, name):
    method, path, body = REFUSED[name]
    answer = ask(proxy, method, path, "enterprise", body and {"model": "gpt-4o", **body})
    assert reasons(answer) == [f"uncovered.{name}"]
    assert proxy.upstream.requests == []
    told = answer.json()["error"]
    assert told["type"] == "policy_denied"
    assert answer.headers["x-checkrein-decision-id"] == told["provider_specific_fields"]["decision_id"]
    (record,) = proxy.records(answer)
    assert record["input"]["subject"]["id"] == "erin"
    assert record["input"]["resource"] == {"type": "endpoint", "id": name}


COUNTERS = [
    ("/utils/token_counter?call_endpoint=true", {"messages": HI}),
    ("/v1/messages/count_tokens", {"messages": HI}),
    ("/openai/v1/responses/input_tokens", {"input": "hi"}),
    ("/v1beta/models/gpt-4o:countTokens", {"contents": [{"parts": [{"text": "hi"}]}]}),
    ("/models/deployment-mini:countTokens", {"contents": [{"parts": [{"text": "hi"}]}]}),
]


@pytest.mark.parametrize(("path", "body"), COUNTERS)
@pytest.mark.parametrize("model", ["gpt-4o", "deployment-mini", "claude"])
def test_no_provider_counts_the_tokens_of_a_prompt(proxy, path, body, model):
    answer = ask(proxy, "POST", path, "enterprise", {"model": model, **body})
    assert answer.status_code == 403
    assert "uncovered.token_counting" in answer.text
    assert proxy.upstream.requests == []
    if path == "/v1/messages/count_tokens":
        assert answer.json()["error"]["type"] == "permission_error"


@pytest.mark.parametrize(
    "path", ["/v1/videos/", "//v1/videos", "/v1//videos", "/V1/VIDEOS", "/v1/videos?x=/v1/models"]
)
def test_no_spelling_of_an_address_gets_around_the_gate(proxy, path):
    answer = ask(proxy, "POST", path, "enterprise", {"model": "gpt-4o", "prompt": "hi"})
    assert answer.status_code in {307, 403, 404, 405}
    assert proxy.upstream.requests == []


def test_whoever_is_not_known_is_told_so_by_the_proxy(proxy):
    answer = ask(proxy, "POST", "/v1/videos", "stranger", {"model": "gpt-4o", "prompt": "hi"})
    assert answer.status_code == 401
    assert "checkrein" not in str(answer.headers)


SOCKETS = [
    "/v1/realtime?model=gpt-4o",
    "/v1/responses?model=gpt-4o",
    "/openai/v1/realtime?model=gpt-4o",
    "/openai/v1/whatever",
    "/deepgram/listen",
    "/vertex_ai/live",
    "/chat/completions",
    "/nothing/at/all",
]


@pytest.mark.parametrize("path", SOCKETS)
def test_a_session_is_refused_before_it_begins_whatever_its_address(proxy, path):
    headers = {
        "Authorization": "Bearer sk-test-enterprise",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = httpx.get(f"{proxy.url}{path}", headers=headers, timeout=30)
    assert reasons(answer) == ["uncovered.realtime"]
    assert proxy.upstream.requests == []


def test_what_the_settings_allow_passes_and_is_on_record(proxy):
    answer = ask(proxy, "GET", "/v1/assistants", "enterprise")
    assert answer.status_code != 403  # nobody serves assistants here

    def passed(one):
        return [reason["code"] for reason in one.get("reasons", ())] == ["uncovered.assistants"]

    records = [one for one in proxy.wait_for(passed) if passed(one)]
    assert len(records) == 1
    assert (records[0]["effect"], records[0]["enforced"]) == ("not_applicable", True)
    assert records[0]["input"]["subject"]["id"] == "erin"


def test_the_log_says_what_is_allowed(proxy):
    (loaded,) = [one for one in proxy.wait_for(lambda _: True) if one["event"] == "settings_loaded"]
    assert loaded["uncovered"] == ["assistants", "pass_through", "transcription"]


def body_of(text, **more):
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_sent_through_is_judged_and_redacted(proxy, stream):
    body = body_of(f"I am {SSN}", metadata={"note": SSN}, stream=stream, extra=[{"deep": SSN}])
    answer = proxy.post("/pass/chat/completions", "pro", **body)
    assert answer.status_code == 200, answer.text
    (request,) = proxy.upstream.requests
    assert SSN not in proxy.upstream.texts
    assert request.body["messages"][0]["content"] == "I am [REDACTED:ssn]"
    assert "litellm" not in request.raw.decode()
    assert "checkrein" not in request.raw.decode()
    seen = [
        (one["stage"], one["reasons"][0]["code"] if one["reasons"] else None) for one in proxy.records(answer)
    ]
    assert seen == [("pre_prompt", "uncovered.pass_through"), ("model_selection", None), ("pre_prompt", None)]


@pytest.mark.parametrize(
    ("person", "body", "reason"),
    [
        ("free", {**body_of(SSN), "model": "gpt-4o-mini"}, "pii.ssn"),
        ("free", body_of("hi"), "unsupported_obligation"),
        ("pro", body_of("FORBIDDEN"), "content.forbidden"),
        ("pro", {**body_of("hi"), "model": "vault"}, "model.forbidden"),
        ("nobody", body_of("hi"), "identity.missing"),
        ("enterprise", body_of("please LIMIT me"), "unsupported_obligation"),
        ("enterprise", body_of("NOSTORE please"), "obligation_failed"),
        ("enterprise", body_of("please ROUTE me"), "unsupported_obligation"),
    ],
)
def test_what_must_not_be_sent_through_is_denied(proxy, person, body, reason):
    answer = proxy.post("/pass/chat/completions", person, **body)
    assert reasons(answer)[0] == reason
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("person", ["free", "pro"])
def test_the_query_of_an_address_is_judged_and_cannot_be_redacted(proxy, person):
    answer = ask(proxy, "GET", f"/pass/models?q=my+number+is+{SSN}", person)
    assert answer.status_code == 403
    assert proxy.upstream.requests == []
    assert ask(proxy, "GET", "/pass/models?q=hello", "enterprise").status_code == 200


def test_the_prompt_of_a_transcription_is_judged_where_its_text_may_pass(proxy):
    proxy.upstream.reply = f"she said {SSN}"
    fields = {"model": "gpt-4o", "prompt": f"names: {SSN}"}
    answer = proxy.form("/v1/audio/transcriptions", "pro", fields, SOUND)
    assert answer.status_code == 200, answer.text
    (request,) = proxy.upstream.requests
    assert SSN.encode() not in request.raw
    assert b"names: [REDACTED:ssn]" in request.raw
    assert answer.json()["text"] == f"she said {SSN}"
    records = proxy.records(answer)
    assert records[0]["reasons"][0]["code"] == "uncovered.transcription"
    assert [one["stage"] for one in records[1:]] == ["model_selection", "pre_prompt"]
    assert [one["kind"] for one in records[-1]["input"]["context"]["uninspected"]] == ["audio"]


@pytest.mark.parametrize(
    ("person", "fields", "name"),
    [
        ("free", {"model": "gpt-4o", "prompt": SSN}, "talk.mp3"),
        ("pro", {"model": "vault"}, "talk.mp3"),
        ("pro", {"model": "gpt-4o"}, f"{SSN}.mp3"),
        ("pro", {"model": "gpt-4o", "stream": "true"}, "talk.mp3"),
    ],
)
def test_a_transcription_that_must_not_be_asked_for_is_denied(proxy, person, fields, name):
    answer = proxy.form("/v1/audio/transcriptions", person, fields, {"file": (name, *SOUND["file"][1:])})
    assert answer.status_code == 403, answer.text
    assert proxy.upstream.requests == []


def test_the_gate_leaves_the_administration_alone(proxy):
    for path in ("/v1/models", "/health/readiness", "/routes", "/model/info"):
        assert ask(proxy, "GET", path, "enterprise").status_code == 200, path
    assert json.loads(ask(proxy, "GET", "/v1/models", "enterprise").text)["data"]
