"""How subjects, resources, actions and groups are called in Cedar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from checkrein.errors import EngineFailure, FailureCause

__all__ = ["PARENTS", "TYPES", "TYPE_NAME", "Names", "Uid", "shown"]

Uid = tuple[str, str]
"""An entity's type and id, the id as it is: it never becomes Cedar text, so that no quote in it counts."""

TYPES: Final[Mapping[str, str]] = {
    "anonymous": "Anonymous",
    "model": "Model",
    "retriever": "Retriever",
    "tool": "Tool",
    "user": "User",
}
PARENTS: Final[Mapping[str, str]] = {"family": "ModelFamily", "groups": "Group", "roles": "Role"}
TYPE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)*")

_ACTION: Final = "Action"
_KIND: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


class Names:
    """The names that a policy set uses.

    Args:
        types: Cedar's entity type by the type of a subject or resource.
        parents: Cedar's entity type by the property that names parents.
        namespace: put before every type that has none of its own.
    """

    def __init__(self, types: Mapping[str, str], parents: Mapping[str, str], namespace: str | None) -> None:
        self._prefix = f"{namespace}::" if namespace else ""
        self.types: Mapping[str, str] = {kind: self._full(name) for kind, name in types.items()}
        self.parents: Mapping[str, str] = {key: self._full(name) for key, name in parents.items()}
        self.action = self._full(_ACTION)
        self.groups = frozenset({self.action, *self.parents.values()})
        """The types of parents, and of actions: never that of a subject or a resource."""
        self._taken = self.groups | {*self.types.values()}

    def type_of(self, kind: str) -> str:
        """The entity type of a subject or a resource; `service_account` is `ServiceAccount` by itself.

        Raises:
            EngineFailure: `request_rejected` when the type has no name in Cedar or one that others have: a
                subject that could be named `Group::"admins"` would be in it.
        """
        name = self.types.get(kind)
        if name is not None:
            return name
        if _KIND.fullmatch(kind):
            name = self._full("".join(part.capitalize() for part in kind.split("_")))
            if name not in self._taken:
                return name
        raise EngineFailure(
            FailureCause.REQUEST_REJECTED,
            "the subject's or the resource's type has no entity type in `types`",
        )

    def parents_of(self, properties: Mapping[str, Any]) -> list[Uid]:
        """The groups, roles and families that an entity's properties name.

        Raises:
            EngineFailure: `request_rejected` when one is neither a name nor a list of names.
        """
        found: list[Uid] = []
        for key, kind in self.parents.items():
            value = properties.get(key)
            if value is None:
                continue
            names = [value] if isinstance(value, str) else value
            if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
                raise EngineFailure(
                    FailureCause.REQUEST_REJECTED, f"`{key}` must be a name or a list of names"
                )
            found += [(kind, name) for name in names]
        return found

    def _full(self, name: str) -> str:
        return name if "::" in name else f"{self._prefix}{name}"


def shown(uid: Uid) -> str:
    """An entity as it stands in a policy, for messages alone."""
    quoted = uid[1].replace("\\", "\\\\").replace('"', '\\"')
    return f'{uid[0]}::"{quoted}"'
