"""What LiteLLM sends on to tool servers of a request's headers: read with a call, kept from all else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from litellm.proxy._types import UserAPIKeyAuth

from checkrein_litellm.text.leaves import CREDENTIAL_HEADERS, is_credential

from .unseen import headers, is_own_key

__all__ = ["tool_header_texts", "without_tool_texts"]

Header = tuple[bytes, bytes]

_MCP: Final = "litellm.proxy._experimental.mcp_server"
# `x-mcp-SERVER-NAME` goes to a server under the rest of its name. These two choose servers and go nowhere.
_TO_A_SERVER: Final = "x-mcp-"
_CHOOSING: Final = frozenset({"x-mcp-access-groups", "x-mcp-servers"})
_CLIENT_AUTH: Final = "x-mcp-auth"
# How LiteLLM knows its caller, the strongest first; no server is sent the first.
_OWN_KEY: Final = "x-litellm-api-key"
_AUTHENTICATING: Final = (_OWN_KEY, "authorization")
# By these, LiteLLM sends no server what stands in `Authorization`.
_OWN_AUTH: Final = frozenset(
    {"api_key", "authorization", "aws_sigv4", "basic", "bearer_token", "none", "token"}
)
# What the environment of a server that LiteLLM starts takes from a header.
_FROM_HEADER: Final = re.compile(r"\s*\$\{(X-[^}]+)\}\s*")


def tool_header_texts(key: UserAPIKeyAuth | None) -> Iterator[tuple[str, str, str]]:
    """What of this request's headers a tool server could get: its name, its text, its kind if none.

    Args:
        key: what the proxy authenticated: the secret that it knows the caller by is no text.
    """
    # A session's requests are answered where its first one came in: LiteLLM knows whose headers it sends.
    found = dict.fromkeys((*_decoded(headers()), *_of_session()))
    bound = _Bound.now()
    for number, (name, text) in enumerate(one for one in found if bound.sends(one[0])):
        place = f"header.{number}"
        secret = bound.is_secret(name)
        sealed = secret and is_credential(text)
        if sealed:
            yield place, "", "credential"
        if sealed or (secret and is_own_key(text, key)):
            if not bound.is_named(name):
                yield f"{place}.name", name, ""
        else:
            yield place, f"{name}: {text}", ""


def without_tool_texts(given: Iterable[Header]) -> list[Header]:
    """Headers without what a tool server would get of them, but for sealed credentials of known names.

    Args:
        given: those of a request that nobody judges before a server hears of it, such as a listing.
    """
    kept = list(given)
    named = [name for name, _ in _decoded(kept)]
    authenticates = next((name for name in _AUTHENTICATING if name in named), None)
    bound = _Bound.now()

    def stays(name: str, text: str) -> bool:
        if not bound.sends(name) or (name in CREDENTIAL_HEADERS and authenticates in {None, name}):
            return True
        return bound.is_secret(name) and bound.is_named(name) and is_credential(text)

    return [one for one, told in zip(kept, _decoded(kept), strict=True) if stays(*told)]


class _Bound:
    """Which headers go to any of the servers.

    Args:
        servers: LiteLLM's; None where nobody knows them.
        client_auth: the header by which a caller authenticates at all of them.
    """

    def __init__(self, servers: Sequence[Any] | None, client_auth: str) -> None:
        self._all = servers is None
        self._client_auth = client_auth
        self._forwarded: set[str] = set()
        self._aliases: set[str] = set()
        for server in servers or ():
            self._forwarded |= {str(name).lower() for name in server.extra_headers or ()}
            taken = [_FROM_HEADER.fullmatch(str(value)) for value in (server.env or {}).values()]
            self._forwarded |= {one.group(1).lower() for one in taken if one is not None}
            if str(getattr(server.auth_type, "value", server.auth_type) or "none") not in _OWN_AUTH:
                self._forwarded.add("authorization")
            known = (server.alias, server.server_name, server.name, *(server.access_groups or ()))
            self._aliases |= {str(name).lower() for name in known if name}

    @classmethod
    def now(cls) -> _Bound:
        """As LiteLLM is configured at this moment."""
        manager = getattr(sys.modules.get(f"{_MCP}.mcp_server_manager"), "global_mcp_server_manager", None)
        servers = list(manager.get_registry().values()) if manager is not None else None
        handler = getattr(sys.modules.get(f"{_MCP}.auth.user_api_key_auth_mcp"), "MCPRequestHandler", None)
        named = handler.get_mcp_client_side_auth_header_name() if handler is not None else _CLIENT_AUTH
        return cls(servers, named.lower())

    def sends(self, name: str) -> bool:
        """Whether a server could get this header."""
        if name == self._client_auth or name in self._forwarded:
            return True
        return self._all if not name.startswith(_TO_A_SERVER) else name not in _CHOOSING

    def is_secret(self, name: str) -> bool:
        """Whether a server would know its caller by it."""
        return name in CREDENTIAL_HEADERS or name == self._client_auth or name.startswith(_TO_A_SERVER)

    def is_named(self, name: str) -> bool:
        """Whether the name of a secret is nobody's own word."""
        alias, _, rest = name.removeprefix(_TO_A_SERVER).partition("-")
        known = alias in self._aliases and rest in CREDENTIAL_HEADERS
        return name in CREDENTIAL_HEADERS or name == self._client_auth or known


def _decoded(given: Iterable[Header]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), text.decode("latin-1")) for name, text in given]


def _of_session() -> list[tuple[str, str]]:
    known = getattr(sys.modules.get(f"{_MCP}.server"), "get_active_auth_context", None)
    told = getattr(known() if known is not None else None, "raw_headers", None)
    return (
        [(str(name).lower(), str(text)) for name, text in told.items()] if isinstance(told, Mapping) else []
    )
