"""Headers that a real proxy sends on to a tool server: read with the call, and kept from listings."""

from __future__ import annotations

import json

import httpx
import pytest

SSN = "123-45-6789"
WORD = "FORBIDDEN"
TOKEN = "sk-ant-oat01-Qm7pXw2ZkLr9TdYs4VbNc"
OWN = "sk-test-pro"
# By header: how a server of the tests gets it.
SENT = {"x-note": "x-note", "x-mcp-desk-x-more": "x-more"}
AUTH = {"x-api-key": "x-api-key", "x-mcp-desk-authorization": "authorization"}
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "client", "version": "1"},
}


def asked(proxy, headers, method, params, path="/mcp/"):
    given = {
        "Authorization": f"Bearer {OWN}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
        **headers,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return httpx.post(f"{proxy.url}{path}", json=body, headers=given, timeout=30).text


def called(proxy, headers):
    return asked(proxy, headers, "tools/call", {"name": "desk-look_up", "arguments": {"who": "Ann"}})


def listed(proxy, headers):
    return asked(proxy, headers, "tools/list", {})


def listed_over_rest(proxy, headers):
    given = {"Authorization": f"Bearer {OWN}", **headers}
    return httpx.get(f"{proxy.url}/mcp-rest/tools/list", headers=given, timeout=30).text


def called_over_rest(proxy, headers):
    server = json.loads(listed_over_rest(proxy, {}))["tools"][0]["mcp_info"]["server_id"]
    proxy.tools.headers.clear()
    body = {"server_id": server, "name": "look_up", "arguments": {"who": "Ann"}}
    given = {"Authorization": f"Bearer {OWN}", **headers}
    return httpx.post(f"{proxy.url}/mcp-rest/tools/call", json=body, headers=given, timeout=30).text


def heard(proxy):
    return str(proxy.tools.headers)


CALLS = [called, called_over_rest]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", SENT)
def test_a_header_goes_with_a_permitted_call(forwarding, call, name):
    assert "nothing" in call(forwarding, {name: "hello"})
    assert "hello" in {one.get(SENT[name]) for one in forwarding.tools.headers}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["X-Note", "x-mcp-auth", *SENT, *AUTH])
def test_what_is_found_in_a_header_is_judged(forwarding, call, name):
    answer = call(forwarding, {name: f"I am {SSN}", "Authorization": "Bearer sk-test-free"})
    assert "pii.ssn" in answer
    assert forwarding.tools.calls == forwarding.tools.headers == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", SENT)
def test_what_may_be_found_in_a_header_goes_with_the_call(forwarding, call, name):
    assert "nothing" in call(forwarding, {name: SSN, "Authorization": "Bearer sk-test-enterprise"})
    assert SSN in {one.get(SENT[name]) for one in forwarding.tools.headers}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["X-Note", "x-mcp-auth", *SENT, *AUTH])
def test_a_redaction_of_a_header_cannot_be_carried_out(forwarding, call, name):
    assert "obligation_failed" in call(forwarding, {name: f"I am {SSN}"})
    assert forwarding.tools.calls == forwarding.tools.headers == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("text", ["hello", TOKEN], ids=["a word", "a sealed credential"])
def test_the_name_of_a_header_is_judged(forwarding, call, text):
    assert "obligation_failed" in call(forwarding, {f"x-mcp-desk-{SSN}": text})
    assert "obligation_failed" in call(forwarding, {f"x-mcp-{SSN}-authorization": text})
    assert forwarding.tools.calls == forwarding.tools.headers == []


@pytest.mark.parametrize("name", AUTH)
def test_a_sealed_credential_is_no_text_and_policy_is_told_of_it(forwarding, name):
    assert "nothing" in called(forwarding, {name: f"Bearer {TOKEN}"})
    assert f"Bearer {TOKEN}" in {one.get(AUTH[name]) for one in forwarding.tools.headers}
    assert "credential" in {one["kind"] for one in last_call(forwarding)["context"]["uninspected"]}


def test_a_callers_own_key_is_nothing_to_be_read(forwarding):
    assert "nothing" in called(forwarding, {"x-api-key": OWN})
    told = last_call(forwarding)
    assert "uninspected" not in told["context"]
    assert OWN not in json.dumps(told)


def test_headers_that_go_to_no_server_are_nobodys_text(forwarding):
    given = {"x-other": WORD, "cookie": SSN, "x-mcp-servers": "desk", "user-agent": WORD}
    assert "nothing" in called(forwarding, given)
    assert WORD not in heard(forwarding)
    assert SSN not in heard(forwarding)


def test_a_session_is_judged_by_the_headers_of_each_request(forwarding):
    given = {"Authorization": f"Bearer {OWN}", "Accept": "application/json, text/event-stream"}
    abilities = {**INITIALIZE, "capabilities": {"elicitation": {}}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": abilities}
    begun = httpx.post(f"{forwarding.url}/mcp/", json=body, headers={**given, "x-note": SSN}, timeout=30)
    session = {"mcp-session-id": begun.headers["mcp-session-id"]}
    for name in SENT:
        assert "nothing" in called(forwarding, session)
        assert "obligation_failed" in called(forwarding, {**session, name: SSN})
        assert "look_up" in listed(forwarding, {**session, name: SSN})
    assert len(forwarding.tools.calls) == len(SENT)
    assert SSN not in heard(forwarding)


# What nobody judges before a server hears of it


@pytest.mark.parametrize("ask", [listed, listed_over_rest])
@pytest.mark.parametrize("name", ["X-Note", "x-mcp-auth", *SENT, *AUTH])
def test_no_text_goes_to_a_server_with_a_listing(forwarding, ask, name):
    assert "look_up" in ask(forwarding, {name: f"a {WORD} word"})
    assert "look_up" in ask(forwarding, {name: f"I am {SSN}", f"x-mcp-desk-{SSN}": TOKEN})
    assert forwarding.tools.headers
    assert WORD not in heard(forwarding)
    assert SSN not in heard(forwarding)


@pytest.mark.parametrize("ask", [listed, listed_over_rest])
def test_a_sealed_credential_goes_with_a_listing(forwarding, ask):
    assert "look_up" in ask(forwarding, {"x-mcp-desk-authorization": f"Bearer {TOKEN}"})
    assert f"Bearer {TOKEN}" in heard(forwarding)


OTHERS = {
    "a beginning": ("initialize", INITIALIZE),
    "a listing that names a tool": ("tools/list", {"name": "desk-look_up", "arguments": {}}),
    "a search for tools": ("tools/call", {"name": "mcp_tool_search", "arguments": {"query": "x"}}),
    "a call by way of a search": ("tools/call", {"name": "mcp_tool_call", "arguments": {"name": "x"}}),
    "a call without a name": ("tools/call", {}),
}


@pytest.mark.parametrize("path", ["/mcp/", "/desk/mcp"])
@pytest.mark.parametrize("other", OTHERS)
def test_no_text_goes_to_a_server_with_anything_but_a_call(forwarding, path, other):
    asked(forwarding, dict.fromkeys([*SENT, "x-mcp-auth"], WORD), *OTHERS[other], path)
    assert WORD not in heard(forwarding)


def last_call(proxy):
    barrier = proxy.chat("enterprise", "hi").headers["x-checkrein-decision-id"]
    log = proxy.wait_for(lambda one: one.get("decision_id") == barrier)
    return [one for one in log if one.get("stage") == "tool_call"][-1]["input"]
