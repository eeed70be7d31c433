"""Cuts Rego source into tokens, so that what a policy calls is read from code and never from text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, cast

__all__ = ["SourceError", "Token", "closing", "literal", "reference", "tokenize"]

Kind = Literal["name", "field", "string", "raw", "number", "op"]


class Token(NamedTuple):
    """A token: kind, text as written, start in code points, line from 1, whether it is its line's first."""

    kind: Kind
    text: str
    start: int
    line: int
    leads: bool

    @property
    def word(self) -> str:
        """The text where it can be a keyword, else nothing."""
        return self.text if self.kind == "name" else ""


class SourceError(Exception):
    """A source that cannot be cut into tokens, and the line where that shows."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


_TOKEN: Final = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+)
    | (?P<comment>\#[^\n]*)
    | (?P<raw>`[^`]*`)
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    | (?P<op>:=|==|!=|<=|>=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# Where a backend might end a line, a comment or the whole source and we would not, code could hide.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]|\r(?!\n)")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}
_BROKEN: Final = {
    '"': "a string is not closed on its line",
    "`": "a raw string is not closed",
    "$": "string templates are not known to every backend; use `sprintf`",
}


def tokenize(source: str) -> list[Token]:
    """Cut a source into tokens; blanks and comments are left out.

    Raises:
        SourceError: a string is not closed or not JSON's, or a character could hide code from readers.
    """
    control = _CONTROL.search(source)
    if control:
        line = source.count("\n", 0, control.start()) + 1
        raise SourceError(line, f"control character `U+{ord(control[0]):04X}`; remove it")
    tokens: list[Token] = []
    line, leads = 1, True
    for match in _TOKEN.finditer(source):
        kind, text = str(match.lastgroup), match[0]
        if kind not in ("blank", "comment"):
            if text in _BROKEN:
                raise SourceError(line, _BROKEN[text])
            if kind == "name" and tokens and tokens[-1].text == ".":
                kind = "field"  # `input.if` is no keyword
            token = Token(cast("Kind", kind), text, match.start(), line, leads)
            if kind == "string":
                literal(token)
            tokens.append(token)
            leads = False
        ends = text.count("\n")
        leads = leads or bool(ends)
        line += ends
    _check_brackets(tokens)
    return tokens


def _check_brackets(tokens: Sequence[Token]) -> None:
    # A backend that forgives a bracket would cut the source into other rules than are read here.
    opened: list[Token] = []
    for token in tokens:
        if token.kind != "op":
            continue
        if token.text in _PAIRS:
            opened.append(token)
        elif token.text in _PAIRS.values() and (not opened or _PAIRS[opened.pop().text] != token.text):
            raise SourceError(token.line, f"`{token.text}` closes nothing")
    if opened:
        raise SourceError(opened[-1].line, f"`{opened[-1].text}` is not closed")


def reference(tokens: Sequence[Token], index: int) -> tuple[tuple[str, ...], int]:
    """Read a reference that starts with a name: `a.b`, `a["b"].c`.

    Blanks, line ends and comments between its parts do not matter to every backend; so not here.

    Returns:
        Its parts, and the index of the token after them; a computed part, `a[b]`, ends it.
    """
    parts = [tokens[index].text]
    index += 1
    while index + 1 < len(tokens):
        text, following = tokens[index].text, tokens[index + 1]
        if text == "." and following.kind == "field":
            parts.append(following.text)
            index += 2
        elif (
            text == "["
            and following.kind in ("string", "raw")
            and index + 2 < len(tokens)
            and tokens[index + 2].text == "]"
        ):
            parts.append(literal(following))
            index += 3
        else:
            break
    return tuple(parts), index


def literal(token: Token) -> str:
    """The value of a string token.

    Raises:
        SourceError: an escape is not JSON's, or stands for half a character.
    """
    if token.kind == "raw":
        return token.text[1:-1]
    try:
        value = cast("str", json.loads(token.text, strict=False))
        value.encode()
    except ValueError:
        raise SourceError(token.line, "a string has an escape that is not JSON's") from None
    return value


def closing(tokens: Sequence[Token], index: int, *, step: int = 1) -> int:
    """The index of the bracket that belongs to the one at `index`; without one, the last token of that side.

    Args:
        tokens: the tokens.
        index: a bracket.
        step: 1 from an opening one on, -1 from a closing one back.
    """
    opens = _PAIRS.keys() if step == 1 else _PAIRS.values()
    closes = _PAIRS.values() if step == 1 else _PAIRS.keys()
    depth = 0
    while 0 <= index < len(tokens):
        token = tokens[index]
        if token.kind == "op":
            depth += (token.text in opens) - (token.text in closes)
            if depth == 0:
                return index
        index += step
    return max(0, min(index, len(tokens) - 1))
