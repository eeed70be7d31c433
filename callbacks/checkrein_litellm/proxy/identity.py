"""Who calls: what the proxy authenticated, read by the mapping of the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from litellm.proxy._types import UserAPIKeyAuth

from checkrein.identity import HostIdentity, Identity, IdentityFields, identity_from
from checkrein.vocabulary import ANONYMOUS

__all__ = ["authenticated", "identity_of"]

_NOBODY: Final = Identity(subject=ANONYMOUS, source="none")

# A team's administrator outranks whoever made the key: users may make keys of their own.
_DEFAULT: Final = IdentityFields(
    id=("user_id", "key_alias"),
    properties={
        "groups": ("team_metadata.groups", "metadata.groups"),
        "roles": ("team_metadata.roles", "metadata.roles"),
        "team": ("team_id",),
        "tier": ("team_metadata.tier", "metadata.tier"),
    },
)
# The caller's own words (`user` in the body, headers), or secrets.
_NOT_AUTHENTICATED: Final = frozenset({"agent_caller", "api_key", "parent_otel_span"})


class _Key(Mapping[str, Any]):
    """What was authenticated, without what the caller merely says."""

    def __init__(self, key: UserAPIKeyAuth) -> None:
        self._key = key

    def __getitem__(self, name: str) -> Any:
        if (
            name.startswith("end_user")
            or name in _NOT_AUTHENTICATED
            or name not in UserAPIKeyAuth.model_fields
        ):
            raise KeyError(name)
        value = getattr(self._key, name)
        return value.value if isinstance(value, Enum) else value

    def __iter__(self) -> Iterator[str]:
        return iter(UserAPIKeyAuth.model_fields)

    def __len__(self) -> int:
        return len(UserAPIKeyAuth.model_fields)

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True


def identity_of(
    key: UserAPIKeyAuth | None, data: Mapping[str, Any], mapping: HostIdentity | None
) -> Identity:
    """Who calls.

    Args:
        key: what the proxy authenticated; None for a call of the proxy's own, such as a health check.
        data: the request; what its caller says about itself counts only where the settings trust it.
        mapping: the settings' `identity.litellm`.
    """
    found: Identity | None = None
    if key is not None:
        found = identity_from(_fields(mapping), _Key(key), source="key", asserted=False)
    if found is None and key is not None and mapping is not None and mapping.trusted and mapping.metadata:
        said = _said(data)
        found = identity_from(mapping.metadata, said, source="metadata", asserted=True)
    return found or _NOBODY


def authenticated(data: Mapping[str, Any]) -> UserAPIKeyAuth | None:
    """What the proxy authenticated, as it rides along in the metadata of a call.

    A caller can send JSON alone, never an object of this class.
    """
    for bucket in ("metadata", "litellm_metadata"):
        metadata = data.get(bucket)
        key = metadata.get("user_api_key_auth") if isinstance(metadata, Mapping) else None
        if isinstance(key, UserAPIKeyAuth):
            return key
    return None


def _fields(mapping: HostIdentity | None) -> IdentityFields:
    if mapping is None:
        return _DEFAULT
    return IdentityFields(
        type=mapping.type,
        id=mapping.id or _DEFAULT.id,
        properties=mapping.properties or _DEFAULT.properties,
    )


def _said(data: Mapping[str, Any]) -> Mapping[str, Any]:
    # LiteLLM's own copy of what was sent: the metadata itself is mixed with what the proxy adds.
    metadata = data.get("metadata")
    sent = metadata.get("requester_metadata") if isinstance(metadata, Mapping) else None
    return {"user": data.get("user"), **(sent if isinstance(sent, Mapping) else {})}
