"""What a caller notes about a call, `metadata` above all: some providers are sent all of it, or a part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any, Final

from .leaves import Leaf, Path, Room, leaves

__all__ = ["NOTES", "SESSION", "notes"]

NOTES: Final = ("metadata", "litellm_metadata")
"""Where they stand; in the proxy, one of the two is full of LiteLLM's own."""

SESSION: Final = "litellm_session_id"
"""A note with a place of its own; the proxy takes it from a header as well."""

# The caller's own, where LiteLLM's are around them; but for the headers, which LiteLLM writes there first.
_SENT: Final = "requester_metadata"
_HEADERS: Final = ("headers",)
# Read by providers, and told by headers or by the other bucket: no snapshot has them.
_DIRECT: Final = ("session_id", "user_id")
_AT_SESSION: Final[Path] = ("session_id",)


def notes(
    data: Mapping[str, Any], keys: Collection[str], max_depth: int, room: Room
) -> Iterator[list[list[Leaf]]]:
    """The strings that a caller noted, each with all places where it stands.

    Args:
        data: the request.
        keys: the parameters that reach the provider: a bucket among them is all the caller's.
        max_depth: longest path that is read.
        room: what is left of the nodes that may be read.

    Raises:
        RequestError: it is nested over the limit, or there is too much of it.
    """
    buckets = [name for name in NOTES if isinstance(data.get(name), Mapping)]
    own = [name for name in buckets if name not in keys]
    read = partial(_below, max_depth=max_depth, room=room)
    told: dict[tuple[Path, str], list[list[Leaf]]] = {}
    for place, leaf in _all(data, buckets, own, read):
        told.setdefault((place, leaf.text), []).append([leaf])
    for (place, text), copies in told.items():
        for name in own if copies[0][0].container is not None and place else ():
            holder = _holder(data[name], place)
            if holder.get(place[-1]) == text and all(one[0].container is not holder for one in copies):
                copies.append([Leaf((name, *place), holder, place[-1], text)])
        if place == _AT_SESSION and data.get("litellm_trace_id") == text:
            copies.append([Leaf(("litellm_trace_id",), data, "litellm_trace_id", text)])
        yield copies


def _all(
    data: Mapping[str, Any],
    buckets: list[str],
    own: list[str],
    read: Callable[..., Iterator[tuple[Path, Leaf]]],
) -> Iterator[tuple[Path, Leaf]]:
    if isinstance(data.get(SESSION), str):
        yield _AT_SESSION, Leaf((SESSION,), data, SESSION, data[SESSION])
    for name in buckets:
        if name not in own:
            yield from read(data, name, (name,), 1)
            continue
        bucket = data[name]
        for place, leaf in read(bucket, _SENT, (name, _SENT), 2):
            if place[:1] != _HEADERS:
                yield place, leaf
        merged = [key for key in _merged(data, name) if key in bucket and key != _SENT]
        yield from read({name: dict.fromkeys(merged)}, name, (name,), 1)  # their names alone
        for key in dict.fromkeys((*_DIRECT, *merged)):
            if key in bucket:
                yield from read(bucket, key, (name, key), 1)


def _below(  # noqa: PLR0913 -- as `leaves`
    container: Any, key: str, path: Path, top: int, *, max_depth: int, room: Room
) -> Iterator[tuple[Path, Leaf]]:
    for leaf in leaves(container, key, path, max_depth, room=room):
        # The name of a field stands below a number of its own.
        yield leaf.path[top if leaf.container is not None or leaf.kind else top + 1 :], leaf


def _merged(data: Mapping[str, Any], bucket: str) -> list[str]:
    """The names in the other bucket that the proxy merges into this one."""
    if bucket != NOTES[0]:
        return []
    request = data.get("proxy_server_request")
    body = request.get("body") if isinstance(request, Mapping) else None
    sent = body.get(NOTES[1]) if isinstance(body, Mapping) else None
    return [key for key in sent if isinstance(key, str)] if isinstance(sent, Mapping) else []


def _holder(bucket: Mapping[str, Any], place: Path) -> Any:
    """What holds the same place in LiteLLM's bucket; no provider is sent what stands in a list."""
    holder: Any = bucket
    for key in place[:-1]:
        holder = holder.get(key) if isinstance(holder, Mapping) else None
    return holder if isinstance(holder, Mapping) else {}
