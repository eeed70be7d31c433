"""`checkrein check --litellm`: what it finds, and what it leaves behind."""

from __future__ import annotations

import os

import litellm
import pytest

from checkrein import SettingsError
from checkrein_litellm.proxy.checking import check
from checkrein_litellm.proxy.governor import Governor

SETTINGS = {"version": 1, "engine": {"scripted": {}}, "decision_log": {"to": "decisions.jsonl"}}
PATH = "checkrein_litellm.PolicyGuard"


def test_every_stage_is_tried_and_stopped(configure, scripted):
    results = check(configure(settings=SETTINGS))
    assert [(one.stage, one.what) for one in results] == [
        ("model_selection", "a chat call"),
        ("model_selection", "a fallback to another model"),
        ("pre_prompt", "a chat call"),
        ("pre_prompt", "a key that opts out of guardrails"),
        ("pre_prompt", "embeddings"),
        ("pre_prompt", "an endpoint that nobody governs"),
        ("tool_call", "a tool of an MCP server"),
        ("post_completion", "an answer"),
        ("post_completion", "a streamed answer"),
    ]
    for one in results:
        assert one.ok, one
        assert one.detail.startswith("403, decision ")


def test_what_is_not_covered_is_told_with_what_the_settings_say(configure, scripted):
    results = check(configure(settings={**SETTINGS, "uncovered": {"realtime": "allow", "videos": "deny"}}))
    told = {one.name: one.allowed for one in results.endpoints}
    assert [name for name, allowed in told.items() if allowed] == ["realtime"]
    assert {"videos", "pass_through", "token_counting", "transcription", "assistants", "file_content"} <= set(
        told
    )
    assert all(one.passes for one in results.endpoints)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"litellm_settings": {"success_callback": ["langfuse"]}}, "`langfuse` in `litellm_settings.success"),
        ({"litellm_settings": {"failure_callback": "sentry"}}, "`sentry` in `litellm_settings.failure"),
        ({"general_settings": {"store_prompts_in_spend_logs": True}}, "store_prompts_in_spend_logs"),
        ({}, None),
        ({"litellm_settings": {"success_callback": ["x"], "turn_off_message_logging": True}}, None),
    ],
)
def test_logs_of_litellm_that_hear_what_nobody_judged_are_told(configure, scripted, parts, said):
    warnings = check(configure(settings=SETTINGS, **parts)).warnings
    assert len(warnings) == (said is not None)
    assert all(said in one for one in warnings)


def test_a_misspelt_name_of_an_endpoint_is_an_error(configure, scripted):
    with pytest.raises(SettingsError, match=r"`uncovered\.realtme` is no endpoint .*; is `realtime`"):
        check(configure(settings={**SETTINGS, "uncovered": {"realtme": "allow"}}))


def test_the_guard_may_be_a_callback(configure, scripted, monkeypatch):
    callbacks = {"callbacks": ["checkrein_litellm.callback.policy_guard"]}
    config = configure(settings=SETTINGS, guardrails=[], litellm_settings=callbacks)
    monkeypatch.setenv("CHECKREIN_CONFIG", str(config.with_name("checkrein.yaml")))
    assert all(one.ok for one in check(config))
    monkeypatch.delenv("CHECKREIN_CONFIG")
    with pytest.raises(
        SettingsError, match="the proxy would not start: checkrein does not start: no settings"
    ):
        check(config)
    with pytest.raises(SettingsError, match="has the guard twice"):
        check(configure(settings=SETTINGS, litellm_settings=callbacks))


def test_nothing_is_left_behind(configure, scripted):
    config = configure(settings=SETTINGS, environment_variables={"CHECKREIN_TEST_LEFT": "1"})
    before = (list(litellm.callbacks), list(litellm.success_callback), dict(os.environ))
    check(config)
    assert (list(litellm.callbacks), list(litellm.success_callback), dict(os.environ)) == before
    assert not config.with_name("decisions.jsonl").exists()


