"""A policy's route leads to no model that LiteLLM keeps from the caller's key or team."""

from __future__ import annotations

import pytest

ROUTES = [{}, {"stream": True}]


@pytest.mark.parametrize("person", ["bound", "bound_team"])
@pytest.mark.parametrize("body", ROUTES)
def test_a_route_to_a_model_that_the_key_may_not_call_is_refused(proxy, person, body):
    answer = proxy.chat(person, "hi", **body)
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert error["provider_specific_fields"]["reasons"] == ["route.unauthorized"]
    assert error["type"] == "policy_denied"
    assert proxy.upstream.requests == []
    last = proxy.records(answer)[-1]
    assert (last["stage"], last["permitted"]) == ("model_selection", False)


@pytest.mark.parametrize("body", ROUTES)
def test_a_route_to_a_model_that_the_key_may_call_is_taken(proxy, body):
    answer = proxy.chat("bound_wide", "hi", **body)
    assert answer.status_code == 200
    assert [one.body["model"] for one in proxy.upstream.requests] == ["gpt-4o-mini"]


def test_a_key_without_a_list_of_models_may_call_what_a_policy_chooses(proxy):
    answer = proxy.chat("free", "hi")
    assert answer.status_code == 200
    assert [one.body["model"] for one in proxy.upstream.requests] == ["gpt-4o-mini"]


def test_a_route_by_the_prompt_is_refused_too(proxy):
    answer = proxy.chat("bound_rich", "ROUTE this")
    assert answer.status_code == 403
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["route.unauthorized"]
    assert proxy.upstream.requests == []
