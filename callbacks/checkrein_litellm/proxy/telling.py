"""What a client of the proxy is told of a decision: the body of a denial, and the headers of every answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final

from fastapi import HTTPException

from checkrein_litellm.denial import CALL_ID_HEADER, DECISION_ID_HEADER, CallDenied
from checkrein_litellm.streams.last_frame import denial_frame

from .body import is_mcp
from .calls import Call

__all__ = [
    "FAILED_OPEN_HEADER",
    "WOULD_DENY_HEADER",
    "Telling",
    "body_of",
    "headers_of",
    "let_in",
    "remember_call",
]

FAILED_OPEN_HEADER: Final = "x-checkrein-failed-open"
"""Response header: `true` where the outage of an engine was let pass by `failure.open_on`."""

WOULD_DENY_HEADER: Final = "x-checkrein-would-deny"
"""Response header, under monitor: the reason codes of what would have been denied, parted by commas."""

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_MESSAGES: Final = "/v1/messages"
_GATEWAY: Final = "/claude_code_gateway"
_OK: Final = 200
_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_UNAUTHENTICATED: Final = 401
_STREAM: Final = b"text/event-stream"
_telling: ContextVar[Telling | None] = ContextVar("telling", default=None)


def remember_call(call: Call) -> None:
    """Tell whoever answers this request which call it is about: the first that it begins."""
    telling = _telling.get()
    if telling is None:
        return
    before = telling.call
    if before is not None and before.let_pass:
        call.would_deny += before.would_deny
    if before is None or before.let_pass:
        telling.call = call


def let_in() -> str | None:
    """The id of the call under which this request was let through to an uncovered endpoint."""
    telling = _telling.get()
    call = telling.call if telling is not None else None
    return call.call_id if call is not None and call.let_pass else None


def headers_of(call: Call) -> dict[str, str]:
    """What the headers of an answer say about its call."""
    headers = {CALL_ID_HEADER: call.call_id}
    if call.last is not None:
        headers[DECISION_ID_HEADER] = call.last.decision_id
    if call.would_deny:
        headers[WOULD_DENY_HEADER] = ",".join(dict.fromkeys(call.would_deny))
    if call.failed_open:
        headers[FAILED_OPEN_HEADER] = "true"
    return {name: value for name, value in headers.items() if value.isascii() and value.isprintable()}


def body_of(denial: CallDenied, path: str) -> bytes:
    """The error of a denial, in the shape of an endpoint.

    Args:
        denial: what is told.
        path: the endpoint's address.
    """
    told: dict[str, Any]
    if path.removeprefix(_GATEWAY).startswith(_MESSAGES):
        told = {"type": "error", "error": {"type": "permission_error", "message": denial.message}}
    else:
        told = {
            "error": {
                "message": denial.message,
                "type": denial.type,
                "param": None,
                "code": str(denial.status_code),
                "provider_specific_fields": denial.provider_specific_fields,
            }
        }
    return json.dumps(told).encode()


def _withheld_body(reason: HTTPException, path: str) -> bytes:
    error: dict[str, Any] = {"type": "api_error", "message": reason.detail}
    if path.removeprefix(_GATEWAY).startswith(_MESSAGES):
        return json.dumps({"type": "error", "error": error}).encode()
    return json.dumps({"error": {**error, "param": None, "code": str(reason.status_code)}}).encode()


class Telling:
    """Sends the answer of one request on, with what is to be told of its call.

    LiteLLM words a denial differently from endpoint to endpoint, and forgets half of it on some. An error of
    a call that was denied is the denial, whatever LiteLLM makes of it; so is the last frame of its stream.

    Args:
        send: the client.
        path: the address that was asked.
    """

    def __init__(self, send: Send, path: str) -> None:
        self.call: Call | None = None
        self._send = send
        self._path = path
        self._replaced = False
        self._streams = False
        self._frames = 0

    def begin(self) -> None:
        """From here on, calls of this request are known by it."""
        _telling.set(self)

    async def __call__(self, message: Message) -> None:
        """Send one message of ASGI."""
        if self.call is not None and message["type"] == "http.response.start":
            denial = self.call.denial
            # To a client of MCP a denial is the result of its call: one message, which LiteLLM words.
            self._streams = _is_stream(message.get("headers", ())) and not is_mcp(self._path)
            # A stream that is denied before its first frame needs none.
            if denial is not None and (message["status"] >= _ERROR or self._streams):
                self._replaced = True
                await self.refuse(CallDenied(denial), "http.response")
                return
            if self.call.withheld is not None and (message["status"] >= _ERROR or not self._streams):
                self._replaced = True
                await self._withhold(self.call, self.call.withheld)
                return
            message = {**message, "headers": _with(message.get("headers", ()), headers_of(self.call))}
        if self._streams and not self._replaced and message["type"] == "http.response.body":
            await self.cut()
            self._frames += 1
        if not self._replaced:
            await self._send(message)

    async def _withhold(self, call: Call, reason: HTTPException) -> None:
        body = _withheld_body(reason, self._path)
        told = {
            **headers_of(call),
            "content-type": "application/json",
            "content-length": str(len(body)),
        }
        start = {"type": "http.response.start", "status": reason.status_code, "headers": _with((), told)}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    async def cut(self) -> bool:
        """End a stream of a call that was denied meanwhile; whether it has ended so."""
        denial = self.call.denial if self.call is not None else None
        if denial is None or not self._streams:
            return False
        if not self._replaced:
            self._replaced = True
            body = denial_frame(CallDenied(denial), self._path, self._frames)
            await self._send({"type": "http.response.body", "body": body})
        return True

    async def refuse(self, reason: Exception, kind: str) -> None:
        """Send a denial, the reply that stands for it, or the proxy's own refusal of whom it does not know.

        Args:
            reason: the denial, or the proxy's exception.
            kind: `http.response`, or `websocket.http.response` where a session would begin.
        """
        told = headers_of(self.call) if self.call is not None else {}
        media_type = "application/json"
        if isinstance(reason, CallDenied):
            status, body = reason.status_code, body_of(reason, self._path)
            told = {**reason.headers, **told}
            reply = self.call.reply.reply(reason) if self.call is not None and self.call.reply else None
            if reply is not None:
                status, (media_type, body) = _OK, reply
        else:
            status = _status_of(reason)
            error = {
                "message": "Authentication Error",
                "type": "auth_error",
                "param": None,
                "code": str(status),
            }
            body = json.dumps({"error": error}).encode()
        told |= {"content-type": media_type, "content-length": str(len(body))}
        await self._send({"type": f"{kind}.start", "status": status, "headers": _with((), told)})
        await self._send({"type": f"{kind}.body", "body": body})


def _status_of(error: Exception) -> int:
    """The status of an exception of LiteLLM's: an error of the client's, whatever happened."""
    for name in ("status_code", "code"):
        told = str(getattr(error, name, ""))
        if told.isascii() and told.isdigit() and _ERROR <= int(told) < _SERVER_ERROR:
            return int(told)
    return _UNAUTHENTICATED


def _is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(_STREAM) for name, value in headers)


def _with(headers: Iterable[tuple[bytes, bytes]], more: dict[str, str]) -> list[tuple[bytes, bytes]]:
    added = {name.encode(): value.encode() for name, value in more.items()}
    return [(name, value) for name, value in headers if name.lower() not in added] + list(added.items())
