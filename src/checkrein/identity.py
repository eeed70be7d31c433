"""Who asks: bound by the application, or read from what a host authenticated.

Code that the application wrote outranks what a host knows, and that outranks what a caller says; the last
counts only when the settings trust it, and is marked `asserted`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from .strict import StrictModel
from .vocabulary import ANONYMOUS, Entity

__all__ = ["HostIdentity", "Identity", "IdentityFields", "acting_as", "current_identity", "identity_from"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A subject and how we know it.

    Args:
        subject: who asks.
        source: `context` (`acting_as`), `bound` (to one call), `key` (a host authenticated it), `metadata`
            (the caller said so) or `none`.
        asserted: whether nobody but the caller vouches for it.
    """

    subject: Entity
    source: str
    asserted: bool = False

    @property
    def facts(self) -> Mapping[str, Any]:
        """What policies see of it, as `AccessRequest.identity`."""
        return {"source": self.source, "asserted": self.asserted}


NOBODY: Final = Identity(subject=ANONYMOUS, source="none")
_current: ContextVar[Identity] = ContextVar("checkrein_identity", default=NOBODY)


@contextmanager
def acting_as(subject: Entity | str) -> Iterator[Entity]:
    """Make every governed call inside act for a subject.

    It follows `contextvars`: tasks started inside keep it, threads started by hand and generators that are
    stepped elsewhere do not; bind the subject to the call there (`guard(...).acting_as(...)`).

    Args:
        subject: who acts; a string is the id of a `user`.
    """
    entity = Entity(type="user", id=subject) if isinstance(subject, str) else subject
    token = _current.set(Identity(subject=entity, source="context"))
    try:
        yield entity
    finally:
        _current.reset(token)


def current_identity() -> Identity:
    """Who acts here by `acting_as`, or the anonymous subject with the source `none`."""
    return _current.get()


def _paths(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Path = Annotated[str, Field(min_length=1, max_length=256)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_paths), Field(strict=False, min_length=1)]


class IdentityFields(StrictModel):
    """Where an identity stands in what a host knows: dotted paths, of which the first that is set counts.

    Args:
        type: the subject's type.
        id: paths of its id.
        properties: paths by property name.
    """

    type: str = Field(default="user", min_length=1)
    id: Paths
    properties: Mapping[str, Paths] = Field(default_factory=dict)


class HostIdentity(StrictModel):
    """One host's mapping.

    Args:
        type: the subject's type.
        id: paths into what the host authenticated; none keeps the host's own mapping.
        properties: the same, by property name.
        metadata: paths into what the caller sent along.
        trusted: whether `metadata` counts at all; it is marked `asserted` then.
    """

    type: str = Field(default="user", min_length=1)
    id: Paths | None = None
    properties: Mapping[str, Paths] = Field(default_factory=dict)
    metadata: IdentityFields | None = None
    trusted: bool = False


def identity_from(
    fields: IdentityFields, values: Mapping[str, Any], *, source: str, asserted: bool
) -> Identity | None:
    """Read an identity, or None when no path of the id is set.

    Args:
        fields: where to look.
        values: nested mappings, or objects whose attributes are meant.
        source: how the record calls where it came from.
        asserted: whether nobody but the caller vouches for it.
    """
    subject_id = _first(fields.id, values)
    if subject_id is None or isinstance(subject_id, Mapping | list | tuple | bool):
        return None
    found = {name: _first(paths, values) for name, paths in fields.properties.items()}
    properties = {name: value for name, value in found.items() if value is not None}
    subject = Entity(type=fields.type, id=str(subject_id), properties=properties)
    return Identity(subject=subject, source=source, asserted=asserted)


def _first(paths: tuple[str, ...], values: Any) -> Any:
    for path in paths:
        value = _at(values, path)
        if value is not None and value != "":
            return value
    return None


def _at(value: Any, path: str) -> Any:
    if isinstance(value, Mapping) and path in value:
        return value[path]  # a key may hold dots itself, as namespaced JWT claims do
    head, _, rest = path.partition(".")
    value = value.get(head) if isinstance(value, Mapping) else getattr(value, head, None)
    return _at(value, rest) if rest and value is not None else value
