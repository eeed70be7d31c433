"""What reaches the provider behind a real proxy process, and what its callers are told."""

from __future__ import annotations

import pytest
from openai import PermissionDeniedError

SSN = "123-45-6789"
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("shell", "search")
]


def nested(depth):
    return [nested(depth - 1)] if depth else "deep down"


def summary(records):
    return [(one["stage"], one["input"]["resource"]["id"], one["permitted"]) for one in records]


def test_a_permitted_call_goes_through_and_has_one_record_per_stage(proxy):
    answer = proxy.chat("enterprise", f"my number is {SSN}")
    assert answer.status_code == 200
    assert SSN in proxy.upstream.texts
    records = proxy.records(answer)
    assert summary(records) == [
        ("model_selection", "gpt-4o", True),
        ("pre_prompt", "gpt-4o", True),
        ("post_completion", "gpt-4o", True),
    ]
    assert answer.headers["x-checkrein-decision-id"] == records[-1]["decision_id"]


def test_what_policy_sees_of_a_call(proxy):
    answer = proxy.chat("pro", "hello there", max_tokens=7)
    before, _, after = (one["input"] for one in proxy.records(answer))
    assert before["subject"] == {
        "type": "user",
        "id": "priya",
        "properties": {"team": "data", "tier": "pro"},
    }
    properties = dict(before["resource"]["properties"])
    assert isinstance(properties.pop("deployment"), str)
    assert properties == {"provider": "openai", "input_price": 2_500_000, "output_price": 10_000_000}
    context = before["context"]
    assert context["estimated"] == {"prompt_tokens": 2, "max_tokens": 7, "cost_micros": 75}
    assert context["identity"] == {"source": "key", "asserted": False}
    assert context["environment"]["host"] == "litellm-proxy"
    assert context["environment"]["endpoint"] == "/v1/chat/completions"
    assert after["context"]["tokens"]["total_tokens"] > 0
    assert after["context"]["finish_reason"] == "stop"


def test_a_budget_is_seen_in_micro_dollars(proxy):
    record = proxy.records(proxy.chat("budget", "hi"))[0]
    assert record["input"]["context"]["usage"] == {"spent_micros": 1_250_000, "limit_micros": 50_000_000}


def test_a_route_limits_and_removed_tools_reach_the_provider(proxy):
    choice = {"type": "function", "function": {"name": "shell"}}
    answer = proxy.chat("free", "hi", tools=TOOLS, tool_choice=choice, max_completion_tokens=900)
    assert answer.status_code == 200
    (sent,) = proxy.upstream.requests
    assert sent.body["model"] == "gpt-4o-mini"
    assert sent.body["max_completion_tokens"] == 50
    assert sent.body["temperature"] == 0
    assert [tool["function"]["name"] for tool in sent.body["tools"]] == ["search"]
    assert "tool_choice" not in sent.body
    assert summary(proxy.records(answer)) == [
        ("model_selection", "gpt-4o", True),
        ("model_selection", "gpt-4o-mini", True),
        ("pre_prompt", "gpt-4o-mini", True),
        ("post_completion", "gpt-4o-mini", True),
    ]


def test_a_limit_never_raises_what_the_caller_asked_for(proxy):
    proxy.chat("free", "hi", max_tokens=5)
    assert proxy.upstream.requests[0].body["max_tokens"] == 5


@pytest.mark.parametrize("stream", [False, True])
def test_a_denied_prompt_never_leaves_and_its_caller_learns_why(proxy, stream):
    with proxy.client("free") as client, pytest.raises(PermissionDeniedError) as denied:
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": f"I am {SSN}"}], stream=stream
        )
    proxy.upstream.wait()
    assert proxy.upstream.requests == []
    error = denied.value.body
    told = error["provider_specific_fields"]
    assert error["type"] == "policy_denied"
    assert told["stage"] == "pre_prompt"
    assert told["reasons"] == ["pii.ssn"]
    assert error["message"] == f"denied by policy: pii.ssn (decision {told['decision_id']})"
    assert SSN not in str(denied.value)
    record = proxy.records(denied.value.response)[-1]
    assert record["decision_id"] == told["decision_id"]
    assert denied.value.response.headers["x-checkrein-decision-id"] == told["decision_id"]


def test_a_message_written_by_the_policy_stays_in_the_log(proxy):
    answer = proxy.chat("pro", "FORBIDDEN thing")
    assert answer.status_code == 403
    assert "not allowed" not in answer.text
    assert "thing" not in answer.text


REDACTED = {
    "a message": {"messages": [{"role": "user", "content": f"I am {SSN}"}]},
    "a part of a message": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": f"I am {SSN}"}]}]
    },
    "the system prompt": {
        "messages": [{"role": "system", "content": SSN}, {"role": "user", "content": "hi"}]
    },
    "an earlier turn": {
        "messages": [
            {"role": "user", "content": SSN},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": "hi"},
        ]
    },
    "a tool call": {
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_abcd1234",
                        "type": "function",
                        "function": {"name": "f", "arguments": f'{{"n": "{SSN}"}}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_abcd1234", "content": "done"},
        ]
    },
    "a tool result": {
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": f"found {SSN}"},
        ]
    },
    "a speaker's name": {"messages": [{"role": "user", "name": SSN, "content": "hi"}]},
    "a picture's address": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": f"http://127.0.0.1/{SSN}.png"}}],
            }
        ]
    },
    "a file's name": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "file", "file": {"filename": f"{SSN}.pdf", "file_data": "A" * 80}}],
            }
        ]
    },
    "a tool's description": {
        "tools": [{"type": "function", "function": {"name": "f", "description": f"for {SSN}"}}]
    },
    "a function's default": {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "parameters": {
                        "type": "object",
                        "properties": {"a": {"type": "string", "default": SSN}},
                    },
                },
            }
        ]
    },
    "a schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object", "title": SSN}},
        }
    },
    "a prediction": {"prediction": {"type": "content", "content": SSN}},
    "a stop word": {"stop": [SSN]},
    "the user field": {"user": SSN},
    "a parameter that nobody knows": {"house_style": {"notes": [f"for {SSN}"]}},
}


