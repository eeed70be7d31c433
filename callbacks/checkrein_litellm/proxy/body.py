"""What a message to an MCP server asks for: hooks of LiteLLM see tools, and nothing else of it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

__all__ = ["RESOURCES", "Body", "asks_for_tools", "calls_tool", "is_mcp", "reaches_tools"]

RESOURCES: Final = "mcp_resources"
"""The name of everything but tools."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_MCP: Final = re.compile(r"/mcp(?:/.*)?|/toolset/[^/]+/mcp|/[^/]+/mcp|(?:/[^/]+)?/sse(?:/.*)?", re.DOTALL)
_JUDGED: Final = frozenset(
    {"initialize", "logging/setLevel", "ping", "server/discover", "tools/call", "tools/list"}
)
# What goes on with a call to the server that asked for it, and no hook hears of.
_ASKED_BACK: Final = ("inputResponses", "input_responses", "requestState", "request_state")
# Of LiteLLM's own: they ask all servers for their tools before a hook hears of anything.
_LISTING: Final = frozenset({"mcp_tool_call", "mcp_tool_search"})
_REST: Final = "/mcp-rest/"
_NOTIFICATIONS: Final = "notifications/"


def is_mcp(path: str) -> bool:
    """Whether an address is one of an MCP server."""
    return _MCP.fullmatch(path) is not None


def reaches_tools(path: str) -> bool:
    """Whether a request to an address can reach tool servers."""
    return is_mcp(path) or path.startswith(_REST)


class Body:
    """The body of a request, read ahead of the proxy, which can read all of it again.

    Args:
        receive: where it comes from.
        most: how much of it is read, in bytes.
    """

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._kept: list[Message] = []
        self.complete = False

    async def read(self) -> bytes:
        """Read it; `complete` says whether that was all of it."""
        size = 0
        while not self.complete and size <= self._most:
            message = await self._receive()
            self._kept.append(message)
            size += len(message.get("body", b""))
            self.complete = not message.get("more_body")
        return b"".join(message.get("body", b"") for message in self._kept)

    def again(self) -> Receive:
        """Where all of it can be read from its beginning, once."""
        left = list(self._kept)

        async def receive() -> Message:
            return left.pop(0) if left else await self._receive()

        return receive


def asks_for_tools(body: bytes) -> bool:
    """Whether a message to an MCP server, or each of several, asks for nothing but tools."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return False  # the server reads with another parser, and may understand it
    return all(_asks_for_tools(one) for one in (read if isinstance(read, list) else [read]))


def _asks_for_tools(message: Any) -> bool:
    if not isinstance(message, dict) or "method" not in message:
        return True  # an answer of the client's, or nothing that a server understands
    method, given = message["method"], message.get("params")
    if isinstance(given, dict) and any(given.get(name) is not None for name in _ASKED_BACK):
        return False
    return isinstance(method, str) and (method in _JUDGED or method.startswith(_NOTIFICATIONS))


def calls_tool(body: bytes, path: str) -> bool:
    """Whether a message is a call of one tool, which is judged before any server hears of it.

    Args:
        body: the message.
        path: where it is sent.
    """
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not path.startswith(_REST) and isinstance(read, dict):
        read = read.get("params") if read.get("method") == "tools/call" else None
    name = read.get("name") if isinstance(read, dict) else None
    return isinstance(name, str) and name not in _LISTING
