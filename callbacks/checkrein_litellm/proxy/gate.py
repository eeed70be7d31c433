"""Stands in front of a proxy's endpoints that no hook covers: refused after authentication, or let pass."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request
from litellm.proxy._types import UserAPIKeyAuth

from checkrein import Entity, SettingsError
from checkrein_litellm.denial import CallDenied

from .address import roots_of, route_of
from .body import RESOURCES, Body, asks_for_tools, calls_tool, is_mcp, reaches_tools
from .calls import Call
from .telling import Telling
from .tool_headers import without_tool_texts
from .uncovered import SESSION, allowed, uncovered_path
from .unseen import remember

if TYPE_CHECKING:
    from .asker import Asker

__all__ = ["Gate", "Passage", "passage", "passing"]

_log = logging.getLogger("checkrein.litellm")
_passing: ContextVar[Passage | None] = ContextVar("passing", default=None)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION: Final = 1008


@dataclass(slots=True)
class Passage:
    """A request that is let through to an uncovered endpoint, until it is answered.

    Args:
        name: of the endpoint.
        key: whom the proxy knows its caller as.
        call: the call that it has become, if LiteLLM shows one to a hook.
    """

    name: str
    key: UserAPIKeyAuth | None
    call: Call | None = None


def passing() -> str | None:
    """The uncovered endpoint that this request was let through to, if it was."""
    let_through = _passing.get()
    return None if let_through is None else let_through.name


def passage() -> Passage | None:
    """How this request was let through, if it was: a task that outlives the request is nobody's."""
    return _passing.get()


class Gate:
    """An ASGI application around the proxy.

    Args:
        app: the proxy.
        asker: puts refusals and passages on record.
        roots: the prefixes under which the proxy serves every address once more.
    """

    def __init__(self, app: App, asker: Asker, roots: Sequence[str] = ()) -> None:
        self._app = app
        self._asker = asker
        self._roots = tuple(roots)

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
        for name, said in asker.pep.settings.opt_outs.items():
            if said == "allow":
                _log.warning("a %s that opts out passes unjudged: the settings allow it by `opt_outs`", name)
        built = app.middleware_stack
        if isinstance(built, cls):  # the guardrail was loaded anew
            built._asker = asker  # noqa: SLF001 -- its own class
        elif built is None:
            app.add_middleware(cls, asker=asker, roots=roots_of(app))
        else:
            app.middleware_stack = cls(built, asker, roots_of(app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, unless it goes where nothing is judged."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        route = route_of(scope, self._roots)
        remember(scope, route)
        telling = Telling(send, route)
        telling.begin()
        body = Body(receive, self._asker.pep.settings.limits.text)
        name = await _uncovered(scope, route, body)
        if name is not None and not await self._let_through(name, scope, telling, body):
            return
        if reaches_tools(route) and not await _calls_tool(route, body):
            scope = {**scope, "headers": without_tool_texts(scope.get("headers", ()))}
        try:
            await self._app(scope, body.again(), telling)
        except Exception:
            # Of a denied stream a client reads the denial, not a connection that broke.
            if not await telling.cut():
                raise
        finally:
            let_through = _passing.get()
            if let_through is not None:
                let_through.key = let_through.call = None

    async def _let_through(self, name: str, scope: Scope, telling: Telling, body: Body) -> bool:
        """Whether a request may go on to what is not covered; tells the client otherwise."""
        refused: Exception
        try:
            key = await _authenticated(scope, body)
        except Exception as error:  # noqa: BLE001 -- whoever cannot be told apart is served nothing here
            refused = error
        else:
            denial = self._judge(name, key)
            if denial is not None:
                await _refuse(scope, body, telling, denial)
            else:
                _passing.set(Passage(name, key))
            return denial is None
        await _refuse(scope, body, telling, refused)
        return False

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


async def _uncovered(scope: Scope, route: str, body: Body) -> str | None:
    """The name of what a request asks for, if nobody judges that."""
    if scope["type"] == "websocket":
        return SESSION  # whatever its address: no hook sees what it says
    name = uncovered_path(route)
    if name is None and scope.get("method") == "POST" and is_mcp(route):
        message = await body.read()
        return None if body.complete and asks_for_tools(message) else RESOURCES
    return name


async def _calls_tool(route: str, body: Body) -> bool:
    message = await body.read()
    return body.complete and calls_tool(message, route)


async def _authenticated(scope: Scope, body: Body) -> UserAPIKeyAuth:
    """Whom the proxy knows the caller as.

    Raises:
        Exception: of the proxy: it does not know the caller.
    """
    from litellm.proxy.auth.user_api_key_auth import user_api_key_auth  # noqa: PLC0415 -- the proxy is running

    http = scope["type"] == "http"
    if http:
        await body.read()
    headers = list(scope.get("headers", ()))
    method = scope.get("method", "GET")
    copy = {**scope, "type": "http", "method": method, "state": {}, "headers": headers}
    # What is larger than any text may be, such as a file, tells nobody who sends it.
    request = Request(copy, body.again() if http and body.complete else _nothing)
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(user_api_key_auth).parameters.items():
        read = getattr(parameter.default, "dependency", None)
        if read is not None:
            given[name] = await read(request)
    key = await user_api_key_auth(request, **given)
    if not isinstance(key, UserAPIKeyAuth):
        raise TypeError("the proxy authenticates in another way; pin an older LiteLLM")
    if key.budget_reservation is not None:
        from litellm.proxy.spend_tracking import budget_reservation as held  # noqa: PLC0415 -- the same

        # The proxy reserves once more when it authenticates the request itself, if that comes so far.
        await held.release_or_invalidate_budget_reservation(key.budget_reservation)
    return key


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _refuse(scope: Scope, body: Body, telling: Telling, reason: Exception) -> None:
    if scope["type"] == "http":
        await telling.refuse(reason, "http.response")
        return
    await body.again()()
    if "websocket.http.response" in scope.get("extensions", {}):
        await telling.refuse(reason, "websocket.http.response")
    else:
        await telling({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "refused"})
