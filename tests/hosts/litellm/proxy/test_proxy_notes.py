"""What callers of a proxy note about a call, as its providers get it."""

from __future__ import annotations

import pytest

SSN = "123-45-6789"
REDACTED = "[REDACTED:ssn]"


@pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
def test_a_note_that_a_provider_is_sent_is_redacted(proxy, bucket):
    answer = proxy.chat("pro", "hi", "claude", max_tokens=9, **{bucket: {"user_id": f"it is {SSN}"}})
    assert answer.status_code == 200, answer.text
    (request,) = proxy.upstream.requests
    assert request.body["metadata"] == {"user_id": f"it is {REDACTED}"}


@pytest.mark.parametrize("bucket", ["metadata", "litellm_metadata"])
def test_a_note_that_must_not_be_sent_is_denied(proxy, bucket):
    answer = proxy.chat("pro", "hi", "claude", max_tokens=9, **{bucket: {"user_id": "FORBIDDEN word"}})
    assert answer.status_code == 403, answer.text
    assert proxy.upstream.requests == []


def test_a_session_in_a_header_is_read(proxy):
    headers = {"x-litellm-session-id": "FORBIDDEN word"}
    messages = [{"role": "user", "content": "hi"}]
    answer = proxy.post("/v1/chat/completions", "pro", headers, model="gpt-4o", messages=messages)
    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}),
    ],
)
@pytest.mark.parametrize("model", ["gpt-4o", "claude"])
def test_an_ordinary_call_has_no_notes(proxy, path, body, model):
    records = proxy.records(proxy.post(path, "pro", model=model, **body))
    asked = [one["input"]["context"]["prompt"]["segments"] for one in records if one["stage"] == "pre_prompt"]
    assert [[one["role"] for one in segments] for segments in asked] == [["user"]]
