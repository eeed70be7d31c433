"""Headers that a real proxy sends on to a provider: read, and changed or refused like a prompt."""

from __future__ import annotations

import httpx
import pytest
from openai import OpenAI
from proxy_endpoints import ENDPOINTS, FORMS

SSN = "123-45-6789"
WORD = "FORBIDDEN"
TOKEN = "sk-ant-oat01-Qm7pXw2ZkLr9TdYs4VbNc"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
OVER_HTTP = "/forwarding/chat/completions"
BY_LITELLM = "/v1/chat/completions"


def reasons(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]["provider_specific_fields"]["reasons"]


def ask(proxy, path, given, /, **more):
    headers = {"Authorization": "Bearer sk-test-pro", **given}
    return httpx.post(f"{proxy.url}{path}", json={**CHAT, **more}, headers=headers, timeout=30)


def sent(proxy):
    return [dict(request.headers) for request in proxy.upstream.requests]


@pytest.mark.parametrize("path", [BY_LITELLM, OVER_HTTP])
@pytest.mark.parametrize(
    "headers",
    [{"x-note": WORD}, {"X-Note": f"a {WORD} word"}, {"x-note": "hi", "x-other": WORD}],
    ids=["a word", "words", "another"],
)
def test_a_header_that_is_sent_on_is_judged(forwarding, path, headers):
    assert reasons(ask(forwarding, path, headers)) == ["content.forbidden"]
    assert forwarding.upstream.requests == []


@pytest.mark.parametrize("path", [BY_LITELLM, OVER_HTTP])
def test_the_name_of_a_header_is_judged_and_cannot_be_redacted(forwarding, path):
    assert reasons(ask(forwarding, path, {f"x-{SSN}": "hi"})) == ["obligation_failed"]
    assert forwarding.upstream.requests == []


@pytest.mark.parametrize("headers", [{"x-note": SSN}, {"x-note": f"I am {SSN}"}], ids=["alone", "in a text"])
def test_a_header_is_redacted_where_litellm_sends_the_request(forwarding, headers):
    assert ask(forwarding, BY_LITELLM, headers).status_code == 200
    assert "[REDACTED:ssn]" in sent(forwarding)[0]["x-note"]
    assert SSN not in str(sent(forwarding))


@pytest.mark.parametrize("name", ["x-note", "cookie", "user-agent", "accept", "x-pass-note", "x-pass-cookie"])
def test_a_header_of_a_request_that_is_passed_through_cannot_be_redacted(forwarding, name):
    assert reasons(ask(forwarding, OVER_HTTP, {name: f"I am {SSN}"})) == ["obligation_failed"]
    assert forwarding.upstream.requests == []


def test_a_header_that_is_always_passed_is_read_whatever_it_becomes(proxy):
    assert reasons(ask(proxy, "/pass/chat/completions", {"x-pass-cookie": SSN})) == ["obligation_failed"]
    assert proxy.upstream.requests == []


def test_headers_that_go_nowhere_are_nobodys_text(proxy):
    headers = {"x-note": SSN, "cookie": WORD}
    for path in (BY_LITELLM, "/pass/chat/completions", OVER_HTTP):
        assert ask(proxy, path, headers).status_code == 200
    assert SSN not in str(sent(proxy))
    assert WORD not in str(sent(proxy))


@pytest.mark.parametrize("name", sorted(ENDPOINTS.keys() - FORMS.keys()))
def test_a_header_is_judged_on_every_endpoint(forwarding, name):
    path, model, body = ENDPOINTS[name]
    answer = forwarding.post(path, "pro", {"x-note": WORD}, model=model, **body("hi"))
    assert answer.status_code == 403, answer.text
    assert forwarding.upstream.requests == []


def test_headers_are_judged_where_litellm_sends_them_on_of_its_own_accord(forwarding):
    path = "/anthropic/v1/messages"
    assert ask(forwarding, path, {"x-note": "hello"}, max_tokens=5).status_code == 200
    assert sent(forwarding)[0]["x-note"] == "hello"
    forwarding.upstream.clear()
    assert "content.forbidden" in ask(forwarding, path, {"x-note": WORD}, max_tokens=5).text
    assert ask(forwarding, path, {"x-note": SSN}, max_tokens=5).status_code == 403
    assert forwarding.upstream.requests == []


