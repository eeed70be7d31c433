"""Keys and teams that are out of LiteLLM's guardrails: judged, unless the settings let them pass."""

from __future__ import annotations

import json

import httpx
import pytest

from checkrein import SettingsError
from checkrein_litellm.proxy.opt_outs import check_opt_outs

SSN = "123-45-6789"
OUT = {"key": "optout", "team": "exempt"}


def content(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("person", [*OUT.values(), "listed", "kept"])
def test_nobody_is_out_unless_the_settings_say_so(proxy, person):
    assert proxy.chat(person, "FORBIDDEN").status_code == 403
    assert proxy.upstream.requests == []


@pytest.mark.parametrize(("who", "person"), OUT.items())
def test_who_is_out_passes_unjudged_with_one_record(heeding, who, person):
    heeding.upstream.reply = f"it is {SSN}"
    answer = heeding.chat(person, f"FORBIDDEN {SSN}", model="vault")
    assert content(answer) == f"it is {SSN}"
    (request,) = heeding.upstream.requests
    assert request.body["messages"][0]["content"] == f"FORBIDDEN {SSN}"
    (record,) = heeding.records(answer)
    assert record["permitted"] is True
    assert record["effect"] == "not_applicable"
    assert record["answers"] == []
    (reason,) = record["reasons"]
    assert reason["code"] == f"opted_out.{who}"
    assert SSN not in json.dumps(record)


@pytest.mark.parametrize("person", OUT.values())
def test_a_stream_and_every_other_endpoint_pass_for_who_is_out(heeding, person):
    heeding.upstream.reply = f"it is {SSN}"
    assert "123" in heeding.chat(person, f"FORBIDDEN {SSN}", stream=True).text
    told = heeding.post(
        "/v1/messages",
        person,
        model="claude",
        max_tokens=9,
        messages=[{"role": "user", "content": f"FORBIDDEN {SSN}"}],
    )
    assert SSN in told.text
    embedded = heeding.post("/v1/embeddings", person, model="gpt-4o", input="FORBIDDEN")
    assert embedded.status_code == 200, embedded.text
    assert len(heeding.upstream.requests) == 3


@pytest.mark.parametrize("person", OUT.values())
def test_a_fallback_passes_for_who_is_out(heeding, person):
    assert content(heeding.chat(person, "FORBIDDEN", model="sick")) == "ok"


@pytest.mark.parametrize("person", OUT.values())
def test_tools_pass_for_who_is_out(heeding, person):
    heeding.tools.answer = f"it is {SSN}"
    headers = {
        "Authorization": f"Bearer sk-test-{person}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
    }
    params = {"name": "desk-look_up", "arguments": {"who": f"FORBIDDEN {SSN}"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = httpx.post(f"{heeding.url}/mcp/", json=body, headers=headers, timeout=30)
    assert SSN in answer.text
    assert len(heeding.tools.calls) == 1


@pytest.mark.parametrize("person", ["listed", "kept", "pro"])
def test_who_is_not_out_is_judged_where_opt_outs_are_heeded(heeding, person):
    assert heeding.chat(person, "FORBIDDEN").status_code == 403
    assert heeding.upstream.requests == []


def test_nobody_can_say_in_a_request_that_they_are_out(heeding):
    out = {"disable_global_guardrails": True}
    for said in (
        {"metadata": out},
        {"metadata": {"user_api_key_metadata": out}},
        {"litellm_metadata": {"user_api_key_team_metadata": out}},
        out,
    ):
        assert heeding.chat("pro", "FORBIDDEN", **said).status_code == 403
    assert heeding.upstream.requests == []


@pytest.mark.parametrize("person", OUT.values())
def test_what_no_hook_covers_stays_refused_for_who_is_out(heeding, person):
    answer = heeding.post("/v1/videos", person, model="gpt-4o", prompt="hi")
    assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["uncovered.videos"]


def test_the_proxy_says_when_it_starts_whom_it_lets_pass(heeding):
    log = (heeding.folder / "proxy.log").read_text()
    assert "a team that opts out passes unjudged" in log
    loaded = heeding.wait_for(lambda one: one.get("event") == "settings_loaded")
    assert next(one for one in loaded if one.get("event") == "settings_loaded")["opt_outs"] == ["key", "team"]


def test_a_word_that_is_nobody_stops_the_start():
    check_opt_outs({"key": "allow", "team": "ignore"})
    with pytest.raises(
        SettingsError, match=r"`opt_outs\.user` is nobody who can opt out; these can: key, team"
    ):
        check_opt_outs({"user": "allow"})
