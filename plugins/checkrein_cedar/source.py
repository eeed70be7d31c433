"""Reads Cedar files and cuts them into statements, so that a policy can be named by file and line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from checkrein.errors import PolicyLoadError

__all__ = ["Statement", "read_file", "read_statements"]

_MAX_FILES: Final = 1_000
_MAX_SIZE: Final = 64 * 1024 * 1024
# Cedar's parser and validator recurse without a guard: a thousand open brackets end the whole process, and
# the validator passes what it is too deep for. The limits hold for a stack of 512 KiB, a thread's on macOS.
_MAX_BRACKETS: Final = 32
_MAX_IFS: Final = 64
_PART: Final = re.compile(
    r"""
    (?P<comment>//[^\n]*)
    | (?P<string>"(?:[^"\\]|\\.)*"?)
    | (?P<blank>\s+)
    | (?P<word>\w+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# Where Cedar ends a comment and a reader's editor does not, or shows text in another order, code could hide.
_HIDING: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|\r(?!\n)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One policy or template as written.

    Args:
        file: the file's name, relative to the folder that the settings name.
        line: where it starts, from 1.
        column: where in its line, from 1, when another starts there before it; otherwise 0.
        text: it, with its closing `;`.
    """

    file: str
    line: int
    column: int = 0
    text: str = field(repr=False)

    @property
    def place(self) -> str:
        """`file:line` or `file:line:column`, which also names a policy that has no `@id`."""
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")


def read_statements(path: Path) -> list[Statement]:
    """Read a `.cedar` file, or every one in a folder, in the order of their names.

    Args:
        path: the file or the folder; hidden files and folders in it are left out.

    Raises:
        PolicyLoadError: a file cannot be read, hides code, or nests too deeply for Cedar's parser.
    """
    statements: list[Statement] = []
    size = 0
    for count, (name, file) in enumerate(_files(path), 1):
        text = read_file(file)
        size += len(text)
        if count > _MAX_FILES or size > _MAX_SIZE:
            raise PolicyLoadError(
                f"policies `{path.name}` are over `{_MAX_FILES}` files or `{_MAX_SIZE}` characters"
            )
        hiding = _HIDING.search(text)
        if hiding:
            line = text.count("\n", 0, hiding.start()) + 1
            raise PolicyLoadError(
                f"`{name}:{line}`: character `U+{ord(hiding[0]):04X}` hides code; remove it"
            )
        statements += _cut(name, text)
    if not statements:
        raise PolicyLoadError(
            f"policies `{path.name}` hold no policy; name a `.cedar` file or a folder of them"
        )
    return statements


def read_file(path: Path) -> str:
    """Read a UTF-8 file.

    Raises:
        PolicyLoadError: it cannot be read, is too large or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise PolicyLoadError(f"`{path.name}` cannot be read: {error.strerror}") from None
    if len(content) > _MAX_SIZE:
        raise PolicyLoadError(f"`{path.name}` is over `{_MAX_SIZE}` bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise PolicyLoadError(f"`{path.name}` is not UTF-8; save it as UTF-8") from None


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    for folder, folders, names in os.walk(path):
        # Hidden folders hold what is not meant: `.git`, or the other versions of a mounted ConfigMap.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".cedar") and not name.startswith("."):
                file = Path(folder, name)
                yield file.relative_to(path).as_posix(), file


def _cut(name: str, text: str) -> Iterator[Statement]:
    """A `;` stands nowhere else in Cedar than at the end of a policy, in strings and in comments."""
    start = -1
    line = begins = 1
    column = last = depth = ifs = 0
    for match in _PART.finditer(text):
        part = match[0]
        if match.lastgroup not in ("blank", "comment"):
            if start < 0:
                start, begins, depth, ifs = match.start(), line, 0, 0
                column = start - text.rfind("\n", 0, start) if line == last else 0
                last = line
            depth += (part in ("(", "[", "{")) - (part in (")", "]", "}"))
            ifs += part == "if"
            if depth > _MAX_BRACKETS or ifs > _MAX_IFS:
                raise PolicyLoadError(
                    f"`{name}:{begins}`: nests over `{_MAX_BRACKETS}` brackets or `{_MAX_IFS}` times `if`; "
                    "split the policy"
                )
            if part == ";":
                yield Statement(file=name, line=begins, column=column, text=text[start : match.end()])
                start = -1
        line += part.count("\n")
    if start >= 0:
        yield Statement(file=name, line=begins, column=column, text=text[start:])
