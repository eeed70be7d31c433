"""Builds the tree of engines that the settings describe: a node is always one key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from .combining import All, By, EngineNode
from .engine import EnginePlugin
from .plugins import available, load_plugin
from .yaml_source import Loc, YamlSource, nearest

__all__ = ["build_engine"]

_MAX_DEPTH: Final = 8
_COMBINATIONS: Final = ("all", "by")
# The parts of the input document that are the same for every host; None where any name may follow.
_ENTITY: Final[Mapping[str, Any]] = {"id": {}, "properties": None, "type": {}}
_PATHS: Final[Mapping[str, Any]] = {
    "action": {"name": {}},
    "context": None,
    "resource": _ENTITY,
    "stage": {},
    "subject": _ENTITY,
}


def build_engine(node: Any, *, base: Path, source: YamlSource | None = None) -> All | By | EngineNode:
    """Build a tree of engines.

    Args:
        node: `{all: [...]}`, `{by: {key, cases, otherwise}}` or `{<engine>: {options}}`.
        base: the folder that relative paths start from.
        source: the file that it comes from, for the lines in messages.

    Raises:
        SettingsError: a node is malformed, an engine is not installed or a policy does not load.
    """
    source = source or YamlSource(Path("engine"), b"", node, {})
    return _Builder(base, source).build(node, ("engine",), 0)


class _Builder:
    def __init__(self, base: Path, source: YamlSource) -> None:
        self.base = base
        self.source = source

    def build(self, node: Any, loc: Loc, depth: int) -> All | By | EngineNode:
        if depth > _MAX_DEPTH:
            raise self.source.error(loc, f"is nested deeper than `{_MAX_DEPTH}`; flatten the tree")
        if not isinstance(node, Mapping) or len(node) != 1:
            raise self.source.error(loc, "must have exactly one key: `all`, `by` or an engine's name")
        ((kind, options),) = node.items()
        place = (*loc, kind)
        if kind == "all":
            if not isinstance(options, list | tuple) or not options:
                raise self.source.error(place, "must be a list of nodes and not empty")
            return All([self.build(one, (*place, index), depth + 1) for index, one in enumerate(options)])
        if kind == "by":
            return self._by(options, place, depth)
        return EngineNode(self._engine(str(kind), options, place))

    def _engine(self, kind: str, options: Any, place: Loc) -> Any:
        known = available("engine")
        if kind not in known:
            hint = nearest(kind, {*known, *_COMBINATIONS})
            raise self.source.error(place, f"is no installed engine{hint}")
        plugin: EnginePlugin = load_plugin("engine", kind)
        if options is not None and not isinstance(options, Mapping):
            raise self.source.error(place, "must be a mapping of options")
        try:
            checked = plugin.Options.model_validate(
                {"name": kind, **(options or {})}, context={"base": self.base}
            )
        except ValidationError as error:
            raise self.source.validated(error, plugin.Options, place) from None
        return plugin.from_options(checked)

    def _by(self, options: Any, place: Loc, depth: int) -> By:
        if not isinstance(options, Mapping) or not {"key", "cases"} <= set(options) <= {
            "key",
            "cases",
            "otherwise",
        }:
            raise self.source.error(place, "takes `key`, `cases` and, if wanted, `otherwise`")
        key, cases, otherwise = options["key"], options["cases"], options.get("otherwise")
        if not isinstance(key, str) or not isinstance(cases, Mapping) or not cases:
            raise self.source.error(place, "`key` must be a dotted path and `cases` a mapping, not empty")
        problem = _path_problem(key)
        if problem is not None:
            raise self.source.error((*place, "key"), problem)
        built = {
            str(value): self.build(one, (*place, "cases", str(value)), depth + 1)
            for value, one in cases.items()
        }
        if otherwise is not None:
            otherwise = self.build(otherwise, (*place, "otherwise"), depth + 1)
        return By(key, built, otherwise)


def _path_problem(key: str) -> str | None:
    """What is wrong with a path that would find no value in any request."""
    known: Mapping[str, Any] | None = _PATHS
    own = False
    for part in key.split("."):
        if known is not None and part not in known:
            hint = nearest(part, known) if known else "; end the path before it"
            return f"`{key}`: the input document has no `{part}` there{hint}"
        if not part:
            return f"`{key}` has an empty part; write names with one dot between them"
        own = known is None
        known = None if known is None else known[part]
    if known or (known is None and not own):
        return f"`{key}` is no value; name one of its parts"
    return None
