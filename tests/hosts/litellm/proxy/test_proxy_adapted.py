"""A call of Google's API that LiteLLM adapts to another one stays one call, about the model of that name."""

from __future__ import annotations

import pytest

PATH = "/v1beta/models/gpt-4o:"


def google(text):
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


@pytest.mark.parametrize("way", ["generateContent", "streamGenerateContent"])
def test_an_adapted_call_is_put_on_record_once_and_by_the_name_of_its_model(proxy, way):
    answer = proxy.post(PATH + way, "pro", **google("hi"))
    assert answer.status_code == 200, answer.text
    barrier = proxy.chat("enterprise", "hi").headers["x-checkrein-decision-id"]
    log = proxy.wait_for(lambda one: one.get("decision_id") == barrier)
    at = next(n for n, one in enumerate(log) if one.get("call_id") == answer.headers["x-checkrein-call-id"])
    told = [(one["stage"], one["input"]["resource"]["id"]) for one in log[at:] if "input" in one]
    assert told[:4] == [
        ("model_selection", "gpt-4o"),
        ("pre_prompt", "gpt-4o"),
        ("post_completion", "gpt-4o"),
        ("model_selection", "gpt-4o"),
    ]


@pytest.mark.parametrize("way", ["generateContent", "streamGenerateContent"])
def test_what_a_policy_denies_of_an_adapted_call_is_told_as_a_denial(proxy, way):
    answer = proxy.post(PATH + way, "pro", **google("FORBIDDEN"))
    assert answer.status_code == 403, answer.text
    assert proxy.upstream.requests == []