@pytest.mark.parametrize("where", REDACTED)
def test_no_raw_character_reaches_the_provider(proxy, where):
    body = {"messages": [{"role": "user", "content": "hi"}], **REDACTED[where]}
    answer = proxy.post("/v1/chat/completions", "pro", model="gpt-4o", **body)
    assert answer.status_code == 200, answer.text
    assert len(proxy.upstream.requests) == 1
    assert SSN not in proxy.upstream.texts
    assert "[REDACTED:ssn]" in proxy.upstream.texts


def test_no_raw_character_reaches_the_provider_in_a_header(proxy):
    assert proxy.chat("pro", "hi", extra_headers={"x-note": f"for {SSN}"}).status_code == 200
    (sent,) = proxy.upstream.requests
    assert sent.headers["x-note"] == "for [REDACTED:ssn]"


def test_a_field_whose_name_would_have_to_change_is_denied(proxy):
    answer = proxy.chat("pro", "hi", metadata_of_mine={SSN: "x"})
    assert answer.status_code == 403
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["obligation_failed"]
    assert proxy.upstream.requests == []


def test_a_replaced_prompt_is_all_that_is_sent(proxy):
    assert proxy.chat("enterprise", "please REPLACE me").status_code == 200
    assert proxy.upstream.requests[0].body["messages"] == [{"role": "user", "content": "replaced"}]


def test_a_route_at_the_prompt_asks_both_stages_of_the_new_model(proxy):
    answer = proxy.chat("enterprise", "please ROUTE me")
    assert proxy.upstream.requests[0].body["model"] == "gpt-4o-mini"
    assert summary(proxy.records(answer)) == [
        ("model_selection", "gpt-4o", True),
        ("pre_prompt", "gpt-4o", True),
        ("model_selection", "gpt-4o-mini", True),
        ("pre_prompt", "gpt-4o-mini", True),
        ("post_completion", "gpt-4o-mini", True),
    ]


@pytest.mark.parametrize("text", ["NOWHERE to go", "SECRETIVE parameters"])
def test_a_change_that_the_proxy_cannot_write_is_a_denial(proxy, text):
    answer = proxy.chat("enterprise", text)
    assert answer.status_code == 403
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["obligation_failed"]
    assert proxy.upstream.requests == []


def test_nonsense_from_the_engine_denies(proxy):
    answer = proxy.chat("enterprise", "nonsense")
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["failure.invalid_answer"]
    assert proxy.upstream.requests == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"messages": [{"role": "user", "content": "x" * 21_000}]}, "limit.text"),
        ({"house": nested(40)}, "limit.depth"),
    ],
)
def test_what_is_over_a_limit_is_denied(proxy, body, reason):
    answer = proxy.post(
        "/v1/chat/completions",
        "enterprise",
        **{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **body},
    )
    assert answer.status_code == 403
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == [reason]
    assert proxy.upstream.requests == []


def test_without_an_identity_the_caller_is_anonymous_whatever_it_says(proxy):
    answer = proxy.chat("nobody", "hi", user="erin", metadata={"user_id": "erin", "tier": "enterprise"})
    assert answer.status_code == 403
    (record,) = proxy.records(answer)
    assert record["input"]["subject"]["type"] == "anonymous"
    assert record["input"]["context"]["identity"] == {"source": "none", "asserted": False}


def test_an_id_that_the_caller_chose_joins_no_two_calls(proxy):
    chosen = {"x-litellm-call-id": "mine"}
    answers = [
        proxy.post(
            "/v1/chat/completions",
            "enterprise",
            headers=chosen,
            model="gpt-4o",
            messages=[{"role": "user", "content": "hi"}],
        )
        for _ in range(2)
    ]
    ids = {answer.headers["x-checkrein-call-id"] for answer in answers}
    assert len(ids) == 2
    assert "mine" not in ids
    assert len(proxy.records(answers[0])) == 3


def test_the_call_has_litellms_own_id_otherwise(proxy):
    answer = proxy.chat("enterprise", "hi")
    assert answer.headers["x-checkrein-call-id"] == answer.headers["x-litellm-call-id"]


@pytest.mark.parametrize(
    "path",
    ["/chat/completions", "/openai/deployments/gpt-4o/chat/completions", "/engines/gpt-4o/chat/completions"],
)
def test_every_address_of_the_chat_endpoint_is_judged(proxy, path):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "FORBIDDEN"}]}
    assert proxy.post(path, "enterprise", **body).status_code == 403
    assert proxy.upstream.requests == []
