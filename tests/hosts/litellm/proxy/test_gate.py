"""The gate in front of a proxy, driven as an ASGI server would drive it."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from fastapi import FastAPI, HTTPException
from litellm.proxy._types import UserAPIKeyAuth

from checkrein import EnforcementPoint, Settings, SettingsError
from checkrein.testing import StaticEngine, capture_decisions, deny, permit
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.proxy.asker import Asker
from checkrein_litellm.proxy.gate import Gate, passing
from checkrein_litellm.proxy.telling import Telling, headers_of
from checkrein_litellm.proxy.unseen import query

KEY = UserAPIKeyAuth(user_id="alice")
ALLOWING = {"uncovered": {"videos": "allow", "mcp_resources": "allow"}, "limits": {"text": 2_000}}


@pytest.fixture
def gate(monkeypatch, proxy_server):
    """A gate before an application that remembers what came through, and a proxy that knows one key."""

    async def authenticate(request, api_key="", **_):
        body = await request.body()
        if b"stranger" in body or api_key == "stranger":
            raise HTTPException(status_code=429, detail="no")
        if api_key == "broken":
            raise RuntimeError("the database is away")
        return KEY

    monkeypatch.setattr(
        import_module("litellm.proxy.auth.user_api_key_auth"), "user_api_key_auth", authenticate
    )
    came = []

    async def app(scope, receive, send):
        chunks = []
        while scope["type"] == "http":
            message = await receive()
            chunks.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        came.append((scope["path"], b"".join(chunks), passing(), query()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})

    def make(settings=ALLOWING):
        pep = EnforcementPoint(
            StaticEngine(permit()), Settings.model_validate(settings), record=lambda _: None
        )
        made = Gate(app, Asker(pep))
        made.came, made.pep = came, pep
        return made

    return make


async def ask(gate, path, *chunks, kind="http", **more):
    messages = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks) - 1}
        for number, chunk in enumerate(chunks or (b"",))
    ]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind,
        "path": path,
        "method": "POST",
        "headers": [],
        "extensions": {},
        **more,
    }
    await gate(scope, receive, send)
    return sent


async def test_what_is_refused_does_not_come_through_whatever_the_proxys_root(gate):
    made = gate({})
    with capture_decisions(made.pep) as decisions:
        for path, root in (("/v1/videos", ""), ("/llm/v1/videos", "/llm"), ("/llm/v1/videos/", "/llm/")):
            sent = await ask(made, path, b'{"prompt": "hi"}', root_path=root)
            assert sent[0]["status"] == 403
            error = json.loads(sent[1]["body"])["error"]
            assert error["provider_specific_fields"]["reasons"] == ["uncovered.videos"]
    assert made.came == []
    assert [one.request.subject.id for one in decisions] == ["alice"] * 3


async def test_what_is_allowed_comes_through_whole_and_is_known_to_the_hooks(gate):
    made = gate()
    with capture_decisions(made.pep) as decisions:
        await ask(made, "/v1/videos", b'{"prompt":', b' "hi"}')
    assert made.came == [("/v1/videos", b'{"prompt": "hi"}', "videos", "")]
    assert [(one.permitted, one.reasons[0].code) for one in decisions] == [(True, "uncovered.videos")]


async def test_a_body_over_any_limit_comes_through_whole(gate):
    made = gate()
    chunks = [b"x" * 1_500] * 4
    await ask(made, "/v1/videos", *chunks)
    assert made.came[0][1] == b"".join(chunks)


async def test_what_is_governed_comes_through_and_its_query_is_known(gate):
    made = gate({})
    await ask(made, "/v1/chat/completions", b"{}", query_string=b"q=one+two%20three")
    assert made.came == [("/v1/chat/completions", b"{}", None, "q=one two three")]


@pytest.mark.parametrize("body", [b"stranger", b'{"user": "stranger"}'])
async def test_whom_the_proxy_does_not_know_is_told_so_and_comes_no_further(gate, body):
    made = gate()
    with capture_decisions(made.pep) as decisions:
        sent = await ask(made, "/v1/videos", body)
    assert sent[0]["status"] == 429
    assert json.loads(sent[1]["body"])["error"]["type"] == "auth_error"
    assert made.came == decisions == []


async def test_a_budget_that_authentication_reserved_is_given_back(gate, monkeypatch):
    reserving = UserAPIKeyAuth(user_id="alice", budget_reservation={"reserved_cost": 1.0, "entries": []})

    async def authenticate(request, **_):
        return reserving

    made = gate()
    monkeypatch.setattr(
        import_module("litellm.proxy.auth.user_api_key_auth"), "user_api_key_auth", authenticate
    )
    await ask(made, "/v1/videos")
    assert reserving.budget_reservation["finalized"] is True
    assert len(made.came) == 1


async def test_an_authentication_that_breaks_lets_nobody_through(gate, monkeypatch):
    async def broken(request, **_):
        raise RuntimeError("the database is away")

    made = gate()
    monkeypatch.setattr(import_module("litellm.proxy.auth.user_api_key_auth"), "user_api_key_auth", broken)
    sent = await ask(made, "/v1/videos")
    assert sent[0]["status"] == 401
    assert "database" not in str(sent)
    assert made.came == []


async def test_a_websocket_is_closed_where_the_server_knows_no_other_way(gate):
    made = gate()
    sent = await ask(made, "/v1/chat/completions", kind="websocket")
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "refused"}]
    assert made.came == []


async def test_a_message_to_an_mcp_server_is_looked_at_and_comes_through_whole(gate):
    made = gate({})
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    await ask(made, "/mcp/", body[:10], body[10:])
    assert made.came == [("/mcp/", body, None, "")]
    sent = await ask(made, "/mcp", body.replace(b"tools/list", b"prompts/list"))
    assert sent[0]["status"] == 403
    allowing = gate()
    await ask(allowing, "/mcp", body.replace(b"tools/list", b"prompts/list"))
    assert allowing.came[-1][2] == "mcp_resources"


def test_only_an_application_of_fastapis_can_be_stood_in_front_of(gate):
    made = gate({})
    with pytest.raises(SettingsError, match="no FastAPI application"):
        Gate.install(object(), made._asker)


async def test_a_gate_that_is_installed_twice_stands_there_once(gate):
    first, second = gate({}), gate()
    app = FastAPI()
    app.middleware_stack = app.build_middleware_stack()
    Gate.install(app, first._asker)
    installed = app.middleware_stack
    Gate.install(app, second._asker)
    assert app.middleware_stack is installed
    assert installed._asker is second._asker


async def told(call, status, body=b"{}"):
    sent = []

    async def send(message):
        sent.append(message)

    telling = Telling(send, "/v1/chat/completions")
    telling.call = call
    await telling({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await telling({"type": "http.response.body", "body": body})
    return sent


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_an_error_of_a_denied_call_is_the_denial(gate, status):
    asker = gate({})._asker
    call = asker.begin(KEY, {})
    with pytest.raises(CallDenied):
        asker.refuse(call, call.identity.subject, "no", "no")
    sent = await told(call, status)
    assert [one["type"] for one in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 403
    assert json.loads(sent[1]["body"])["error"]["type"] == "policy_denied"
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(sent[1]["body"])).encode()


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_an_answer_of_another_call_stays_as_it_is(gate, status):
    sent = await told(gate({})._asker.begin(KEY, {}), status, b"own")
    assert sent[0]["status"] == status
    assert sent[1]["body"] == b"own"


def test_headers_say_what_passed_and_hold_nothing_that_breaks_them():
    pep = EnforcementPoint(StaticEngine(deny("no")), record=lambda _: None)
    call = Asker(pep).begin(KEY, {})
    call.failed_open = True
    call.would_deny += ["pii.us_ssn", "pii.us_ssn", "b"]
    headers = headers_of(call)
    assert headers["x-checkrein-failed-open"] == "true"
    assert headers["x-checkrein-would-deny"] == "pii.us_ssn,b"
    call.would_deny += ["x\r\nset-cookie: a=b"]
    assert "x-checkrein-would-deny" not in headers_of(call)
