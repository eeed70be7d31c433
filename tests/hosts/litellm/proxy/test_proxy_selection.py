"""Which model is really called: aliases, ids, retries and fallbacks of a real proxy process."""

from __future__ import annotations

import pytest

SSN = "123-45-6789"


def summary(records):
    return [(one["stage"], one["input"]["resource"]["id"], one["permitted"]) for one in records]


def reasons(answer):
    return answer.json()["error"]["provider_specific_fields"]["reasons"]


@pytest.mark.parametrize("name", ["vault", "treasure", "deployment-vault"])
def test_a_forbidden_model_is_forbidden_by_every_name(proxy, name):
    answer = proxy.chat("pro", "hi", model=name)
    assert answer.status_code == 403
    assert reasons(answer) == ["model.forbidden"]
    assert proxy.upstream.requests == []
    assert summary(proxy.records(answer)) == [("model_selection", "vault", False)]


def test_a_deployment_that_is_named_by_its_provider_is_judged_by_its_group(proxy):
    answer = proxy.chat("pro", "hi", model="openai/vault")
    assert answer.status_code == 403
    assert proxy.upstream.requests == []
    assert summary(proxy.records(answer))[-1] == ("model_selection", "vault", False)


def test_a_wildcard_is_judged_by_the_name_that_matched(proxy):
    answer = proxy.chat("enterprise", "hi", model="wild/gpt-4.1")
    assert answer.status_code == 200
    assert summary(proxy.records(answer))[0] == ("model_selection", "wild/gpt-4.1", True)
    assert proxy.upstream.requests[0].body["model"] == "gpt-4.1"


def test_a_retry_is_not_asked_again(proxy):
    answer = proxy.chat("enterprise", "hi", model="sick", num_retries=1)
    assert answer.status_code == 200
    assert len(proxy.sick.requests) == 2
    records = proxy.records(answer)
    assert summary(records) == [
        ("model_selection", "sick", True),
        ("pre_prompt", "sick", True),
        ("model_selection", "gpt-4o-mini", True),
        ("pre_prompt", "gpt-4o-mini", True),
        ("post_completion", "gpt-4o-mini", True),
    ]
    assert [one["attempt"] for one in records] == [1, 1, 3, 3, 3]


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_to_a_forbidden_model_is_stopped_and_not_routed_around(proxy, stream):
    answer = proxy.chat("pro", "hi", model="sick-vault", stream=stream)
    assert answer.status_code == 403
    assert reasons(answer) == ["model.forbidden"]
    assert answer.json()["error"]["type"] == "policy_denied"
    # Neither the vault nor the permitted model after it is called.
    assert proxy.upstream.requests == []
    assert summary(proxy.records(answer)) == [
        ("model_selection", "sick-vault", True),
        ("pre_prompt", "sick-vault", True),
        ("model_selection", "vault", False),
    ]


def test_a_fallback_that_is_permitted_redacts_once_more_for_its_own_messages(proxy):
    messages = [{"role": "user", "content": f"I am {SSN}"}]
    fallbacks = [{"model": "gpt-4o", "messages": messages}]
    answer = proxy.chat("pro", "hi", model="sick", fallbacks=fallbacks)
    assert answer.status_code == 200
    assert proxy.upstream.requests[0].body["messages"][0]["content"] == "I am [REDACTED:ssn]"
    assert ("pre_prompt", "gpt-4o", True) in summary(proxy.records(answer))


@pytest.mark.parametrize(
    ("fallback", "reason"),
    [
        ({"model": "vault"}, "model.forbidden"),
        ("vault", "model.forbidden"),
        ({"model": "gpt-4o", "messages": [{"role": "user", "content": "FORBIDDEN"}]}, "content.forbidden"),
        ({"model": "sick", "messages": [{"role": "user", "content": "FORBIDDEN"}]}, "content.forbidden"),
    ],
)
def test_a_callers_own_fallback_is_judged_when_it_is_called(proxy, fallback, reason):
    answer = proxy.chat("pro", "hi", model="sick", fallbacks=[fallback])
    assert answer.status_code == 403
    assert reasons(answer) == [reason]
    assert proxy.upstream.requests == []
    assert len(proxy.sick.requests) == 1


@pytest.mark.parametrize("field", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
@pytest.mark.parametrize(
    "extra",
    [
        {"extra_body": {"messages": []}},
        {"metadata": {}},
        {"tools": []},
        {"litellm_logging_obj": "x"},
        {"user": "x"},
    ],
)
def test_a_callers_fallback_may_change_nothing_else(proxy, field, extra):
    listed = [{"model": "gpt-4o", **extra}]
    value = listed if field == "fallbacks" else [{"sick": listed}]
    answer = proxy.chat("pro", "hi", model="sick", **{field: value})
    assert answer.status_code == 403
    assert reasons(answer) == [f"unsupported_request.{field}"]
    assert proxy.sick.requests == []


def test_a_denied_caller_cools_no_deployment_down(proxy):
    for _ in range(8):
        assert proxy.chat("pro", "hi", model="sick", fallbacks=["vault"]).status_code == 403
    answer = proxy.chat("enterprise", "hi", model="vault")
    assert answer.status_code == 200
    assert len(proxy.upstream.requests) == 1


def test_a_mirrored_call_is_judged_for_the_model_that_it_is_mirrored_to(proxy):
    answer = proxy.chat("pro", "hi", model="mirrored")
    assert answer.status_code == 200
    mine = answer.headers["x-checkrein-call-id"]

    def mirrored(one):
        return one.get("call_id") != mine and vault_denied(one)

    def vault_denied(one):
        return one.get("permitted") is False and one["input"].get("resource", {}).get("id") == "vault"

    log = proxy.wait_for(lambda one: mirrored(one) and one["input"]["subject"]["id"] == "priya")
    assert log
    proxy.upstream.wait()
    assert [request.body["model"] for request in proxy.upstream.requests] == ["gpt-4o"]
