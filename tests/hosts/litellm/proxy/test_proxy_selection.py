"""Which model is really called: aliases, ids, retries, fallbacks and several at once, at a real proxy."""

from __future__ import annotations

import pytest
from proxy_endpoints import send, sent, told

SSN = "123-45-6789"
STAGES = ("model_selection", "pre_prompt", "post_completion")
ENDPOINTS = ["completions", "messages over a bridge", "responses", "embeddings", "images", "speech"]


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


@pytest.mark.parametrize("model", ["gpt-4o", "sick"])
def test_what_a_callers_own_fallback_says_is_judged_when_it_is_called(proxy, model):
    fallback = {"model": model, "messages": [{"role": "user", "content": "FORBIDDEN"}]}
    answer = proxy.chat("pro", "hi", model="sick", fallbacks=[fallback])
    assert answer.status_code == 403
    assert reasons(answer) == ["content.forbidden"]
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
        assert proxy.chat("pro", "hi", model="sick-vault").status_code == 403
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


# Several models at once


def by_stage(one):
    return STAGES.index(one[0])


def test_the_fastest_of_several_models_is_judged_by_its_name(proxy):
    answer = proxy.chat("enterprise", "hi", model="gpt-4o,gpt-4o-mini", fastest_response=True)
    assert answer.status_code == 200, answer.text
    last = proxy.records(answer)[-1]
    assert (last["stage"], last["input"]["resource"]["id"]) == ("post_completion", answer.json()["model"])


def test_several_models_at_once_are_each_judged_and_each_answer_is(proxy):
    proxy.upstream.reply = f"it is {SSN}"
    answer = proxy.chat("pro", f"I am {SSN}", model="gpt-4o,gpt-4o-mini")
    assert answer.status_code == 200, answer.text
    assert [one["choices"][0]["message"]["content"] for one in answer.json()] == ["it is [REDACTED:ssn]"] * 2
    assert {request.body["model"] for request in proxy.upstream.requests} == {"gpt-4o", "gpt-4o-mini"}
    seen = [(one["stage"], one["input"]["resource"]["id"]) for one in proxy.records(answer)]
    assert [(stage, name) for stage in STAGES for name in ("gpt-4o", "gpt-4o-mini")] == sorted(
        seen, key=by_stage
    )
    assert SSN not in proxy.upstream.texts


@pytest.mark.parametrize("more", [{}, {"fastest_response": True}])
def test_one_forbidden_model_of_several_denies_them_all(proxy, more):
    answer = proxy.chat("pro", "hi", model="gpt-4o, vault", **more)
    assert "model.forbidden" in told(answer)["message"]
    assert proxy.upstream.requests == []


def test_a_denied_answer_of_one_of_several_models_denies_them_all(proxy):
    proxy.upstream.reply = lambda body: "FORBIDDEN" if body["model"] == "gpt-4o-mini" else "fine"
    answer = proxy.chat("pro", "hi", model="gpt-4o,gpt-4o-mini")
    assert "content.forbidden" in told(answer)["message"]
    assert "fine" not in answer.text


@pytest.mark.parametrize("more", [{"stream": True}, {"stream": True, "fastest_response": True}])
def test_several_models_do_not_stream(proxy, more):
    answer = proxy.chat("enterprise", "hi", model="gpt-4o,gpt-4o-mini", **more)
    assert "unsupported_request.several_models" in told(answer)["message"]
    assert proxy.upstream.requests == []


# Fallbacks on every endpoint


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_fallback_to_a_forbidden_model_is_stopped_on_every_endpoint(proxy, name):
    answer = send(proxy, name, "pro", "hello", "sick-vault")
    assert "model.forbidden" in told(answer)["message"]
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_fallback_that_is_permitted_gets_the_redacted_prompt_on_every_endpoint(proxy, name):
    answer = send(proxy, name, "pro", f"my number is {SSN}", "sick")
    assert answer.status_code == 200, answer.text
    assert {request.body["model"] for request in proxy.upstream.requests} == {"gpt-4o-mini"}
    assert SSN not in sent(proxy)
    assert all(SSN.encode() not in request.raw for request in proxy.sick.requests)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("fallback", ["vault", {"model": "vault"}, {"model": "deployment-vault"}])
def test_a_callers_own_fallback_is_judged_on_every_endpoint(proxy, name, fallback):
    answer = send(proxy, name, "pro", "hello", "sick", fallbacks=[fallback])
    assert answer.status_code == 403, answer.text
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("name", ["completions", "messages over a bridge", "responses", "embeddings"])
def test_a_callers_fallback_with_another_prompt_is_refused_up_front(proxy, name):
    key = {"completions": "prompt", "messages over a bridge": "system"}.get(name, "input")
    answer = send(
        proxy, name, "enterprise", "hello", "sick", fallbacks=[{"model": "gpt-4o", key: "FORBIDDEN"}]
    )
    assert told(answer)["message"].startswith("denied by policy: unsupported_request.fallbacks")
    assert proxy.upstream.requests == proxy.sick.requests == []
