"""What a message to an MCP server asks for, and what of it no hook would hear of."""

from __future__ import annotations

import json

import pytest

from checkrein_litellm.proxy.body import asks_for_tools, calls_tool


def message(method="tools/call", **params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def said(one):
    return json.dumps(one).encode()


@pytest.mark.parametrize("name", ["inputResponses", "input_responses", "requestState", "request_state"])
@pytest.mark.parametrize("value", ["FORBIDDEN", {"1": {"content": {"who": "FORBIDDEN"}}}, {}, ""])
def test_what_answers_a_servers_own_question_is_no_call_of_a_tool_alone(name, value):
    asked = message(name="look_up", arguments={}, **{name: value})
    assert not asks_for_tools(said(asked))
    assert not asks_for_tools(said([message("tools/list"), asked]))


@pytest.mark.parametrize("params", [{}, {"inputResponses": None}, {"arguments": {"inputResponses": "x"}}])
def test_a_call_of_a_tool_is_one(params):
    assert asks_for_tools(said(message(name="look_up", **params)))
    assert calls_tool(said(message(name="look_up", **params)), "/mcp/")


NO_CALLS = [
    message("tools/list", name="look_up"),
    message(name="mcp_tool_search"),
    message(name="mcp_tool_call"),
    message(name=["look_up"]),
    message(),
    [message(name="look_up")],
    {"name": "look_up"},
    {"method": "tools/call", "params": "look_up"},
    None,
]


@pytest.mark.parametrize("read", NO_CALLS, ids=range(len(NO_CALLS)))
def test_what_is_no_call_of_one_tool_is_none(read):
    assert not calls_tool(said(read), "/mcp/")


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'"look_up"'])
def test_what_cannot_be_read_is_no_call(body):
    assert not calls_tool(body, "/mcp/")
    assert not calls_tool(body, "/mcp-rest/tools/call")


def test_a_call_over_rest_is_one():
    assert calls_tool(said({"name": "look_up", "arguments": {}}), "/mcp-rest/tools/call")
    assert not calls_tool(said({"name": "mcp_tool_search"}), "/mcp-rest/tools/call")
