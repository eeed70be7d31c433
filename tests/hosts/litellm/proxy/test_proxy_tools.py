"""The tools of an MCP server behind a real proxy: what reaches the server, and what comes back."""

from __future__ import annotations

import json

import httpx
import pytest

SSN = "123-45-6789"


def rpc(proxy, person, method, path="/mcp/", **params):
    headers = {
        "Authorization": f"Bearer sk-test-{person}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = httpx.post(f"{proxy.url}{path}", json=body, headers=headers, timeout=30)
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    return json.loads(lines[-1] if lines else answer.text)


def call(proxy, person, tool="look_up", **arguments):
    return rpc(proxy, person, "tools/call", name=f"desk-{tool}", arguments=arguments)


def rest(proxy, person, tool="look_up", **arguments):
    listed = httpx.get(
        f"{proxy.url}/mcp-rest/tools/list", headers={"Authorization": f"Bearer sk-test-{person}"}, timeout=30
    ).json()["tools"]
    server = listed[0]["mcp_info"]["server_id"]
    body = {"server_id": server, "name": tool, "arguments": arguments}
    return proxy.post("/mcp-rest/tools/call", person, **body)


def recorded(proxy, stage):
    barrier = proxy.chat("enterprise", "hi").headers["x-checkrein-decision-id"]
    log = proxy.wait_for(lambda one: one.get("decision_id") == barrier)
    return [one for one in log if one.get("stage") == stage]


def test_a_permitted_call_arrives_and_both_ways_are_on_record(proxy):
    proxy.tools.answer = f"it is {SSN}"
    answer = call(proxy, "enterprise", who=SSN)
    assert f"it is {SSN}" in json.dumps(answer["result"])
    assert proxy.tools.calls == [{"who": SSN, "why": ""}]
    before, after = recorded(proxy, "tool_call")[-1], recorded(proxy, "tool_result")[-1]
    assert before["input"]["resource"]["type"] == "tool"
    assert before["input"]["resource"]["id"].endswith("look_up")
    assert before["input"]["subject"]["id"] == "erin"
    assert before["call_id"] == after["call_id"]
    assert before["permitted"]
    assert after["permitted"]


@pytest.mark.parametrize("way", [call, rest])
def test_no_raw_character_reaches_the_server_or_comes_back(proxy, way):
    proxy.tools.answer = f"it is {SSN}"
    answer = way(proxy, "pro", who=SSN, why="because")
    told = answer if isinstance(answer, dict) else answer.json()
    assert SSN not in json.dumps(told)
    assert "it is [REDACTED:ssn]" in json.dumps(told)
    assert proxy.tools.calls == [{"who": "[REDACTED:ssn]", "why": "because"}]


def test_no_raw_character_comes_back_in_a_field(proxy):
    proxy.tools.answer = f"it is {SSN}"
    answer = call(proxy, "pro", "person", who="Ann")
    assert SSN not in json.dumps(answer)
    assert "it is [REDACTED:ssn]" in json.dumps(answer)


@pytest.mark.parametrize("way", [call, rest])
@pytest.mark.parametrize(("person", "who"), [("free", SSN), ("pro", "FORBIDDEN"), ("nobody", "Ann")])
def test_a_denied_call_does_not_reach_the_server(proxy, way, person, who):
    if way is rest and person == "nobody":
        return  # nobody is shown any tool there
    answer = way(proxy, person, who=who)
    told = answer if isinstance(answer, dict) else answer.json()
    assert "denied by policy" in json.dumps(told)
    assert "nothing" not in json.dumps(told)
    assert proxy.tools.calls == []


@pytest.mark.parametrize("way", [call, rest])
@pytest.mark.parametrize("tool", ["look_up", "person"])
def test_a_denied_answer_does_not_come_back(proxy, way, tool):
    proxy.tools.answer = "this is FORBIDDEN to you"
    answer = way(proxy, "pro", tool, who="Ann")
    told = answer if isinstance(answer, dict) else answer.json()
    assert "this is" not in json.dumps(told)
    assert "denied by policy" in json.dumps(told)
    assert len(proxy.tools.calls) == 1


def test_an_engine_without_an_answer_denies_a_call(proxy):
    assert "failure.invalid_answer" in json.dumps(call(proxy, "enterprise", who="nonsense"))
    assert proxy.tools.calls == []


def test_a_tool_whose_description_is_denied_is_not_shown(proxy):
    listed = rpc(proxy, "pro", "tools/list")["result"]["tools"]
    assert sorted(one["name"] for one in listed) == ["desk-look_up", "desk-person"]
    assert "FORBIDDEN" not in json.dumps(listed)


def test_monitoring_calls_every_tool(proxy):
    proxy.tools.answer = "FORBIDDEN"
    assert "FORBIDDEN" in json.dumps(call(proxy, "watched", who="FORBIDDEN")["result"])
    assert proxy.tools.calls == [{"who": "FORBIDDEN", "why": ""}]


def test_a_tool_that_a_model_calls_through_the_proxy_is_judged(proxy):
    proxy.upstream.reply = [
        {"name": "desk-look_up", "arguments": {"who": "FORBIDDEN"}},
        "done",
    ]
    tools = [
        {"type": "mcp", "server_label": "litellm", "server_url": "litellm_proxy", "require_approval": "never"}
    ]
    proxy.chat("pro", "hi", tools=tools)
    assert proxy.tools.calls == []


OTHERS = [
    "resources/list",
    "resources/read",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "x",
    5,
    None,
]


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("path", ["/mcp/", "/desk/mcp", "/mcp/proxy"])
def test_what_is_no_tool_is_refused(proxy, method, path):
    told = rpc(proxy, "enterprise", method, path, uri="note://1", name="x")
    assert told["error"]["provider_specific_fields"]["reasons"] == ["uncovered.mcp_resources"]


def test_nothing_hides_among_several_messages(proxy):
    headers = {"Authorization": "Bearer sk-test-enterprise", "Accept": "application/json, text/event-stream"}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": {"uri": "note://1"}},
    ]
    answer = httpx.post(f"{proxy.url}/mcp/", json=messages, headers=headers, timeout=30)
    assert answer.status_code in {401, 403}  # the proxy authenticates no list


def test_a_message_over_the_limit_is_refused(proxy):
    told = rpc(proxy, "enterprise", "tools/call", name="desk-look_up", arguments={"who": "x" * 21_000})
    assert "limit.text" in json.dumps(told)
    assert proxy.tools.calls == []
    told = rpc(proxy, "enterprise", "tools/call", name="desk-look_up", arguments={"who": "x" * 500_000})
    assert "uncovered.mcp_resources" in json.dumps(told)
    assert proxy.tools.calls == []
