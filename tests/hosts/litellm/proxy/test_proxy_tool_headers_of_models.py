"""Headers that a real proxy would send to tool servers for a model's tools: read with the prompt."""

from __future__ import annotations

import pytest

SSN = "123-45-6789"
TOKEN = "sk-ant-oat01-Qm7pXw2ZkLr9TdYs4VbNc"
TOOLS = [
    {"type": "mcp", "server_label": "litellm", "server_url": "litellm_proxy", "require_approval": "never"}
]
ASKED = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"input": "hi"},
}


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("name", ["x-mcp-desk-x-more", "x-mcp-auth", f"x-mcp-desk-{SSN}"])
@pytest.mark.parametrize("given", [{"model": "gpt-4o"}, {"model": "gpt-4o", "stream": True}])
def test_no_unread_text_goes_to_a_tool_server_for_a_model(proxy, path, name, given):
    answer = proxy.post(path, "pro", {name: f"I am {SSN}"}, tools=TOOLS, **ASKED[path], **given)
    assert answer.status_code == 403, answer.text
    assert "obligation_failed" in answer.text
    assert proxy.tools.headers == []
    assert proxy.upstream.requests == []


@pytest.mark.parametrize("path", ASKED)
def test_a_sealed_credential_goes_to_a_tool_server_for_a_model(proxy, path):
    headers = {"x-mcp-desk-authorization": f"Bearer {TOKEN}"}
    answer = proxy.post(path, "pro", headers, model="gpt-4o", tools=TOOLS, **ASKED[path])
    assert answer.status_code == 200, answer.text
    assert f"Bearer {TOKEN}" in str(proxy.tools.headers)


@pytest.mark.parametrize("path", ASKED)
def test_headers_of_a_request_without_such_tools_are_nobodys_text(proxy, path):
    answer = proxy.post(path, "pro", {"x-mcp-auth": SSN}, model="gpt-4o", **ASKED[path])
    assert answer.status_code == 200, answer.text
    assert SSN not in str(proxy.upstream.requests[0].headers)