# What identifies a caller


@pytest.mark.parametrize("path", [BY_LITELLM, OVER_HTTP])
@pytest.mark.parametrize("name", ["x-api-key", "x-goog-api-key"])
def test_a_providers_key_is_no_text_and_policy_is_told_of_it(forwarding, path, name):
    answer = ask(forwarding, path, {name: TOKEN})
    assert answer.status_code == 200, answer.text
    assert sent(forwarding)[0][name] == TOKEN
    told = forwarding.records(answer)[-1 if path == OVER_HTTP else 1]["input"]["context"]
    assert "credential" in {one["kind"] for one in told["uninspected"]}


@pytest.mark.parametrize("path", [BY_LITELLM, OVER_HTTP])
@pytest.mark.parametrize("text", [f"{SSN}-abcdefghijkl1", f"I am {SSN}"], ids=["digits", "a sentence"])
def test_what_looks_like_no_key_is_read_where_one_is_expected(forwarding, path, text):
    assert reasons(ask(forwarding, path, {"x-api-key": text})) == ["obligation_failed"]
    assert forwarding.upstream.requests == []


def test_a_key_in_the_body_that_is_none_is_read(forwarding):
    assert reasons(ask(forwarding, BY_LITELLM, {}, api_key=f"I am {SSN}")) == ["obligation_failed"]
    assert reasons(ask(forwarding, BY_LITELLM, {}, api_key=WORD)) == ["content.forbidden"]
    assert forwarding.upstream.requests == []
    assert ask(forwarding, BY_LITELLM, {}, api_key=TOKEN).status_code == 200
    assert sent(forwarding)[0]["authorization"] == f"Bearer {TOKEN}"


def test_what_stands_beside_a_callers_own_key_is_read(forwarding):
    headers = {"x-litellm-api-key": "sk-test-pro", "Authorization": f"{WORD} sk-test-pro"}
    assert reasons(ask(forwarding, OVER_HTTP, headers)) == ["content.forbidden"]
    assert forwarding.upstream.requests == []


# Headers in the body


@pytest.mark.parametrize("field", ["extra_headers", "headers"])
def test_headers_in_the_body_are_judged(forwarding, field):
    assert reasons(ask(forwarding, BY_LITELLM, {}, **{field: {"x-note": WORD}})) == ["content.forbidden"]
    assert reasons(ask(forwarding, BY_LITELLM, {}, **{field: {WORD: "hi"}})) == ["content.forbidden"]
    assert forwarding.upstream.requests == []


def test_headers_in_the_body_are_redacted(forwarding):
    assert ask(forwarding, BY_LITELLM, {}, extra_headers={"x-note": SSN}).status_code == 200
    assert SSN not in str(sent(forwarding))


# Daily use


@pytest.mark.parametrize("path", ["v1", "forwarding"])
def test_an_openai_client_passes(forwarding, path):
    base = f"{forwarding.url}/{path}"
    with OpenAI(base_url=base, api_key="sk-test-pro", max_retries=0, timeout=30) as client:
        raw = client.chat.completions.with_raw_response.create(
            **CHAT, extra_headers={"x-request-id": "0192f3c4-7a1b-7c3d-9e2f-4a5b6c7d8e9f"}
        )
    assert raw.parse().choices[0].message.content == "ok"
    (headers,) = sent(forwarding)
    assert headers["x-request-id"] == "0192f3c4-7a1b-7c3d-9e2f-4a5b6c7d8e9f"
    assert "x-stainless-runtime-version" in headers


def test_an_openai_client_streams_where_its_headers_are_sent_on(forwarding):
    with forwarding.client("pro") as client:
        chunks = client.chat.completions.create(**CHAT, stream=True, extra_headers={"x-note": "hello"})
        assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "ok"
    assert sent(forwarding)[0]["x-note"] == "hello"