def test_a_guard_that_lets_something_pass_is_found(configure, scripted, monkeypatch):
    async def admit(self, key, data, call_type):
        """Let everything in."""

    monkeypatch.setattr(Governor, "admit", admit)
    failed = {(one.stage, one.what): one.detail for one in check(configure(settings=SETTINGS)) if not one.ok}
    assert failed[("pre_prompt", "a chat call")] == "the call passed"
    # What was never judged is denied when it answers.
    assert ("post_completion", "an answer") not in failed


def test_a_guard_that_breaks_is_found(configure, scripted, monkeypatch):
    async def release(self, key, data, answer):
        raise KeyError(answer)

    monkeypatch.setattr(Governor, "release", release)
    failed = {(one.stage, one.what): one.detail for one in check(configure(settings=SETTINGS)) if not one.ok}
    assert failed == {("post_completion", "an answer"): "`KeyError` instead of a denial"}


def test_settings_may_come_from_the_configurations_environment(configure, scripted, monkeypatch):
    monkeypatch.delenv("CHECKREIN_CONFIG", raising=False)
    config = configure(settings=SETTINGS)
    path = str(config.with_name("checkrein.yaml"))
    config = configure(
        settings=SETTINGS,
        guardrail={"checkrein_config": None},
        environment_variables={"CHECKREIN_CONFIG": path},
    )
    assert all(one.ok for one in check(config))


def test_an_included_file_may_bring_the_guardrail(configure, scripted):
    config = configure(settings=SETTINGS)
    included = config.with_name("guardrails.yaml")
    included.write_text(config.read_text())
    config.write_text("include: [guardrails.yaml]\n")
    assert all(one.ok for one in check(config))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"guardrails": []}, f"has no guardrail `{PATH}`"),
        ({"guardrail": {"guardrail": "another.Guard"}}, f"has no guardrail `{PATH}`"),
        ({"guardrail": {"default_on": False}}, "the proxy would not start: checkrein does not start"),
        ({"guardrail": {"mode": None}}, "the proxy would start without the guardrail"),
        ({"guardrail": {"mode": ["pre_call"]}}, "leaves out `post_call`"),
        ({"guardrail": {"timeout": "soon"}}, "the proxy would start without the guardrail"),
        ({"guardrail": {"checkrein_config": "none.yaml"}}, "none.yaml"),
        ({"settings": {**SETTINGS, "unheard_of": 1}}, "unheard_of"),
        (
            {"policies": {"p": {"pipeline": {"steps": [{"guardrail": "checkrein", "on_fail": "allow"}]}}}},
            "could let its denials pass",
        ),
        (
            {"guardrails": [{"guardrail_name": "x", "litellm_params": {"guardrail": PATH}}] * 2},
            "two guardrails have the name `x`",
        ),
    ],
)
def test_a_proxy_without_a_working_guard_is_an_error(configure, scripted, parts, told):
    with pytest.raises(SettingsError) as error:
        check(configure(**{"settings": SETTINGS, **parts}))
    assert told in str(error.value)


def test_a_file_that_shadows_the_guard_is_found(configure, scripted):
    config = configure(settings=SETTINGS)
    config.with_name("checkrein_litellm.py").write_text(
        "from litellm.integrations.custom_guardrail import CustomGuardrail\n"
        "class PolicyGuard(CustomGuardrail):\n    pass\n"
    )
    with pytest.raises(SettingsError, match="somebody else's class"):
        check(config)


@pytest.mark.parametrize("content", ["- a\n", "a: [\n", ""])
def test_a_configuration_that_is_none_is_an_error(configure, scripted, content):
    config = configure()
    config.write_text(content)
    with pytest.raises(SettingsError):
        check(config)


def test_a_configuration_that_is_not_there_is_an_error(scripted, tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        check(tmp_path / "config.yaml")
