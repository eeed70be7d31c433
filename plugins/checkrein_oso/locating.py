"""Where Polar rules and the words of their reasons stand; read from the files when somebody asks.

The library names the rule that it asked and not the one of its definitions that held.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from .core import Source

__all__ = ["Place", "definitions", "literals"]

Place = tuple[str, int]
"""A file inside the policies' folder, and a line of it, from 1."""

_PART: Final = re.compile(
    r"""
    (?P<blank>\s+|\#[^\n]*)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<word>[A-Za-z_]\w*(?:::\w+)*)
    | (?P<mark>\?=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final[Mapping[str, str]] = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


class _Part(NamedTuple):
    kind: str
    text: str
    line: int


def definitions(sources: Iterable[Source], asked: Mapping[str, int]) -> Mapping[str, Place]:
    """Where each of these rules is first defined.

    Args:
        sources: the files.
        asked: how many parameters each rule has, by its name; one of another number is another rule.
    """
    found: dict[str, Place] = {}
    for file, text in sources:
        for statement in _statements(text):
            head = statement[0]
            if asked.get(head.text) == _parameters(statement):
                found.setdefault(head.text, (file, head.line))
    return found


def literals(sources: Iterable[Source]) -> Mapping[str, Sequence[Place]]:
    """Where each string is written, by its value, outside inline queries: those are tests."""
    found: dict[str, dict[Place, None]] = {}
    for file, text in sources:
        for statement in _statements(text):
            if statement[0].text == "?=":
                continue
            for part in statement:
                if part.kind == "string":
                    found.setdefault(_value(part.text), {})[file, part.line] = None
    return {text: [*places] for text, places in found.items()}


def _statements(text: str) -> Iterator[Sequence[_Part]]:
    """The rules, blocks and queries of a file: a semicolon ends them, and a block ends with its brace."""
    statement: list[_Part] = []
    depth = 0
    for part in _parts(text):
        statement.append(part)
        if part.kind != "mark":
            continue
        depth += (part.text in _OPENING) - (part.text in _CLOSING)
        if depth == 0 and (part.text == ";" or (part.text == "}" and _is_block(statement))):
            yield statement
            statement = []


def _is_block(statement: Sequence[_Part]) -> bool:
    return statement[0].text in ("actor", "resource") and statement[1].kind == "word"


def _parts(text: str) -> Iterator[_Part]:
    line = 1
    for match in _PART.finditer(text):
        kind = str(match.lastgroup)
        if kind != "blank":
            yield _Part(kind, match[0], line)
        line += match[0].count("\n")


def _parameters(statement: Sequence[_Part]) -> int:
    """How many parameters a rule's head has; 0 is no rule with any."""
    if len(statement) < 3 or statement[1].text != "(" or statement[2].text == ")":  # noqa: PLR2004 -- `name ( )`
        return 0
    depth, count = 0, 1
    for part in statement[1:]:
        if part.kind == "mark":
            depth += (part.text in _OPENING) - (part.text in _CLOSING)
            count += part.text == "," and depth == 1
            if depth == 0:
                break
    return count


def _value(string: str) -> str:
    return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), string[1:-1])
