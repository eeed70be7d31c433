"""Reads an expression of a matcher or of a rule, and names what it is made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .patterns import Pattern

__all__ = [
    "FACTS",
    "Evaluate",
    "MatcherError",
    "PatternUse",
    "Use",
    "column_of",
    "path_of",
    "read_expression",
    "text_of",
]

Evaluate = Callable[[Mapping[str, Any]], Any]
"""Computes a part of a matcher from the values of a request and a row."""

FACTS: Final = ""
"""Where the `Facts` stand among the values: no name of a model is empty."""

_MAX_LENGTH: Final = 16 * 1024
_SHOWN: Final = 80
_WORDS: Final = {"&&": " and ", "||": " or ", "!": " not "}
_SIGNS: Final = re.compile(r"""("[^"]*"|'[^']*')|(#.*)|&&|\|\||!(?!=)""")


class MatcherError(Exception):
    """An expression that is refused; the message says why."""


@dataclass(frozen=True, slots=True)
class PatternUse:
    """A column that is read as a pattern: what compiles it, and the table that compiled ones go to."""

    column: str
    compile: Callable[[str], Pattern]
    compiled: dict[str, Pattern]


@dataclass(slots=True)
class Use:
    """What the expressions of a section do with the columns of a row.

    Args:
        columns: every column that they read.
        starred: columns in which `*` means something: read as patterns, or compared with `"*"`.
        patterns: columns that are read as patterns.
        rules: columns that hold rules, and the compiled rule by its text.
        roles: columns that name roles.
    """

    columns: set[str] = field(default_factory=set)
    starred: set[str] = field(default_factory=set)
    patterns: list[PatternUse] = field(default_factory=list)
    rules: dict[str, dict[str, Evaluate]] = field(default_factory=dict)
    roles: set[str] = field(default_factory=set)


def read_expression(text: str) -> ast.expr:
    """Parse one expression in Casbin's spelling: `&&`, `||` and `!` outside texts are Python's words.

    Raises:
        MatcherError: it is none, or more than one.
    """
    if len(text) > _MAX_LENGTH:
        raise MatcherError(f"it is over `{_MAX_LENGTH}` characters")
    if "\\" in text:
        raise MatcherError("it holds a backslash; write the character itself")
    spelt = _SIGNS.sub(lambda sign: sign[1] or ("" if sign[2] else _WORDS[sign[0]]), text)
    try:
        return ast.parse(spelt.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply or no text"
        raise MatcherError(f"it is no single expression: {reason}") from None


def column_of(tree: ast.expr, row: str) -> str | None:
    """The column that `p.column` names; None for everything else.

    Args:
        tree: the expression.
        row: `p` or `p2`.
    """
    if isinstance(tree, ast.Attribute) and isinstance(tree.value, ast.Name) and tree.value.id == row:
        return tree.attr
    return None


def path_of(tree: ast.expr, request: str) -> list[str]:
    """The names after `r.`, where `["x"]` is as good as `.x`; empty for everything else.

    Args:
        tree: the expression.
        request: `r` or `r2`.
    """
    names: list[str] = []
    while isinstance(tree, ast.Attribute | ast.Subscript):
        if isinstance(tree, ast.Attribute):
            names.append(tree.attr)
        elif isinstance(tree.slice, ast.Constant) and isinstance(tree.slice.value, str):
            names.append(tree.slice.value)
        else:
            return []
        tree = tree.value
    return names[::-1] if isinstance(tree, ast.Name) and tree.id == request else []


def text_of(tree: ast.expr) -> str:
    """An expression as text, shortened: the policy's own words, for messages."""
    text = ast.unparse(tree)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
