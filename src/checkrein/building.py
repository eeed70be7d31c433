"""Builds the tree of engines that the settings describe: a node is always one key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .combining import All, By, EngineNode
from .engine import EnginePlugin
from .errors import SettingsError
from .plugins import load_plugin

__all__ = ["build_engine"]

_MAX_DEPTH = 8


def build_engine(node: Any, *, base: Path, where: str = "engine", depth: int = 0) -> All | By | EngineNode:
    """Build one node and what is below it.

    Args:
        node: `{all: [...]}`, `{by: {key, cases, otherwise}}` or `{<engine>: {options}}`.
        base: the folder of the settings file.
        where: the node's place in the settings, for messages.
        depth: how deep it stands.

    Raises:
        SettingsError: a node is malformed, an engine is not installed or a policy does not load.
    """
    if depth > _MAX_DEPTH:
        raise SettingsError(f"`{where}` is nested deeper than `{_MAX_DEPTH}`; flatten the tree")
    if not isinstance(node, Mapping) or len(node) != 1:
        raise SettingsError(f"`{where}` must have exactly one key: `all`, `by` or an engine's name")
    ((kind, options),) = node.items()
    place = f"{where}.{kind}"
    if kind == "all":
        if not isinstance(options, list | tuple) or not options:
            raise SettingsError(f"`{place}` must be a list of nodes and not empty")
        return All(
            [
                build_engine(one, base=base, where=f"{place}[{index}]", depth=depth + 1)
                for index, one in enumerate(options)
            ]
        )
    if kind == "by":
        return _by(options, base, place, depth)
    plugin: EnginePlugin = load_plugin("engine", str(kind))
    try:
        checked = plugin.Options.model_validate(
            {"name": str(kind), **(options or {})}, context={"base": base}
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"`{place}.{key}`: {first['msg'].lower()}") from None
    except TypeError:
        raise SettingsError(f"`{place}` must be a mapping of options") from None
    return EngineNode(plugin.from_options(checked))


def _by(options: Any, base: Path, place: str, depth: int) -> All | By | EngineNode:
    known = {"key", "cases", "otherwise"}
    if not isinstance(options, Mapping) or not {"key", "cases"} <= set(options) <= known:
        raise SettingsError(f"`{place}` takes `key`, `cases` and, if wanted, `otherwise`")
    key, cases = options["key"], options["cases"]
    if not isinstance(key, str) or not isinstance(cases, Mapping):
        raise SettingsError(f"`{place}.key` must be a dotted path and `{place}.cases` a mapping")
    otherwise = options.get("otherwise")
    return By(
        key,
        {
            str(value): build_engine(one, base=base, where=f"{place}.cases.{value}", depth=depth + 1)
            for value, one in cases.items()
        },
        None
        if otherwise is None
        else build_engine(otherwise, base=base, where=f"{place}.otherwise", depth=depth + 1),
    )
