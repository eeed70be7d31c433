"""Finds, in the tokens of a rule, what not every engine understands as OPA does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from .tokens import Token, closing

__all__ = ["Construct", "Found", "constructs"]


class Construct(StrEnum):
    """A way to write something."""

    WITH = "a `with`"
    BARE_BODY = "a body without `if`"
    UNIFICATION = "a unification by `=`"
    PATTERN = "a pattern on the left of an assignment"
    INDEX = "an index variable"


class Found(NamedTuple):
    """A construct, its line, the rule that it stands in and, of an index variable, the name."""

    construct: Construct
    line: int
    rule: str
    name: str = ""


_MAY_PRECEDE_BRACE: Final = frozenset(
    {"as", "contains", "if", "in", "not", "some", "with", ",", ".", ":="}
    | {"=", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "&", "|"}
)


def constructs(tokens: Sequence[Token], rule: str) -> Iterator[Found]:
    """Every such construct of a rule, from its head on.

    An index variable counts where nothing of the rule gives it a value; whether it is a rule or an import
    shows in the whole bundle alone.
    """
    bound = set(_bound(tokens))
    depth = 0
    in_head, every = True, False
    for index, token in enumerate(tokens):
        outside = depth == 0
        found = _at(tokens, index, in_head=in_head and outside, outside=outside, every=every)
        name = tokens[index + 1].word if found is Construct.INDEX else ""
        if found and name not in (bound if name else ()):
            yield Found(found, token.line, rule, name)
        if outside:
            every = token.text != "{" and (every or token.word == "every")
            # A head ends at its value or its `if`; what follows `else` is a head again.
            in_head = token.word == "else" or (
                in_head and token.word != "if" and token.text not in (":=", "=")
            )
        if token.kind == "op":
            depth += (token.text in "([{") - (token.text in ")]}")


def _at(
    tokens: Sequence[Token], index: int, *, in_head: bool, outside: bool, every: bool
) -> Construct | None:
    token, before = tokens[index], tokens[index - 1] if index else tokens[index]
    following = tokens[index + 1].text if index + 1 < len(tokens) else ""
    if token.word == "with":
        return Construct.WITH
    if token.text == "{" and outside and index and not every and before.text not in _MAY_PRECEDE_BRACE:
        return Construct.BARE_BODY
    if token.text == "=" and not in_head:
        return Construct.UNIFICATION
    named = token.word in ("some", "every") and following in ("[", "{")
    assigned = token.text == ":=" and before.text in ("]", "}") and not in_head
    if named or assigned:
        return Construct.PATTERN
    if token.text == "[" and index and not in_head and _is_index(tokens, index):
        return Construct.INDEX
    return None


def _is_index(tokens: Sequence[Token], index: int) -> bool:
    """Whether `[` opens an index that is a lone variable."""
    before = tokens[index - 1]
    follows = before.kind == "field" or before.text in (")", "]") or before.word not in _WORDS
    return (
        follows
        and index + 2 < len(tokens)
        and tokens[index + 1].word not in ("", "_", "true", "false", "null", "input", "data")
        and tokens[index + 2].text == "]"
    )


_WORDS: Final = frozenset({"", "as", "contains", "else", "if", "in", "not", "some", "with"})


def _bound(tokens: Sequence[Token]) -> Iterator[str]:
    """Variables that something in the rule gives a value: not those that `some i` merely names."""
    if len(tokens) > 1 and tokens[1].text == "(":
        yield from (token.word for token in tokens[1 : closing(tokens, 1)])
    for index, token in enumerate(tokens):
        if token.text == ":=" and index:
            yield tokens[index - 1].word
        elif token.word in ("some", "every"):
            end = index + 1
            while (
                end < len(tokens)
                and (tokens[end].kind != "op" or tokens[end].text == ",")
                and not (tokens[end].word == "in" or (tokens[end].leads and tokens[end - 1].text != ","))
            ):
                end += 1
            if end < len(tokens) and tokens[end].word == "in":
                yield from (one.word for one in tokens[index + 1 : end])
        elif token.word == "walk" and index + 1 < len(tokens) and tokens[index + 1].text == "(":
            yield from (one.word for one in tokens[index + 1 : closing(tokens, index + 1)])
