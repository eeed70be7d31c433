"""What no hook of LiteLLM sees of a request that goes to a provider as it is: address, headers, and forms."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import unquote_plus

from litellm.proxy._types import UserAPIKeyAuth, hash_token

from checkrein_litellm.text.leaves import CREDENTIAL_HEADERS, is_credential

__all__ = [
    "fixed_texts",
    "has_body",
    "headers",
    "is_form",
    "is_own_key",
    "own_key",
    "query",
    "remember",
]

# LiteLLM sends what such a header says on, under the rest of its name, unless that names a credential.
_PASSED: Final = "x-pass-"
# LiteLLM makes these anew.
_MADE_ANEW: Final = frozenset({"accept-encoding", "content-length", "host"})
_SCHEMES: Final = frozenset({"", "basic", "bearer", "key", "token"})
# To these LiteLLM sends headers of its own alone; what it does for another provider, nobody here knows.
_WITHOUT_HEADERS: Final = re.compile(
    r"/(?:assemblyai|azure|azure_ai|bespoke|cohere|cursor|eu\.assemblyai|fal_ai|gemini|gigachat|laya|milvus"
    r"|mistral|nvidia_nim|openai|openai_passthrough|openrouter|tinyfish|vllm|watsonx)/.*",
    re.DOTALL,
)
_ENDPOINTS: Final = "litellm.proxy.pass_through_endpoints.pass_through_endpoints"
# The shortest body that says something: `{}` does not.
_LEAST: Final = 3

_query: ContextVar[str] = ContextVar("query", default="")
_route: ContextVar[str] = ContextVar("route", default="")
_method: ContextVar[str] = ContextVar("method", default="")
_headers: ContextVar[tuple[tuple[bytes, bytes], ...]] = ContextVar("headers", default=())


def remember(scope: Mapping[str, Any], route: str) -> None:
    """Keep what there is to see of a request, for the hooks to come.

    Args:
        scope: of ASGI.
        route: the path that the router will see.
    """
    _query.set(unquote_plus(bytes(scope.get("query_string", b"")).decode("utf-8", "replace")))
    _route.set(route)
    _method.set(str(scope.get("method", "")))
    _headers.set(tuple((name.lower(), value) for name, value in scope.get("headers", ())))


def query() -> str:
    """The query of this request's address, decoded."""
    return _query.get()


def headers() -> tuple[tuple[bytes, bytes], ...]:
    """The headers of this request."""
    return _headers.get()


def own_key(data: Mapping[str, Any]) -> str:
    """The key that a caller wants the provider to be called with, unless it is sealed; else nothing.

    Args:
        data: the request, before a deployment's own key stands in it.
    """
    key = data.get("api_key")
    return key if isinstance(key, str) and not is_credential(key) else ""


def fixed_texts(key: UserAPIKeyAuth | None) -> Iterator[tuple[str, str, str]]:
    """What goes to a provider beside the body, and nobody can change: its name, its text, its kind if none.

    Args:
        key: what the proxy authenticated: the secret that it knows the caller by is no text.
    """
    if _route.get():
        yield "address", _route.get(), ""
    if query():
        yield "query", query(), ""
    for number, (name, text) in enumerate(_sent_headers()):
        secret = name in CREDENTIAL_HEADERS
        if secret and is_credential(text):
            yield f"header.{number}", "", "credential"
        elif not secret or not is_own_key(text, key):
            yield f"header.{number}", f"{name}: {text}", ""


def is_own_key(text: str, key: UserAPIKeyAuth | None) -> bool:
    """Whether this is what the proxy knows the caller by."""
    known = key.api_key if key is not None else None
    scheme, _, token = text.rpartition(" ")
    return known is not None and scheme.lower() in _SCHEMES and known in {token, hash_token(token)}


def is_form() -> bool:
    """Whether the body is a form of parts: LiteLLM sends it on without reading it."""
    return any(name == b"content-type" and b"multipart/" in value.lower() for name, value in _headers.get())


def has_body() -> bool:
    """Whether there is a body that says anything."""
    given = dict(_headers.get())
    length = given.get(b"content-length", b"")
    return b"transfer-encoding" in given or (length.isdigit() and int(length) >= _LEAST)


def _sent_headers() -> Iterator[tuple[str, str]]:
    forwarded = _are_forwarded()
    for raw, value in _headers.get():
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        passed = name.removeprefix(_PASSED)
        if (forwarded and name not in _MADE_ANEW) or (passed != name and passed not in CREDENTIAL_HEADERS):
            yield passed, text


def _are_forwarded() -> bool:
    """Whether LiteLLM sends the headers of this request on: where nobody knows, it does."""
    route = _route.get()
    if _WITHOUT_HEADERS.fullmatch(route):
        return False
    registry = getattr(sys.modules.get(_ENDPOINTS), "InitPassThroughEndpointHelpers", None)
    found = registry and registry.get_registered_pass_through_route(route=route, method=_method.get())
    told = found.get("passthrough_params") if isinstance(found, Mapping) else None
    return not isinstance(told, Mapping) or bool(told.get("forward_headers"))
