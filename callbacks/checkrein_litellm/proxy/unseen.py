"""What no hook of LiteLLM sees of a request that goes to a provider as it is: address, headers, and forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import unquote_plus

__all__ = ["fixed_texts", "has_body", "is_form", "query", "remember"]

# LiteLLM sends what such a header says on, under the rest of its name.
_PASSED: Final = b"x-pass-"
_SECRET: Final = frozenset({b"api-key", b"authorization", b"cookie", b"x-api-key", b"x-goog-api-key"})
# The shortest body that says something: `{}` does not.
_LEAST: Final = 3

_query: ContextVar[str] = ContextVar("query", default="")
_route: ContextVar[str] = ContextVar("route", default="")
_headers: ContextVar[tuple[tuple[bytes, bytes], ...]] = ContextVar("headers", default=())


def remember(scope: Mapping[str, Any], route: str) -> None:
    """Keep what there is to see of a request, for the hooks to come.

    Args:
        scope: of ASGI.
        route: the path that the router will see.
    """
    _query.set(unquote_plus(bytes(scope.get("query_string", b"")).decode("utf-8", "replace")))
    _route.set(route)
    _headers.set(tuple((name.lower(), value) for name, value in scope.get("headers", ())))


def query() -> str:
    """The query of this request's address, decoded."""
    return _query.get()


def fixed_texts() -> Iterator[tuple[str, str]]:
    """By its name, each text that goes to a provider beside the body, and that nobody can change."""
    if _route.get():
        yield "address", _route.get()
    if query():
        yield "query", query()
    for number, (name, value) in enumerate(_headers.get()):
        if name.startswith(_PASSED) and name.removeprefix(_PASSED) not in _SECRET:
            yield (
                f"header.{number}",
                f"{name.removeprefix(_PASSED).decode('latin-1')}: {value.decode('latin-1')}",
            )


def is_form() -> bool:
    """Whether the body is a form of parts: LiteLLM sends it on without reading it."""
    return any(name == b"content-type" and b"multipart/" in value.lower() for name, value in _headers.get())


def has_body() -> bool:
    """Whether there is a body that says anything."""
    given = dict(_headers.get())
    length = given.get(b"content-length", b"")
    return b"transfer-encoding" in given or (length.isdigit() and int(length) >= _LEAST)
