"""An MCP server on loopback, for proxies to call; what reaches it is remembered."""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
from typing import Any, Self

import uvicorn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about its own code
    from mcp.server.mcpserver import MCPServer


class ToolServer:
    """Two tools: `look_up` answers what `answer` says, `person` answers in fields.

    Attributes:
        answer: what they say.
        calls: the arguments of each call.
        headers: those of each request, whatever it asks for.
    """

    def __init__(self) -> None:
        self.answer = "nothing"
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        server = MCPServer("desk")

        @server.tool(description="Looks a person up.")
        def look_up(who: str, why: str = "") -> str:
            self.calls.append({"who": who, "why": why})
            return self.answer

        @server.tool(description="Tells a person's fields.")
        def person(who: str) -> dict[str, str]:
            self.calls.append({"who": who})
            return {"name": "Ann", "note": self.answer}

        @server.tool(description="Keeps a secret: FORBIDDEN to mention.")
        def hidden() -> str:
            return "never"

        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        app = server.streamable_http_app(stateless_http=True, json_response=True)

        async def heard(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                told = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
                self.headers.append(dict(told))
            await app(scope, receive, send)

        config = uvicorn.Config(heard, log_level="error", lifespan="on", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="tool-server", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/mcp"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))
