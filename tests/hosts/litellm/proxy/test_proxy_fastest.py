"""The fastest of several models at a real proxy: a denial of one of them is told as any other is."""

from __future__ import annotations

import pytest
from openai import PermissionDeniedError

from checkrein import denial_from

FASTEST = {"fastest_response": True}


def error_of(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]


def test_a_denial_at_a_deployment_is_told_in_full(proxy):
    error = error_of(proxy.chat("pro", "hi", model="sick-vault,sick-vault", **FASTEST))
    assert proxy.upstream.requests == []
    assert (error["type"], error["code"]) == ("policy_denied", "403")
    assert error["provider_specific_fields"]["reasons"] == ["model.forbidden"]
    assert error["provider_specific_fields"]["decision_id"] in error["message"]
    assert "All tasks failed" not in error["message"]


def test_a_denial_once_one_model_has_failed_is_told_in_full(proxy):
    fallbacks = [{"model": "sick", "messages": [{"role": "user", "content": "FORBIDDEN"}]}]
    error = error_of(proxy.chat("pro", "hi", model="sick,sick", fallbacks=fallbacks, **FASTEST))
    assert error["provider_specific_fields"]["reasons"] == ["content.forbidden"]
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("text", ["FORBIDDEN", "hi"])
def test_a_denial_of_the_prompt_or_of_the_answer_is_told_in_full(proxy, text):
    proxy.upstream.reply = "FORBIDDEN"
    error = error_of(proxy.chat("pro", text, model="gpt-4o,gpt-4o-mini", **FASTEST))
    assert error["provider_specific_fields"]["reasons"] == ["content.forbidden"]


def test_a_client_reads_the_denial(proxy):
    messages = [{"role": "user", "content": "hi"}]
    with proxy.client("pro") as client, pytest.raises(PermissionDeniedError) as denied:
        client.chat.completions.create(model="sick-vault,sick-vault", messages=messages, extra_body=FASTEST)
    denial = denial_from(denied.value)
    assert denial is not None
    assert denial.code == "model.forbidden"


def test_a_failure_that_is_no_denial_is_told_as_one(proxy):
    answer = proxy.chat("enterprise", "hi", model="sick,sick", disable_fallbacks=True, **FASTEST)
    assert answer.is_server_error
    assert "policy_denied" not in answer.text


def test_a_denied_call_of_the_fastest_cools_nothing_down(proxy):
    for _ in range(6):
        assert proxy.chat("pro", "hi", model="sick-vault,sick-vault", **FASTEST).status_code == 403
    assert proxy.chat("enterprise", "hi", model="vault").status_code == 200
