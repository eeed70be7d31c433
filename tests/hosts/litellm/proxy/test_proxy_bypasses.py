"""Ways around the guard that a real proxy process offers, each of them tried."""

from __future__ import annotations

import pytest

SSN = "123-45-6789"


def reasons(answer):
    return answer.json()["error"]["provider_specific_fields"]["reasons"]


OPT_OUTS = {
    "no guardrails": {"guardrails": []},
    "other guardrails": {"guardrails": ["another"]},
    "a switch": {"disable_global_guardrails": True},
    "the guardrail as an option": {"guardrails": [{"checkrein": {"extra_body": {"enabled": False}}}]},
    "no guardrails in the metadata": {"metadata": {"guardrails": []}},
    "a switch in the metadata": {"metadata": {"disable_global_guardrails": True}},
    "a key's metadata": {"metadata": {"user_api_key_metadata": {"disable_global_guardrails": True}}},
    "another bucket": {"litellm_metadata": {"user_api_key_metadata": {"disable_global_guardrails": True}}},
    "an opt-out": {"metadata": {"opted_out_global_guardrails": ["checkrein"]}},
    "a pipeline": {"metadata": {"_guardrail_pipelines": [["p", {"steps": []}]]}},
    "managed guardrails": {"metadata": {"_pipeline_managed_guardrails": ["checkrein"]}},
    "an authentication": {"metadata": {"user_api_key_auth": {"user_id": "erin"}}},
    "a finished guard": {"metadata": {"pre_call_executed_guardrails": ["checkrein"]}},
    "an object of LiteLLM's": {"litellm_logging_obj": {"x": 1}},
    "a call's id": {"litellm_call_id": "mine", "metadata": {"checkrein_call_id": "mine"}},
}


@pytest.mark.parametrize("how", OPT_OUTS)
def test_a_caller_cannot_opt_out(proxy, how):
    answer = proxy.chat("pro", "FORBIDDEN", **OPT_OUTS[how])
    assert answer.status_code == 403, answer.text
    assert reasons(answer) == ["content.forbidden"]
    assert proxy.upstream.requests == []


def test_the_metadata_of_a_key_cannot_opt_out(proxy):
    answer = proxy.chat("optout", "FORBIDDEN")
    assert answer.status_code == 403
    assert proxy.upstream.requests == []
    proxy.upstream.reply = f"it is {SSN}"
    assert SSN not in proxy.chat("optout", "hi").text
    assert SSN not in proxy.chat("optout", "hi", stream=True).text


def test_a_callers_word_changes_no_identity(proxy):
    says = {"user_id": "erin", "tier": "enterprise", "user_api_key_user_id": "erin"}
    answer = proxy.chat("free", "hi", model="vault", user="erin", metadata=says)
    assert answer.status_code == 403
    assert proxy.records(answer)[0]["input"]["subject"]["id"] == "fred"


UNGOVERNED = {
    "assistant_continue_message": {"role": "assistant", "content": SSN},
    "azure": True,
    "bos_token": SSN,
    "context_window_fallback_dict": {"gpt-4o": "vault"},
    "custom_llm_provider": "anthropic",
    "deployment_id": "vault",
    "eos_token": SSN,
    "extra_body": {"messages": [{"role": "user", "content": SSN}]},
    "final_prompt_value": SSN,
    "hf_model_name": "x",
    "initial_prompt_value": SSN,
    "knowledge_bases": ["x"],
    "litellm_system_prompt": SSN,
    "prompt_id": "x",
    "prompt_variables": {"x": SSN},
    "roles": {"user": {"pre_message": SSN, "post_message": ""}},
    "silent_model": "vault",
    "use_litellm_proxy": True,
    "user_continue_message": {"role": "user", "content": SSN},
    "vector_store_ids": ["x"],
}


@pytest.mark.parametrize("key", UNGOVERNED)
def test_what_changes_a_call_after_it_was_judged_is_denied(proxy, key):
    answer = proxy.chat("enterprise", "hi", **{key: UNGOVERNED[key]})
    assert 400 <= answer.status_code < 500, answer.text
    assert proxy.upstream.requests == []
    if answer.status_code == 403:
        assert reasons(answer) == [f"unsupported_request.{key}"]


@pytest.mark.parametrize("key", ["api_base", "base_url", "user_config", "model_list"])
def test_a_caller_chooses_no_other_provider(proxy, key):
    # LiteLLM refuses these itself, unless its administrator allows them.
    assert proxy.chat("enterprise", "hi", **{key: "http://127.0.0.1:1/v1"}).is_error
    assert proxy.upstream.requests == []


def test_a_search_whose_finds_nobody_judges_is_denied(proxy):
    answer = proxy.chat("enterprise", "hi", tools=[{"type": "file_search", "vector_store_ids": ["x"]}])
    assert answer.status_code == 403
    assert proxy.upstream.requests == []


def test_a_health_check_is_judged_as_a_call_of_the_proxys_own(proxy):
    assert proxy.get("/health?model=vault", "enterprise").json()["healthy_count"] == 1

    def checked(one):
        return one.get("input", {}).get("subject", {}).get("id") == "litellm-internal-health-check"

    records = [one for one in proxy.wait_for(checked) if checked(one)]
    assert records[0]["input"]["resource"]["id"] == "openai/vault"
    assert records[0]["input"]["context"]["environment"]["endpoint"] == "internal"


def test_monitoring_judges_and_records_and_changes_nothing(proxy):
    answer = proxy.chat("watched", f"FORBIDDEN {SSN}")
    assert answer.status_code == 200
    assert proxy.upstream.requests[0].body["messages"][0]["content"] == f"FORBIDDEN {SSN}"
    assert proxy.upstream.requests[0].body["model"] == "gpt-4o"
    records = proxy.records(answer)
    assert [(one["stage"], one["permitted"], one["enforced"]) for one in records] == [
        ("model_selection", True, False),
        ("pre_prompt", False, False),
        ("post_completion", True, False),
    ]


COMPACTION = {"code": "uncovered.compaction", "message": "`compaction` is not judged"}


def test_monitoring_lets_pass_what_could_not_be_judged(proxy):
    answer = proxy.post("/v1/responses/compact", "watched", model="gpt-4o", input="hi")
    assert answer.status_code == 404  # the provider's own
    assert len(proxy.upstream.requests) == 1

    def let_pass(one):
        return one.get("reasons") == [COMPACTION] and one["input"]["subject"]["id"] == "wanda"

    assert [let_pass(one) for one in proxy.wait_for(let_pass)].count(True) == 1
    for stream in (False, True):
        assert proxy.chat("watched", "hi", extra_body={"top_k": 3}, stream=stream).status_code == 200


def test_monitoring_gives_a_stream_out_unchanged(proxy):
    proxy.upstream.reply = f"FORBIDDEN {SSN}"
    answer = proxy.chat("watched", "hi", stream=True)
    assert answer.status_code == 200
    assert [one["permitted"] for one in proxy.records(answer)] == [True, True, False]
