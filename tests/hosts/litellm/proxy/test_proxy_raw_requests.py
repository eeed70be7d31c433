"""What goes to a provider as it is, at a real proxy: all of it is judged, or none of it is sent."""

from __future__ import annotations

import httpx
import pytest

SSN = "123-45-6789"
WORD = "FORBIDDEN"


def send(proxy, path="/pass/chat/completions", person="pro", headers=(), **parts):
    given = {"Authorization": f"Bearer sk-test-{person}", **dict(headers)}
    return httpx.post(f"{proxy.url}{path}", headers=given, timeout=30, **parts)


def reasons(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]["provider_specific_fields"]["reasons"]


FORMS = {
    "a file and fields": {
        "files": {"file": ("a.txt", WORD.encode(), "text/plain")},
        "data": {"prompt": WORD},
    },
    "fields": {"files": {"prompt": (None, WORD)}},
    "a name": {"files": {"file": (f"{WORD}.txt", b"x", "text/plain")}},
    "another kind": {
        "content": f"--b\r\n\r\n{WORD}\r\n--b--\r\n",
        "headers": {"content-type": "Multipart/Mixed; boundary=b"},
    },
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_a_form_that_nobody_reads_is_not_sent(proxy, form):
    answer = send(proxy, person="enterprise", **form)
    assert answer.status_code in {400, 403}, answer.text
    assert proxy.upstream.requests == []
    if answer.status_code == 403:
        assert reasons(answer) == ["unsupported_request.form"]


def test_a_form_is_refused_by_its_name(proxy):
    assert reasons(send(proxy, files={"prompt": (None, "hi")})) == ["unsupported_request.form"]


def test_the_address_is_read_and_cannot_be_redacted(proxy):
    assert reasons(send(proxy, f"/pass/chat/{WORD}", json={"model": "gpt-4o"})) == ["content.forbidden"]
    assert reasons(send(proxy, f"/pass/{SSN}", json={"model": "gpt-4o"})) == ["obligation_failed"]
    assert proxy.upstream.requests == []


def test_a_header_that_is_sent_on_is_read_and_cannot_be_redacted(proxy):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    assert reasons(send(proxy, headers={"x-pass-note": WORD}, json=body)) == ["content.forbidden"]
    assert reasons(send(proxy, headers={"X-Pass-Note": SSN}, json=body)) == ["obligation_failed"]
    assert proxy.upstream.requests == []
    assert send(proxy, headers={"x-pass-note": "hi", "x-note": SSN}, json=body).status_code == 200


def test_a_body_that_says_nothing_is_no_hindrance(proxy):
    for parts in ({}, {"json": {}}, {"content": b""}):
        assert "unsupported_request" not in send(proxy, **parts).text
