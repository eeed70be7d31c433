"""Who calls: bound to the guarded model, to the call, by `acting_as`, or by metadata that settings trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from checkrein.identity import Identity, current_identity, identity_from
from checkrein.settings import Settings
from checkrein.vocabulary import Entity

__all__ = ["as_subject", "bound_identity", "carries_subject", "identity_of"]

# LangChain and LangGraph keep keys with two underscores out of traces, metadata and checkpoints.
_KEY: Final = "__checkrein_subject"


class _Bound:
    """Carries an identity through a config: an object, so that no JSON that a caller sends can be one."""

    __slots__ = ("identity",)

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def __repr__(self) -> str:
        return "<subject>"

    def __deepcopy__(self, _: Any) -> _Bound:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a bound subject does not leave its process; bind it again where it arrives")


def bound_identity(user: Entity | str) -> Identity:
    """An identity that the application binds; a string is the id of a `user`."""
    subject = Entity(type="user", id=user) if isinstance(user, str) else user
    if not isinstance(subject, Entity):
        raise TypeError(f"`{type(user).__name__}` is no subject; pass an `Entity` or the id of a user")
    return Identity(subject=subject, source="bound")


def as_subject(user: Entity | str, config: RunnableConfig | None = None) -> RunnableConfig:
    """A config that makes every governed call below act for a subject.

        chain.invoke(question, as_subject("alice"))
        graph.invoke(state, as_subject("alice", {"configurable": {"thread_id": "7"}}))

    LangChain hands it down to nested calls, also where generators, thread pools and tasks lose context
    variables. It is kept in no checkpoint: a graph is resumed for whoever resumes it, so pass it there, too.

    Args:
        user: who acts; a string is the id of a `user`.
        config: what else the call is made with; a `configurable` of its own must be passed here, because
            `{**as_subject(user), "configurable": {...}}` would drop the subject.
    """
    own: RunnableConfig = {"configurable": {_KEY: _Bound(bound_identity(user))}}
    return own if config is None else merge_configs(config, own)


def carries_subject(config: RunnableConfig) -> bool:
    """Whether `as_subject` made it."""
    return isinstance((config.get("configurable") or {}).get(_KEY), _Bound)


def identity_of(
    settings: Settings,
    config: RunnableConfig,
    metadata: Mapping[str, Any] | None = None,
    bound: Identity | None = None,
) -> Identity:
    """Who calls.

    Args:
        settings: whether metadata counts, and where the identity stands in it.
        config: the call's config.
        metadata: the call's metadata, where it is not in the config.
        bound: bound to the model itself: it outranks all others.
    """
    carried = (config.get("configurable") or {}).get(_KEY)
    if bound is not None:
        return bound
    if isinstance(carried, _Bound):
        return carried.identity
    current = current_identity()
    host = settings.identity.get("langchain")
    if current.source == "none" and host is not None and host.trusted and host.metadata is not None:
        told = {**(config.get("metadata") or {}), **(metadata or {})}
        return identity_from(host.metadata, told, source="metadata", asserted=True) or current
    return current
