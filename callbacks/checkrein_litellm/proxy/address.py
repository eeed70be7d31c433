"""The address of a request, as the proxy's router reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI

__all__ = ["roots_of", "route_of"]


def roots_of(app: FastAPI) -> tuple[str, ...]:
    """The prefixes under which an application serves every address once more: LiteLLM's `SERVER_ROOT_PATHS`.

    LiteLLM's own middleware takes them off, further inside than anything that stands in front of it.
    """
    found: list[Any] = [one.kwargs.get("root_paths", ()) for one in app.user_middleware]
    return tuple(root for roots in found for root in roots)


def route_of(scope: Mapping[str, Any], roots: Sequence[str] = ()) -> str:
    """The path that the router will see, without what makes no difference to it.

    Args:
        scope: of ASGI.
        roots: the prefixes that are taken off, the first that fits.
    """
    path = str(scope.get("path", ""))
    root = str(scope.get("app_root_path", scope.get("root_path", ""))).rstrip("/")
    root = next((one for one in roots if path == one or path.startswith(f"{one}/")), root)
    path = path[len(root) :] if root and path.startswith(f"{root}/") else path
    # The router's patterns end with `$`, which matches before a last line break as well.
    path = path if path.endswith("/\n") else path.removesuffix("\n")
    return path.rstrip("/") or "/"
