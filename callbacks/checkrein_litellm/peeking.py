"""What a message to an MCP server asks for: hooks of LiteLLM see tools, and nothing else of it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

__all__ = ["RESOURCES", "is_mcp", "peeked"]

RESOURCES: Final = "mcp_resources"
"""The name of everything but tools."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_MCP: Final = re.compile(r"/mcp(?:/.*)?|/toolset/[^/]+/mcp|/[^/]+/mcp|(?:/[^/]+)?/sse(?:/.*)?")
_JUDGED: Final = frozenset(
    {"initialize", "logging/setLevel", "ping", "server/discover", "tools/call", "tools/list"}
)
_NOTIFICATIONS: Final = "notifications/"


def is_mcp(path: str) -> bool:
    """Whether an address is one of an MCP server."""
    return _MCP.fullmatch(path) is not None


async def peeked(receive: Receive, most: int) -> tuple[bool, Receive]:
    """Read a message ahead of the proxy.

    Args:
        receive: where the request comes from.
        most: how much of it is read, in bytes.

    Returns:
        Whether it asks for nothing but tools, and where the proxy can read the whole request from.
    """
    kept: list[Message] = []
    size = 0
    while size <= most:
        message = await receive()
        kept.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = b"".join(message.get("body", b"") for message in kept)

    async def again() -> Message:
        return kept.pop(0) if kept else await receive()

    return size <= most and _is_judged(body), again


def _is_judged(body: bytes) -> bool:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return True  # the proxy cannot read it either
    return all(_asks_for_tools(one) for one in (read if isinstance(read, list) else [read]))


def _asks_for_tools(message: Any) -> bool:
    if not isinstance(message, dict) or "method" not in message:
        return True  # an answer of the client's, or nothing that a server understands
    method = message["method"]
    return isinstance(method, str) and (method in _JUDGED or method.startswith(_NOTIFICATIONS))
