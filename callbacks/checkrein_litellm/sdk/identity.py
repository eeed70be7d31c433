"""Who calls LiteLLM in an application: bound to a client, by `acting_as`, or by metadata that is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checkrein import Entity, Settings
from checkrein.identity import Identity, current_identity, identity_from

__all__ = ["bound_identity", "caller_of"]


def bound_identity(user: Entity | str) -> Identity:
    """An identity that the application binds; a string is the id of a `user`."""
    subject = Entity(type="user", id=user) if isinstance(user, str) else user
    if not isinstance(subject, Entity):
        raise TypeError(f"`{type(user).__name__}` is no subject; pass an `Entity` or the id of a user")
    return Identity(subject=subject, source="bound")


def caller_of(settings: Settings, data: Mapping[str, Any], bound: Identity | None) -> Identity:
    """Who makes a call.

    Args:
        settings: whether what a call says of its caller counts, and where it says it.
        data: the call's parameters: `user`, and what stands in `metadata`.
        bound: bound by the application: it outranks all others.
    """
    if bound is not None:
        return bound
    current = current_identity()
    host = settings.identity.get("litellm")
    if current.source == "none" and host is not None and host.trusted and host.metadata is not None:
        told = {"user": data.get("user")}
        for bucket in ("litellm_metadata", "metadata"):
            said = data.get(bucket)
            told |= said if isinstance(said, Mapping) else {}
        return identity_from(host.metadata, told, source="metadata", asserted=True) or current
    return current
