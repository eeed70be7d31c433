"""Stands in front of a proxy's endpoints that no hook covers: refused after authentication, or let pass."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from fastapi import FastAPI, Request
from litellm.proxy._types import UserAPIKeyAuth

from checkrein import Entity, SettingsError

from .denial import CallDenied
from .peeking import RESOURCES, is_mcp, peeked
from .telling import Telling
from .uncovered import SESSION, allowed, uncovered_path

if TYPE_CHECKING:
    from .asking import Asker

__all__ = ["Gate", "passing", "query"]

_log = logging.getLogger("checkrein.litellm")
_passing: ContextVar[str | None] = ContextVar("passing", default=None)
_query: ContextVar[str] = ContextVar("query", default="")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION: Final = 1008


def passing() -> str | None:
    """The uncovered endpoint that this request was let through to, if it was."""
    return _passing.get()


def query() -> str:
    """The query of this request's address, decoded; hooks of LiteLLM do not see it."""
    return _query.get()


class Gate:
    """An ASGI application around the proxy.

    Args:
        app: the proxy.
        asker: puts refusals and passages on record.
    """

    def __init__(self, app: App, asker: Asker) -> None:
        self._app = app
        self._asker = asker

    @classmethod
    def install(cls, app: Any, asker: Asker) -> None:
        """Stand in front of a proxy that is starting or not yet built.

        Raises:
            SettingsError: it is no application that one can stand in front of.
        """
        if not isinstance(app, FastAPI):
            raise SettingsError("LiteLLM's proxy is no FastAPI application any more; pin an older LiteLLM")
        for name, word in asker.pep.settings.uncovered.items():
            if word == "allow":
                _log.warning("`%s` passes unjudged: the settings list it under `uncovered`", name)
        built = app.middleware_stack
        if isinstance(built, cls):  # the guardrail was loaded anew
            built._asker = asker  # noqa: SLF001 -- its own class
        elif built is None:
            app.add_middleware(cls, asker=asker)
        else:
            app.middleware_stack = cls(built, asker)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, unless it goes where nothing is judged."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        if scope.get("query_string"):
            _query.set(unquote_plus(scope["query_string"].decode("utf-8", "replace")))
        route = _route(scope)
        telling = Telling(send, route)
        telling.begin()
        # Whatever its address: no hook sees what a websocket says.
        name = uncovered_path(route) if scope["type"] == "http" else SESSION
        if name is None and scope.get("method") == "POST" and is_mcp(route):
            judged, receive = await peeked(receive, self._asker.pep.settings.limits.text)
            name = None if judged else RESOURCES
        # Without a key the proxy itself says no.
        key = await _authenticated(scope) if name is not None else None
        if name is not None and key is not None:
            denial = self._judge(name, key)
            if denial is not None:
                await _refuse(scope, receive, telling, denial)
                return
            _passing.set(name)
        try:
            await self._app(scope, receive, telling)
        except Exception:
            # Of a denied stream a client reads the denial, not a connection that broke.
            if not await telling.cut():
                raise

    def _judge(self, name: str, key: UserAPIKeyAuth) -> CallDenied | None:
        data: dict[str, Any] = {}
        call = self._asker.begin(key, data)
        resource = Entity(type="endpoint", id=name)
        try:
            if allowed(self._asker.pep.settings.uncovered, name):
                self._asker.let_pass(call, resource, name)
            else:
                self._asker.refuse(call, resource, f"uncovered.{name}", f"`{name}` is not judged")
        except CallDenied as denial:
            return denial
        return None


def _route(scope: Scope) -> str:
    """The path that the proxy's router will see."""
    path = str(scope.get("path", ""))
    root = str(scope.get("app_root_path", scope.get("root_path", ""))).rstrip("/")
    path = path[len(root) :] if root and path.startswith(f"{root}/") else path
    return path.rstrip("/") or "/"


async def _authenticated(scope: Scope) -> UserAPIKeyAuth | None:
    """Whom the proxy knows the caller as, or None where it does not; the body is left for the proxy."""
    from litellm.proxy.auth.user_api_key_auth import user_api_key_auth  # noqa: PLC0415 -- the proxy is running

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    headers = list(scope.get("headers", ()))
    copy = {**scope, "type": "http", "method": scope.get("method", "GET"), "state": {}, "headers": headers}
    request = Request(copy, nothing)
    try:
        given: dict[str, Any] = {}
        for name, parameter in inspect.signature(user_api_key_auth).parameters.items():
            read = getattr(parameter.default, "dependency", None)
            if read is not None:
                given[name] = await read(request)
        key = await user_api_key_auth(request, **given)
    except Exception:  # noqa: BLE001 -- whatever it is, the proxy will say it to the caller
        return None
    return key if isinstance(key, UserAPIKeyAuth) else None


async def _refuse(scope: Scope, receive: Receive, telling: Telling, denial: CallDenied) -> None:
    if scope["type"] == "http":
        await telling.refuse(denial, "http.response")
        return
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await telling.refuse(denial, "websocket.http.response")
    else:
        await telling({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": denial.message[:120]})
