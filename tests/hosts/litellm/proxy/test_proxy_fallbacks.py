"""The fallbacks that a caller of a real proxy names: each is judged before anything is sent to anybody."""

from __future__ import annotations

import pytest
from proxy_endpoints import send, told

SSN = "123-45-6789"


def reasons(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]["provider_specific_fields"]["reasons"]


def summary(records):
    return [(one["stage"], one["input"]["resource"]["id"], one["permitted"]) for one in records]


FORBIDDEN = {
    "a name": {"fallbacks": ["vault"]},
    "an alias": {"fallbacks": ["treasure"]},
    "a deployment": {"fallbacks": ["deployment-vault"]},
    "an object": {"fallbacks": [{"model": "vault"}]},
    "one with a prompt": {"fallbacks": [{"model": "vault", "messages": [{"role": "user", "content": "hi"}]}]},
    "the second": {"fallbacks": ["gpt-4o-mini", "vault"]},
    "one of a group": {"fallbacks": [{"gpt-4o": ["gpt-4o-mini", "vault"]}]},
    "one of another group": {"fallbacks": [{"gpt-4o-mini": ["vault"]}]},
    "for a long prompt": {"context_window_fallbacks": [{"gpt-4o": ["vault"]}]},
    "for a refused prompt": {"content_policy_fallbacks": [{"gpt-4o": ["vault"]}]},
    "an object of a group": {"fallbacks": [{"gpt-4o": [{"model": "vault"}]}]},
}


@pytest.mark.parametrize("body", FORBIDDEN.values(), ids=list(FORBIDDEN))
def test_a_forbidden_fallback_denies_the_request_before_anything_is_sent(proxy, body):
    answer = proxy.chat("pro", "hi", **body)
    assert reasons(answer) == ["model.forbidden"]
    assert proxy.upstream.requests == []
    last = summary(proxy.records(answer))[-1]
    assert last == ("model_selection", "vault", False)


def test_a_forbidden_fallback_in_an_override_of_the_router_is_denied(proxy):
    answer = proxy.chat("pro", "hi", router_settings_override={"fallbacks": [{"gpt-4o": ["vault"]}]})
    assert answer.is_error
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_that_is_tried_is_not_asked_about_once_more(proxy, stream):
    answer = proxy.chat("pro", f"I am {SSN}", model="sick", fallbacks=["gpt-4o-mini"], stream=stream)
    assert answer.status_code == 200, answer.text
    assert summary(proxy.records(answer)) == [
        ("model_selection", "sick", True),
        ("pre_prompt", "sick", True),
        ("model_selection", "gpt-4o-mini", True),
        ("pre_prompt", "gpt-4o-mini", True),
        ("post_completion", "gpt-4o-mini", True),
    ]
    assert SSN not in proxy.upstream.texts


def test_a_fallback_that_is_not_tried_is_on_record_all_the_same(proxy):
    answer = proxy.chat("pro", "hi", fallbacks=["gpt-4o-mini", "gpt-4o-mini", "gpt-4o", {"model": "sick"}])
    assert answer.status_code == 200
    assert summary(proxy.records(answer)) == [
        ("model_selection", "gpt-4o", True),
        ("pre_prompt", "gpt-4o", True),
        ("model_selection", "gpt-4o-mini", True),
        ("model_selection", "sick", True),
        ("post_completion", "gpt-4o", True),
    ]


def test_a_fallback_of_its_own_prompt_is_told_by_its_own_facts(proxy):
    messages = [{"role": "user", "content": "one two three"}]
    answer = proxy.chat("pro", "hi", model="sick", fallbacks=[{"model": "gpt-4o", "messages": messages}])
    assert answer.status_code == 200, answer.text
    records = proxy.records(answer)
    assert [one["input"]["context"]["prompt"]["length"] for one in records[:4]] == [2, 2, 13, 13]
    assert records[2]["stage"] == "model_selection"
    assert proxy.upstream.requests[0].body["messages"] == messages


def test_a_fallback_that_policy_would_route_elsewhere_denies_as_one_of_several_models_does(proxy):
    codes = {
        tuple(reasons(proxy.chat("free", "hi", model="gpt-4o-mini", fallbacks=["gpt-4o"]))),
        tuple(reasons(proxy.chat("free", "hi", model="gpt-4o-mini,gpt-4o"))),
    }
    assert codes == {("unsupported_obligation",)}
    assert proxy.upstream.requests == []


def test_several_models_and_fallbacks_are_all_judged(proxy):
    answer = proxy.chat("pro", "hi", model="gpt-4o,gpt-4o-mini", fallbacks=["vault"])
    assert reasons(answer) == ["model.forbidden"]
    assert proxy.chat("pro", "hi", model="gpt-4o,gpt-4o-mini", fallbacks=["sick"]).status_code == 200


def test_more_fallbacks_than_anybody_needs_are_refused(proxy):
    answer = proxy.chat("enterprise", "hi", fallbacks=[f"wild/{number}" for number in range(21)])
    assert reasons(answer) == ["unsupported_request.fallbacks"]
    assert proxy.upstream.requests == []
    assert proxy.chat("enterprise", "hi", fallbacks=["gpt-4o-mini"] * 20).status_code == 200


def test_under_monitor_a_forbidden_fallback_is_tried_and_recorded(proxy):
    answer = proxy.chat("watched", "hi", model="sick", fallbacks=["vault"])
    assert answer.status_code == 200, answer.text
    assert [one["permitted"] for one in proxy.records(answer)].count(False) == 1
    assert proxy.upstream.requests[0].body["model"] == "vault"


@pytest.mark.parametrize(
    "name", ["completions", "messages over a bridge", "responses", "embeddings", "images", "speech"]
)
def test_a_forbidden_fallback_is_refused_on_every_endpoint(proxy, name):
    answer = send(proxy, name, "pro", "hello", "sick", fallbacks=["vault"])
    assert "model.forbidden" in told(answer)["message"]
    assert proxy.upstream.requests == proxy.sick.requests == []


def test_fallbacks_in_a_body_that_is_passed_through_are_nobodys(proxy):
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "fallbacks": ["vault"]}
    assert proxy.post("/pass/chat/completions", "pro", **body).status_code == 200
