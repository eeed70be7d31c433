"""The entities that Cedar decides with: those of the settings, parsed once, and the two of each request.

Adding two entities to a set of 10,000 takes 14 ms, because Cedar copies the set. So a request's entities
carry all their ancestors themselves, and the others are left out wherever the policies cannot look at them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson
from cedarpy import Entities, Schema

from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError

from .names import Names, Uid, shown
from .needs import Needs
from .values import cedar_value

__all__ = ["EntityStore", "StableEntities", "check_types"]

_KEYS: Final = frozenset({"uid", "attrs", "parents", "tags"})
_CACHED_TEXT: Final = 4_096
_MOST_CACHED: Final = 1_024
_MOST_COPIED: Final = 100_000


def check_types(types: Iterable[str]) -> None:
    """Refuse entity types that no entity can have, for instance `in`.

    Raises:
        PolicyLoadError: naming the type.
    """
    for name in types:
        try:
            Entities.from_json_str(
                json.dumps([{"uid": {"type": name, "id": ""}, "attrs": {}, "parents": []}])
            )
        except ValueError:
            raise PolicyLoadError(f"`{name}` is a name that Cedar keeps for itself; choose another") from None


class StableEntities:
    """The entities of a file, checked: groups and their parents, model families, models, users.

    Args:
        text: Cedar's JSON entities, an array.
        name: the file's name, for messages.
        schema: what they must conform to; it also brings the hierarchy of actions.

    Raises:
        PolicyLoadError: naming the entity that does not conform.
    """

    def __init__(self, text: str, name: str, schema: Schema | None) -> None:
        self.all: dict[Uid, Mapping[str, Any]] = {}
        # What the library prints is explicit: it needs no schema to be read again.
        for one in json.loads(str(_parsed(text, name, schema))):
            self.all[one["uid"]["type"], one["uid"]["id"]] = one
        self._ancestors: dict[Uid, tuple[Uid, ...]] = {}

    def ancestors(self, uid: Uid) -> tuple[Uid, ...]:
        """Everything above an entity, itself not."""
        known = self._ancestors.get(uid)
        if known is not None:
            return known
        found: dict[Uid, None] = {}
        waiting = self._parents(uid)
        while waiting:
            one = waiting.pop()
            if one not in found:
                found[one] = None
                waiting += self._parents(one)
        if uid in self.all:
            self._ancestors[uid] = tuple(found)
        return tuple(found)

    def _parents(self, uid: Uid) -> list[Uid]:
        entity = self.all.get(uid)
        return [(one["type"], one["id"]) for one in entity["parents"]] if entity else []


class EntityStore:
    """Gives the entities of a request.

    Args:
        stable: those of the settings.
        names: how entities are called.
        needs: what the policies look at.
    """

    def __init__(self, stable: StableEntities, names: Names, needs: Needs) -> None:
        self._stable = stable
        self._names = names
        self._attributes = needs.attributes
        fixed: list[Mapping[str, Any]] = []
        # What requests can bring themselves is added to each, so that it is there once.
        self._loose: dict[Uid, Mapping[str, Any]] = {}
        for uid, entity in stable.all.items():
            if uid[0] not in names.groups:
                self._loose[uid] = entity
            elif needs.others or uid[0] == names.action:
                fixed.append(entity)
        self._others = self._loose if needs.others else {}
        base = Entities.from_json_str(json.dumps(fixed))
        copied = len(fixed) + len(self._others) + 2
        self._added = base.with_added_json_str
        self._remembered = lru_cache(maxsize=max(1, min(_MOST_CACHED, _MOST_COPIED // copied)))(self._added)

    def uid_of(self, entity: Mapping[str, Any]) -> Uid:
        """What a subject or a resource of the input document is called.

        Raises:
            EngineFailure: `request_rejected` when its type has no name in Cedar.
        """
        return self._names.type_of(entity["type"]), entity["id"]

    def entities(self, asked: Mapping[Uid, Mapping[str, Any]]) -> Entities:
        """The entities of one request, or of several that are asked together.

        Args:
            asked: the properties of each subject and resource.

        Raises:
            EngineFailure: `request_rejected` for properties that Cedar has no value for, `engine_error` when
                the library refuses the entities.
        """
        delta = [self._entity(uid, properties) for uid, properties in asked.items()]
        delta += [entity for uid, entity in self._others.items() if uid not in asked]
        text = orjson.dumps(delta).decode()
        try:
            # Callers come back: reading the same two entities again is a third of the answer.
            return self._remembered(text) if len(text) <= _CACHED_TEXT else self._added(text)
        except ValueError:
            raise EngineFailure(
                FailureCause.ENGINE_ERROR, "the entities of the request are refused"
            ) from None

    def forget(self) -> None:
        """Drop what is remembered of requests."""
        self._remembered.cache_clear()

    def _entity(self, uid: Uid, properties: Mapping[str, Any]) -> Mapping[str, Any]:
        attributes = {
            key: cedar_value(value)
            for key, value in properties.items()
            if key in self._attributes and value is not None
        }
        parents: dict[Uid, None] = {}
        stable = self._loose.get(uid)
        if stable is not None:
            # The operator's file outranks what a host says, as `models` of the settings does.
            attributes |= stable["attrs"]
            parents = dict.fromkeys(self._stable.ancestors(uid))
        for parent in self._names.parents_of(properties):
            parents[parent] = None
            parents |= dict.fromkeys(self._stable.ancestors(parent))
        entity = {"uid": _json(uid), "attrs": attributes, "parents": [_json(one) for one in parents]}
        if stable is not None and "tags" in stable:
            entity["tags"] = stable["tags"]
        return entity


def _json(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}


def _parsed(text: str, name: str, schema: Schema | None) -> Entities:
    try:
        entities = json.loads(text)
    except (ValueError, RecursionError):
        raise PolicyLoadError(f"`{name}` is no JSON; write Cedar's JSON entities, an array") from None
    if not isinstance(entities, list) or not all(isinstance(one, dict) for one in entities):
        raise PolicyLoadError(f"`{name}` must be an array of entities: `{{uid, attrs, parents}}`")
    for index, one in enumerate(entities):
        unknown = sorted(one.keys() - _KEYS)
        if unknown:
            raise PolicyLoadError(
                f"`{name}`: entity `{index}` has the unknown key `{unknown[0]}`; "
                f"it takes {', '.join(sorted(_KEYS))}"
            )
    try:
        return Entities.from_json_str(text, schema)
    except ValueError as error:
        raise PolicyLoadError(_refusal(name, entities, schema, error)) from None


def _refusal(name: str, entities: Iterable[Any], schema: Schema | None, error: ValueError) -> str:
    """The library does not say which entity it means: ask for each alone."""
    for index, one in enumerate(entities):
        try:
            Entities.from_json_str(json.dumps([one]), schema)
        except ValueError as own:
            uid = one.get("uid")
            uid = uid.get("__entity", uid) if isinstance(uid, dict) else {}
            called = shown((str(uid.get("type")), str(uid.get("id"))))
            against = "" if schema is None else " or does not conform to the schema"
            return f"`{name}`: entity `{index}`, `{called}`, is malformed{against}: {own}"
    return f"`{name}`: {error}"
