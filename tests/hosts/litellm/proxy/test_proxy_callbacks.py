"""A real proxy whose configuration lists the guard as a callback."""

from __future__ import annotations

import yaml

SSN = "123-45-6789"
GUARD = "checkrein_litellm.callback.policy_guard"


def as_callback(config, value):
    """The configuration without guardrails, and with the guard among the callbacks."""
    parsed = yaml.safe_load(config.read_text())
    del parsed["guardrails"]
    parsed["litellm_settings"] = {"callbacks": value}
    config.write_text(yaml.safe_dump(parsed))
    return config


def test_the_guard_works_as_a_callback_too(serve, configure):
    with serve(lambda **parts: as_callback(configure(**parts), GUARD)) as proxy:
        assert proxy.chat("pro", f"I am {SSN}").status_code == 200
        assert SSN not in proxy.upstream.texts
        denied = proxy.chat("pro", "FORBIDDEN")
        assert denied.status_code == 403
        assert denied.json()["error"]["type"] == "policy_denied"
        proxy.upstream.reply = f"it is {SSN}"
        assert SSN not in proxy.chat("pro", "hi", stream=True).text
        assert proxy.post("/v1/videos", "pro", model="gpt-4o", prompt="hi").status_code == 403
        stages = [one["stage"] for one in proxy.records(proxy.chat("pro", "hi"))]
        assert stages == ["model_selection", "pre_prompt", "post_completion"]


def test_a_callback_without_settings_stops_the_boot(configure, launch, monkeypatch):
    monkeypatch.delenv("CHECKREIN_CONFIG", raising=False)
    process, log = launch(as_callback(configure(), [GUARD]))
    assert process.wait(90) != 0
    assert "checkrein does not start: no settings file is named" in log.read_text()
