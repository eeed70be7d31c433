"""Every list by which LiteLLM keeps a model from a caller is heeded where a policy chooses the model."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("person", ["bound_by_name", "bound_by_team_name", "bound_user"])
def test_a_name_that_means_another_model_opens_none_nor_does_a_key_without_a_list(proxy, person, stream):
    answer = proxy.chat(person, "hi", stream=stream)
    assert answer.status_code == 403, answer.text
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["route.unauthorized"]
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("person", ["wild", "wild_provider", "whole_proxy", "whole_team"])
def test_a_list_that_holds_the_model_in_other_words_lets_it_be_called(proxy, person):
    answer = proxy.chat(person, "hi")
    assert answer.status_code == 200, answer.text
    assert [one.body["model"] for one in proxy.upstream.requests] == ["gpt-4o-mini"]


def test_where_the_refusal_is_only_monitored_the_answer_is_judged_all_the_same(serve, configure):
    rules = [{"reasons": ["route.unauthorized"], "mode": "monitor"}]
    settings = {"version": 1, "engine": {"scripted": {}}, "enforcement": {"rules": rules}}

    def written(model_list):
        return configure(
            settings={**settings, "decision_log": {"to": "decisions.jsonl"}},
            model_list=[*model_list, {**model_list[0], "model_name": "gpt-4o-mini"}],
        )

    with serve(written) as proxy:
        proxy.upstream.reply = "FORBIDDEN"
        answer = proxy.chat("bound", "hi")
        assert answer.status_code == 403, answer.text
        assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["content.forbidden"]
        assert answer.headers["x-checkrein-would-deny"] == "route.unauthorized"
