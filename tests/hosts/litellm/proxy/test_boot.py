"""A proxy that is not configured right does not start: never without the guard."""

from __future__ import annotations

import pytest

from checkrein_litellm import PolicyGuard

SETTINGS = {"version": 1, "engine": {"scripted": {}}}


def boot(config, **changes):
    options = {
        "guardrail_name": "checkrein",
        "event_hook": ["pre_call", "post_call"],
        "default_on": True,
        "checkrein_config": str(config.with_name("checkrein.yaml")),
        **changes,
    }
    return PolicyGuard(**{key: value for key, value in options.items() if value is not None})


def test_the_guard_starts(configure, scripted):
    assert boot(configure(settings=SETTINGS)).guardrail_name == "checkrein"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"event_hook": "pre_call"}, "the guardrail's mode leaves out `post_call`"),
        ({"event_hook": ["post_call"]}, "the guardrail's mode leaves out `pre_call`"),
        ({"event_hook": ["pre_call", "post_call", "pre_cal"]}, "`pre_cal` is no mode of LiteLLM's"),
        ({"event_hook": None}, "the guardrail must have `mode: [pre_call, post_call]`"),
        ({"event_hook": {"tags": {}}}, "the guardrail must have `mode: [pre_call, post_call]`"),
        ({"default_on": False}, "the guardrail must have `default_on: true`"),
        ({"default_on": "yes"}, "the guardrail must have `default_on: true`"),
        ({"checkrein_confg": "x"}, "`checkrein_confg` is no key of the guardrail"),
        ({"run_in_parallel": True}, "the guardrail must not have `run_in_parallel`"),
        ({"scan_raw_request": True}, "the guardrail must not have `scan_raw_request`"),
        ({"checkrein_config": 7}, "`checkrein_config` must be the path of a settings file"),
        ({"checkrein_config": "/no/such/file.yaml"}, "/no/such/file.yaml"),
    ],
)
def test_a_wrong_option_stops_the_boot(configure, scripted, changes, told):
    with pytest.raises(RuntimeError, match="checkrein does not start: ") as stopped:
        boot(configure(settings=SETTINGS), **changes)
    assert told in str(stopped.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({**SETTINGS, "engin": {}}, "engin"),
        ({**SETTINGS, "version": 2}, "version"),
        ({"version": 1, "engine": {"no_such_engine": {}}}, "no_such_engine"),
        ({"version": 1, "engine": {"scripted": {"stages": ["pre_prompt"]}}}, "no engine covers the stage"),
        ({**SETTINGS, "detectors": {"pre_prompt": ["no_such_detector"]}}, "no_such_detector"),
        ("just text", "mapping"),
    ],
)
def test_wrong_settings_stop_the_boot(configure, scripted, settings, told):
    with pytest.raises(RuntimeError, match="checkrein does not start: ") as stopped:
        boot(configure(settings=settings))
    assert told in str(stopped.value)


def test_no_settings_stop_the_boot(configure, scripted, monkeypatch):
    monkeypatch.delenv("CHECKREIN_CONFIG", raising=False)
    with pytest.raises(RuntimeError, match="no settings file is named"):
        boot(configure(), checkrein_config=None)


def test_the_settings_can_be_named_by_the_environment(configure, scripted, monkeypatch):
    config = configure(settings=SETTINGS)
    monkeypatch.setenv("CHECKREIN_CONFIG", str(config.with_name("checkrein.yaml")))
    assert boot(config, checkrein_config=None)


def test_the_settings_are_looked_for_beside_the_proxys_configuration(
    configure, scripted, monkeypatch, tmp_path, proxy_server
):
    config = configure(settings=SETTINGS)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(proxy_server, "user_config_file_path", str(config))
    assert boot(config, checkrein_config="checkrein.yaml")


def test_a_working_directory_is_the_last_resort(configure, scripted, monkeypatch, proxy_server):
    config = configure(settings=SETTINGS)
    monkeypatch.setattr(proxy_server, "user_config_file_path", None)
    monkeypatch.chdir(config.parent)
    assert boot(config, checkrein_config="checkrein.yaml")


def test_a_real_proxy_with_a_wrong_setting_ends_instead_of_serving(configure, launch):
    config = configure(settings={**SETTINGS, "unheard_of": True})
    process, log = launch(config)
    assert process.wait(90) != 0
    assert "checkrein does not start" in log.read_text()


def test_every_hook_stands_on_the_registered_class():
    # LiteLLM looks for some hooks there alone.
    hooks = {
        "async_pre_call_hook",
        "async_pre_call_deployment_hook",
        "async_post_call_success_hook",
        "async_post_call_streaming_iterator_hook",
        "async_post_call_success_deployment_hook",
        "async_post_call_failure_hook",
        "async_post_call_response_headers_hook",
        "should_run_guardrail",
    }
    assert hooks <= set(vars(PolicyGuard))
