"""How an address can be spelt: whatever LiteLLM's router serves is what the gate took it for."""

from __future__ import annotations

import re
import warnings
from importlib import import_module

import pytest
from fastapi import FastAPI

from checkrein_litellm.proxy.address import roots_of, route_of
from checkrein_litellm.proxy.body import asks_for_tools, is_mcp
from checkrein_litellm.proxy.uncovered import UNCOVERED, governed, uncovered_path

# What regular expressions, servers and file systems treat in ways of their own; decoded, as ASGI gives it.
ODD = [
    *("\n", "\r", "\r\n", "\n\n", "\t", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"),
    *(" ", "\x00", "%", "%0A", "%2F", "?", "#", ";", ";a=b", ":", ".", "..", "\\", "*", "\u00e9", "\ufffd"),
]
HI = [{"role": "user", "content": "hi"}]
SETTINGS = {
    "version": 1,
    "engine": {"scripted": {}},
    "detectors": {stage: ["ssn"] for stage in ("pre_prompt", "post_completion", "tool_call", "tool_result")},
    "decision_log": {"to": "decisions.jsonl"},
}
ASSISTANTS = {"custom_llm_provider": "openai", "litellm_params": {"api_key": "sk-upstream"}}
# A part of an address that could be taken for another endpoint's.
WORDS = ["mcp", "sse", "tools", "discover", "compact", "input_tokens", "models", "content", "messages"]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
PARAMETER = re.compile(r"\{[^}]*\}")


@pytest.fixture(scope="module")
def table(proxy_server):
    """Pattern, address and methods of each route, in the router's order, lazily registered ones included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LiteLLM's own code, about itself
        import_module("litellm.proxy._lazy_features").register_all_features(proxy_server.app)
        return list(entries(proxy_server.app.routes))


def entries(routes):
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        for one in contexts() if contexts is not None else [route]:
            inner = getattr(one, "route", one)
            inner = getattr(inner, "original_route", None) or inner
            path = getattr(one, "path", None) or getattr(inner, "path", None)
            pattern = getattr(one, "path_regex", None) or getattr(inner, "path_regex", None)
            methods = getattr(one, "methods", None) or getattr(inner, "methods", None) or METHODS
            if path and pattern is not None:
                yield pattern, path, frozenset(methods)


def filled(path, number=-1, odd="x"):
    """An address that the route serves, with something odd in one of its parameters."""
    left = iter(range(len(PARAMETER.findall(path))))
    return PARAMETER.sub(lambda found: odd if next(left) == number else plain(found[0]), path)


def plain(parameter):
    return "x/y" if parameter.endswith(":path}") else "x"


def kind(path):
    """What the gate takes an address for."""
    route = route_of({"path": path})
    return uncovered_path(route) or ("mcp" if is_mcp(route) else governed(route))


def strictness(taken):
    """How much is asked before the router sees a request: a refusal outranks a look into it."""
    return 2 if taken in {one.name for one in UNCOVERED} else int(taken == "mcp")


def spellings(path):
    for odd in ODD:
        yield filled(path) + odd
        yield odd + filled(path)
        for number in range(len(PARAMETER.findall(path))):
            for value in (odd, f"x{odd}", f"{odd}x", f"x{odd}y"):
                yield filled(path, number, value)
    for word in WORDS:
        for number in range(len(PARAMETER.findall(path))):
            yield filled(path, number, word)


def test_an_odd_spelling_of_an_address_is_taken_for_what_the_router_serves_there(table):
    uncovered = [entry for entry in table if kind(filled(entry[1])) not in {True, False}]
    assert {kind(filled(path)) for _, path, _ in uncovered} >= {one.name for one in UNCOVERED} - {
        "mcp_resources"
    }
    wrong = set()
    for _, path, methods in uncovered:
        for spelt in set(spellings(path)):
            for method in methods & {"POST", "GET"}:
                served = next(
                    (one for pattern, one, known in table if method in known and pattern.match(spelt)), None
                )
                if served is None:
                    continue
                taken, meant = kind(spelt), kind(filled(served))
                # Whatever else is served where a list is, the hook is asked about by its call's name.
                listed = spelt.removeprefix("/v1") in {"/a2a/discover", "/search/tools", "/cursor/models"}
                if not listed and strictness(taken) < strictness(meant):
                    wrong.add((method, spelt, str(meant), str(taken)))
    assert sorted(wrong) == []


LISTS = ["/v1/search/tools", "/a2a/discover", "/cursor/models"]


@pytest.mark.parametrize("path", LISTS)
def test_a_list_that_is_nobodys_text_is_no_model_to_whatever_stands_behind_it(path):
    assert uncovered_path(path) is None
    for odd in ("\n", "\n\n", "x", " "):
        assert uncovered_path(path + odd) is not None


def test_a_break_at_the_end_is_no_other_address():
    for path in ("/v1/assistants\n", "/llm/v1/assistants\n", "/v1/assistants/\n"):
        assert kind_under("/llm", path) == "assistants"
    assert route_of({"path": "/v1/responses/\n"}) == "/v1/responses/\n"
    assert route_of({"path": "\n"}) == "/"


def kind_under(root, path):
    return uncovered_path(route_of({"path": path, "root_path": root}))


async def test_a_prefix_that_litellm_takes_off_further_inside_is_taken_off_by_the_gate():
    middleware = import_module("litellm.proxy.middleware.per_request_root_path_middleware")
    app = FastAPI()
    app.add_middleware(
        middleware.PerRequestRootPathMiddleware,
        root_paths=middleware.normalize_root_paths(["/one", "/one/two/"]),
    )
    roots = roots_of(app)
    for path in (
        "/one/v1/assistants",
        "/one/two/v1/assistants",
        "/v1/assistants",
        "/one/two/v1/assistants\n",
    ):
        assert uncovered_path(route_of({"path": path, "root_path": "/llm"}, roots)) == "assistants"
    assert route_of({"path": "/one"}, roots) == "/one"
    assert route_of({"path": "/onetwo/v1/files"}, roots) == "/onetwo/v1/files"


UNREADABLE = [b"", b"{", b'{"method": "prompts/list", "x": ' + b"9" * 5_000 + b"}", b"\xff", b"[" * 100_000]


@pytest.mark.parametrize("body", UNREADABLE, ids=["nothing", "cut", "number", "bytes", "deep"])
def test_a_message_that_cannot_be_read_asks_for_more_than_tools(body):
    assert not asks_for_tools(body)


SPELLINGS = [
    "/v1/assistants%0A",
    "/v1/threads%0A",
    "/v1/threads/x%0A/messages",
    "/v1/threads/%0A/runs",
    "/v1/messages/count_tokens%0A",
    "/v1/responses/input_tokens%0A",
    "/v1beta/models/gemini:countTokens%0A",
    "/queue/chat/completions%0A",
    "/openai/v1/responses/compact%0A",
]


def test_no_line_break_in_an_address_gets_around_the_gate(serve, configure, monkeypatch):
    monkeypatch.setenv("SERVER_ROOT_PATHS", "/tenant")
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "FORBIDDEN"}],
        "input": "FORBIDDEN",
        "contents": [{"role": "user", "parts": [{"text": "FORBIDDEN"}]}],
        "role": "user",
        "content": "FORBIDDEN",
    }
    settings = {**SETTINGS, "uncovered": {}}
    with serve(lambda **parts: configure(settings=settings, assistant_settings=ASSISTANTS, **parts)) as proxy:
        for path in SPELLINGS:
            for root in ("", "/tenant"):
                answer = proxy.post(root + path, "enterprise", **body)
                assert answer.status_code == 403, (root + path, answer.text)
                assert "uncovered." in answer.text
        answer = proxy.post("/tenant/v1/assistants", "enterprise", **body)
        assert answer.json()["error"]["provider_specific_fields"]["reasons"] == ["uncovered.assistants"]
        # What is governed is judged, and served, under its odd name as under its own.
        assert proxy.post("/v1/chat/completions%0A", "pro", **body).status_code == 403
        assert proxy.post("/tenant/v1/chat/completions", "pro", **body).status_code == 403
        assert not any(b"FORBIDDEN" in one.raw for one in proxy.upstream.requests)
        answer = proxy.post("/tenant/v1/chat/completions", "enterprise", model="gpt-4o", messages=HI)
        assert answer.status_code == 200, answer.text
