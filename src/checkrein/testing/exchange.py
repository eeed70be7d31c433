"""What passes between a client and the test upstream: a request, and what it is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Failure", "UpstreamRequest", "failure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A reply that is an HTTP error.

    Args:
        status: the status code, for instance 503.
        body: the JSON body; by default an error in OpenAI's shape.
        headers: further headers, for instance `{"retry-after": "0"}`.
    """

    status: int = 500
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """A request that reached the upstream.

    Args:
        path: for instance `/v1/chat/completions`, with its query if it has one.
        body: the JSON object that was sent; empty when it was none.
        headers: by lower-case name.
        raw: the body as it came.
    """

    path: str
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    raw: bytes = field(repr=False)


Answer = Failure | bytes | dict[str, Any] | Iterator[dict[str, Any]]
"""An error, bytes, one JSON document or a stream of them."""


def failure(status: int, message: str) -> Failure:
    """An error in OpenAI's shape."""
    code = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}.get(status)
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 -- HTTP's own number
    return Failure(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})
