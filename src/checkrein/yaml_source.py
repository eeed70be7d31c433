"""Reads YAML as strictly as settings need: no duplicate key, no alias, bounded, every value with its line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from .errors import SettingsError

__all__ = ["Loc", "YamlSource", "dotted", "meant", "nearest"]

Loc = tuple[str | int, ...]
"""Where a value stands: keys and indexes from the root."""

_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_DEPTH: Final = 64
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A parsed file.

    Args:
        path: the file.
        content: its bytes, before any `${NAME}` was filled in.
        value: plain values, with every `${NAME}` filled in.
        lines: line of each value, from 1.
    """

    path: Path
    content: bytes
    value: Any
    lines: Mapping[Loc, int]

    @classmethod
    def read(cls, path: Path, *, variables: bool = True) -> YamlSource:
        """Read a file.

        Args:
            path: the file.
            variables: whether `${NAME}` stands for an environment variable.

        Raises:
            SettingsError: it cannot be read, is not strict YAML or names a variable that is not set.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise SettingsError(f"`{path}` cannot be read: {(error.strerror or 'unknown').lower()}") from None
        if len(content) > _MAX_BYTES:
            raise SettingsError(f"`{path}` is over `{_MAX_BYTES}` bytes; split it")
        try:
            root = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
        except UnicodeDecodeError:
            raise SettingsError(f"`{path}` is no UTF-8") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise SettingsError(f"{path}:{line}: not valid yaml: {error.problem}") from None
        except (yaml.YAMLError, RecursionError):
            raise SettingsError(f"`{path}` is not valid yaml") from None
        reader = _Reader(path, variables=variables)
        value = {} if root is None else reader.plain(root, ())
        return cls(path, content, value, reader.lines)

    def line(self, loc: Sequence[str | int]) -> int:
        """The line of a value, or of the nearest thing around it that stands in the file."""
        for length in range(len(loc), -1, -1):
            line = self.lines.get(tuple(loc[:length]))
            if line is not None:
                return line
        return 1

    def error(self, loc: Sequence[str | int], message: str) -> SettingsError:
        """An error that names file, line and key."""
        key = dotted(loc)
        where = f"`{key}` " if key else ""
        return SettingsError(f"{self.path}:{self.line(loc)}: {where}{message}")

    def validated(self, error: ValidationError, model: type[BaseModel], at: Loc = ()) -> SettingsError:
        """Turn pydantic's first complaint into ours; no input is ever repeated."""
        errors = error.errors(include_input=False, include_url=False, include_context=False)
        # A misspelt key is also a missing one: what was written says more than what was not.
        first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
        loc = tuple(part for part in first["loc"] if part != "[key]")
        if first["type"] == "extra_forbidden":
            message = f"is no known key{nearest(str(loc[-1]), _keys(model, loc))}"
        elif first["type"] == "missing":
            message = "is missing; add it"
        else:
            text = first["msg"].removeprefix("Value error, ")
            message = text[:1].lower() + text[1:]
        return self.error((*at, *loc), message)


def dotted(loc: Sequence[str | int]) -> str:
    """The name of a place as people write it: `engine.all[1].rego.bundle`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def nearest(word: str, known: Collection[str]) -> str:
    """A hint at the known word that was probably meant, or else at all of them."""
    close = meant(word, known)
    return f"; did you mean `{close}`?" if close else f"; known are: {', '.join(sorted(known))}"


def meant(word: str, known: Collection[str]) -> str | None:
    """The known word that was probably meant, if it is near one."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> Collection[str]:
    """The keys that the model allows at a place inside it."""
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        model = (_model_in(field.annotation) if field else None) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for model in map(_model_in, get_args(annotation)) if model), None)


class _Reader:
    def __init__(self, path: Path, *, variables: bool) -> None:
        self.path = path
        self.variables = variables
        self.lines: dict[Loc, int] = {}
        self._seen: set[int] = set()
        self._constructor = yaml.constructor.SafeConstructor()

    def plain(self, node: yaml.Node, loc: Loc) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(loc, line)
        if id(node) in self._seen:
            # An alias can grow a file beyond any bound, and hides what a setting says from its reader.
            raise self._error(line, "an alias is not allowed; write the value out")
        self._seen.add(id(node))
        if len(loc) > _MAX_DEPTH:
            raise self._error(line, f"is nested deeper than `{_MAX_DEPTH}`")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*loc, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                raise self._error(line, "a key must be a plain string")
            key = key_node.value
            if key in result:
                raise self._error(line, f"the key `{key}` is there twice")
            self.lines[(*loc, key)] = line
            result[key] = self.plain(value_node, (*loc, key))
        return result

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        try:
            value = self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError):
            raise self._error(line, f"`{node.tag}` is not allowed") from None
        if not isinstance(value, str | int | float | bool | None):
            return node.value  # a date stays the text that was written
        if isinstance(value, bool) and node.value.lower() not in {"true", "false"}:
            return node.value  # `no` is a language, and `on` a word
        if isinstance(value, str) and self.variables:
            return _VARIABLE.sub(lambda match: self._variable(match[1], line), value)
        return value

    def _variable(self, name: str, line: int) -> str:
        value = os.environ.get(name)
        if value is None:
            raise self._error(line, f"the environment variable `{name}` is not set; set it")
        return value

    def _error(self, line: int, message: str) -> SettingsError:
        return SettingsError(f"{self.path}:{line}: {message}")
