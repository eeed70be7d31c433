"""Reads policy rows by any of Casbin's adapters, strictly: what Casbin would drop is an error.

A misspelt `p` or a comma too many in a row that denies would otherwise permit.
"""

from __future__ import annotations

import os
import re
from collections.abc import KeysView, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from casbin.persist import load_policy_line

from checkrein.errors import PolicyLoadError

from .definition import Definition

__all__ = ["Adapter", "FileRows", "Row", "Rows", "line_of", "read_rows"]

_MAX_BYTES: Final = 64 * 1024 * 1024
_EFFECTS: Final = ("allow", "deny")
_IN_FILE: Final = re.compile(r"`(?P<file>.*)`, line (?P<line>\d+)", re.DOTALL)


class Adapter(Protocol):
    """What is asked of a Casbin adapter: nothing but its rows."""

    def load_policy(self, model: Any) -> Any:
        """Append every row to `model.model[section][type].policy`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values, and where it stands."""

    values: tuple[str, ...]
    place: str


Rows = Mapping[str, tuple[Row, ...]]
"""Rows by their type: `p`, `p2`, `g` ..."""


class FileRows:
    """A policy file; the library's own adapter of files tells no line.

    Args:
        path: the file, UTF-8, in Casbin's CSV: no quotes, comments on lines of their own. While it is
            followed, replace it by a rename: a file that is half written is half a policy.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[int, int] = {}

    def load_policy(self, model: Any) -> None:
        """Append every row to the model.

        Raises:
            PolicyLoadError: naming the line.
        """
        self.lines = {}
        try:
            with self.path.open("rb") as file:
                before = os.fstat(file.fileno())
                content = file.read(_MAX_BYTES + 1)
                after = os.fstat(file.fileno())
            text = content.decode()
        except (OSError, UnicodeDecodeError):
            raise PolicyLoadError(f"`{self.path.name}` cannot be read as UTF-8") from None
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise PolicyLoadError(
                f"`{self.path.name}` changed while it was read; replace it whole, by a rename"
            )
        if len(content) > _MAX_BYTES:
            raise PolicyLoadError(f"`{self.path.name}` is over `{_MAX_BYTES}` bytes")
        for number, raw in enumerate(text.split("\n"), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            try:
                if " #" in line or "\t#" in line:
                    raise PolicyLoadError("a comment must stand on a line of its own")  # noqa: TRY301 -- told below
                if '"' in line:
                    raise PolicyLoadError("has a quotation mark, which Casbin takes for a part of the value")  # noqa: TRY301
                load_policy_line(line, model)
            except PolicyLoadError as error:
                raise PolicyLoadError(f"`{self.path.name}`, line {number}: {error}") from None
            except IndexError:
                raise PolicyLoadError(
                    f"`{self.path.name}`, line {number}: a bracket closes none, or the type is missing"
                ) from None
            kind = line.partition(",")[0].strip()
            self.lines[id(model.model[kind[0]][kind].policy[-1])] = number


class _KnownKeys(KeysView[str]):
    """The keys of a section that refuse to be asked for another."""

    def __contains__(self, key: object) -> bool:
        if not super().__contains__(key):
            raise PolicyLoadError(f"a row of type `{key}` is none of the model's")
        return True


class _Known(dict[str, Any]):
    """Adapters ask `key in section.keys()` and drop the row when it is not."""

    def keys(self) -> Any:
        return _KnownKeys(self)


def read_rows(definition: Definition, adapter: Adapter) -> Rows:
    """Read every row.

    Args:
        definition: the model.
        adapter: Casbin's, or one like it.

    Raises:
        PolicyLoadError: the adapter cannot load, or a row does not fit the model.
    """
    if getattr(adapter, "is_filtered", None) is not None and adapter.is_filtered():  # type: ignore[attr-defined]
        raise PolicyLoadError("the adapter loads a part of the policy; a row that denies could be missing")
    model = definition.model()
    model.model = _Known({name: _Known(section) for name, section in model.model.items()})
    try:
        adapter.load_policy(model)
    except PolicyLoadError:
        raise
    except Exception as error:  # an adapter may raise anything; its words can hold a password
        raise PolicyLoadError(
            f"the adapter `{type(adapter).__name__}` raised `{type(error).__name__}` while loading"
        ) from error
    file = adapter if isinstance(adapter, FileRows) else None
    rows: dict[str, tuple[Row, ...]] = {}
    for section in definition.sections:
        name = f"p{section.suffix}"
        rows[name] = tuple(
            _policy_row(_placed(values, name, index, file), section.columns)
            for index, values in enumerate(model.model["p"][name].policy, 1)
        )
    for name, columns in definition.graphs.items():
        rows[name] = tuple(
            _graph_row(_placed(values, name, index, file), columns)
            for index, values in enumerate(model.model["g"][name].policy, 1)
        )
    return rows


def line_of(place: str) -> tuple[str, int] | None:
    """The file and the line of a row's place; None where the row stands in no file."""
    found = _IN_FILE.fullmatch(place)
    return None if found is None else (found["file"], int(found["line"]))


def _placed(values: Any, name: str, index: int, file: FileRows | None) -> Row:
    place = f"`{file.path.name}`, line {file.lines[id(values)]}" if file else f"row {index} of `{name}`"
    if not all(type(value) is str for value in values):
        raise PolicyLoadError(f"{place}: a value is no text")
    return Row(tuple(values), place)


def _policy_row(row: Row, columns: tuple[str, ...]) -> Row:
    values = row.values
    if columns[-1] == "code" and len(values) == len(columns) - 1:
        values = (*values, "")  # a database does not keep an empty last column
    if len(values) != len(columns):
        raise PolicyLoadError(
            f"{row.place}: has `{len(values)}` values; the columns are {', '.join(columns)}"
        )
    if "eft" in columns and values[columns.index("eft")] not in _EFFECTS:
        raise PolicyLoadError(
            f"{row.place}: `eft` is `{values[columns.index('eft')]}`; it is `allow` or `deny`"
        )
    return Row(values, row.place)


def _graph_row(row: Row, columns: int) -> Row:
    if len(row.values) != columns or not all(row.values[:2]):
        raise PolicyLoadError(
            f"{row.place}: has `{len(row.values)}` values, or an empty one; it takes `{columns}`"
        )
    if "*" in row.values:
        raise PolicyLoadError(f"{row.place}: `*` matches nothing by itself in a role graph; list the members")
    return row
