"""Every address that LiteLLM's proxy serves: governed, listed as uncovered, or of no model's concern."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from typing import get_args

import httpx
import pytest

from checkrein import SettingsError
from checkrein_litellm.endpoints import ENDPOINTS
from checkrein_litellm.proxy.uncovered import UNCOVERED, check_names, governed, uncovered_call, uncovered_path

# Modules of LiteLLM whose addresses administrate, authenticate, observe or describe.
ADMINISTRATION = re.compile(
    r"litellm\.proxy\.(?:management_endpoints|lens|spend_tracking|ui_crud_endpoints|guardrails"
    r"|policy_engine|prompts|public_endpoints|health_endpoints|common_utils|credential_endpoints|memory"
    r"|plugin_routes|discovery_endpoints|caching_routes|tracing_endpoints|analytics_endpoints"
    r"|logging_endpoints|moyai_endpoints|_lazy_features|client|anthropic_endpoints\.claude_code_endpoints"
    r"|anthropic_endpoints\.gateway_endpoints|a2a\.endpoints|vector_store_endpoints\.management_endpoints"
    r"|search_endpoints\.search_tool_management|pass_through_endpoints\.pass_through_endpoints"
    r"|_experimental\.mcp_server\.(?:byok_oauth_endpoints|discoverable_endpoints))\b.*"
    r"|litellm_enterprise\..*|fastapi\..*|starlette\..*"
)
# Addresses of other modules that call no model.
OTHER = re.compile(
    r"/|/ui.*|/swagger.*|/_next.*|/litellm-asset-prefix/.*|/get_.*|/fallback/.*|/onboarding/.*|/sso/.*"
    r"|(?:/v1)?/models?(?:/[^:]+)?|(?:/v1|/v2)?/model/.+|/openai/deployments/.+/models"
    r"|/v1/agents(?:/.*)?|/agents?(?:/.*)?|/(?:v1/)?a2a/[^/]+/\.well-known/.+|/api/event_logging/batch"
    r"|(?:/v1)?/search/tools|/mcp-rest/test/.+|/utils/(?:model_info|supported_openai_params|transform_request)"
    r"|/(?:config|settings|reload|schedule|invitation|login|logout|queue|alerting|routes|v2/login|v3/login"
    r"|model_group|get|adaptive_router|cache|credentials|test|update|active|debug|callbacks|in_product_nudges|email)(?:/.*)?"
)


@pytest.fixture(scope="module")
def routes(proxy_server):
    """Address and module of each route, lazily registered ones included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LiteLLM's own code, about itself
        import_module("litellm.proxy._lazy_features").register_all_features(proxy_server.app)
        return sorted(set(served(proxy_server.app.routes)))


def served(routes):
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        for one in contexts() if contexts is not None else [route]:
            inner = getattr(one, "route", one)
            path = getattr(one, "path", None) or getattr(inner, "path", None)
            if path:
                yield path, getattr(getattr(inner, "endpoint", None), "__module__", "")


def example(path):
    """An address that the route serves."""
    return re.sub(r"\{[^}]*\}", "x", re.sub(r"\{[^}]*:path\}", "x/y", path))


def test_every_route_is_classified(routes):
    assert len(routes) > 500
    unknown = [
        (path, module)
        for path, module in routes
        if not ADMINISTRATION.fullmatch(module)
        and not governed(example(path))
        and uncovered_path(example(path)) is None
        and not OTHER.fullmatch(example(path))
    ]
    assert unknown == []


def test_no_administration_is_in_the_way_of_the_gate(routes):
    caught = [
        (path, uncovered_path(example(path)))
        for path, module in routes
        if ADMINISTRATION.fullmatch(module) and uncovered_path(example(path)) is not None
    ]
    assert caught == []


def test_every_uncovered_endpoint_is_really_served(routes):
    served = {uncovered_path(example(path)) for path, _ in routes}
    assert {one.name for one in UNCOVERED} - served == {"mcp_resources"}  # at the addresses of tools


def test_every_call_type_that_a_proxy_asks_about_is_classified():
    known = import_module("litellm.proxy.common_request_processing").ProxyRouteType
    unknown = [
        one
        for one in get_args(known)
        if one != "call_mcp_tool" and one not in ENDPOINTS and uncovered_call(one) is None
    ]
    assert unknown == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", None),
        ("/openai/deployments/gpt-4o/chat/completions", None),
        ("/v1beta/models/gemini:generateContent", None),
        ("/v1beta/models/gemini:countTokens", "token_counting"),
        ("/v1/messages/count_tokens", "token_counting"),
        ("/openai/v1/responses", None),
        ("/openai/v1/responses/resp_1", "stored_responses"),
        ("/openai/v1/responses/input_tokens", "token_counting"),
        ("/v1/files/x/content", "file_content"),
        ("/v1/files/x", "files"),
        ("/vertex_ai/v1/files", "files"),
        ("/openai/v1/realtime", "realtime"),
        ("/openai/v1/whatever", "pass_through"),
        ("/anthropic/v1/messages", "pass_through"),
        ("/key/generate", None),
        ("/health/liveliness", None),
    ],
)
def test_an_address_has_its_name(path, name):
    assert uncovered_path(path) == name


def test_a_misspelt_endpoint_is_an_error_that_names_the_nearest():
    check_names(["realtime"])
    with pytest.raises(SettingsError, match="is `realtime` meant"):
        check_names(["realtme"])
    with pytest.raises(SettingsError, match="these are: agents, assistants"):
        check_names(["xxxxx"])


def test_the_table_is_sorted_and_each_call_has_one_name():
    names = [one.name for one in UNCOVERED]
    assert names == sorted(names)
    calls = [call for one in UNCOVERED for call in one.calls]
    assert len(calls) == len(set(calls))


WORD = "FORBIDDEN"
EVERYTHING = {
    "model": "gpt-4o",
    "prompt": WORD,
    "input": WORD,
    "messages": [{"role": "user", "content": WORD}],
    "contents": [{"role": "user", "parts": [{"text": WORD}]}],
    "query": WORD,
    "documents": [WORD],
    "instructions": WORD,
    "content": WORD,
    "max_tokens": 5,
    "voice": "alloy",
    "priority": 0,
    "name": "x",
    "role": "user",
    "arguments": {"who": WORD},
    "custom_llm_provider": "openai",
    "call_endpoint": True,
    "jsonrpc": "2.0",
    "id": 1,
    "method": "message/send",
    "params": {"message": {"role": "user", "parts": [{"kind": "text", "text": WORD}], "messageId": "m"}},
}


def test_no_address_lets_a_forbidden_prompt_reach_a_provider(routes, proxy):
    addresses = sorted(
        {
            example(path)
            .replace("/models/x/y:", "/models/gpt-4o:")
            .replace("/deployments/x/y/", "/deployments/gpt-4o/")
            for path, module in routes
            if not ADMINISTRATION.fullmatch(module) and not OTHER.fullmatch(example(path))
        }
    )
    assert len(addresses) > 150
    leaked, served = [], []
    headers = {"Authorization": "Bearer sk-test-pro"}
    with httpx.Client(base_url=proxy.url, headers=headers, timeout=30) as client:
        for address in addresses:
            if address.startswith(("/mcp", "/toolset", "/x/mcp")):
                continue  # sessions of MCP are tried in the tests of tools
            proxy.upstream.clear()
            answer = client.post(address, json=EVERYTHING)
            if WORD in proxy.upstream.texts or WORD in "".join(one.path for one in proxy.upstream.requests):
                leaked.append(address)
            if answer.status_code == httpx.codes.OK:
                served.append(address)
    assert leaked == []
    assert served == []
