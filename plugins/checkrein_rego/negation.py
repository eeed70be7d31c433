"""Makes `not` over what is undefined mean what it means in OPA.

To OPA, `not input.role in roles` is undefined where the caller has no role: the operands of a call or an
operator are looked up before the negation (its compiler takes them out of the expression). The embedded
engines look them up inside, and the same line is then true. One bundle would give two verdicts, and a rule
such as `deny if not input.region in regions` would deny in every test and permit under OPA. So the operands
are asked for first: `type_name(input.role); not input.role in roles`.

A negated reference alone, `not input.role`, one beside `==`, and a rule, `not allowed`, are true in OPA, too,
and stay as they are: a policy that must hold for what is absent names a rule and negates that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .tokens import Token, closing, reference

__all__ = ["operands_first"]

_WORDLIKE: Final = frozenset({"name", "field", "number", "string", "raw"})
_NO_REFERENCE: Final = frozenset(
    {"", "as", "contains", "else", "every", "false", "if", "in", "not", "null"}
) | {
    "some",
    "true",
    "with",
}
_EQUALS: Final = frozenset({"==", "="})


def operands_first(tokens: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
    """What to insert before each negation: start, end (the same) and text.

    Args:
        tokens: of a module whose rule bodies all stand in braces.
    """
    for index, token in enumerate(tokens):
        if token.word == "not":
            end = _end(tokens, index + 1)
            last = end
            while last < len(tokens) and tokens[last].word == "with":
                last = _end(tokens, last + 1)
            modifiers = f" {_text(tokens[end:last])}" if last > end else ""
            asked = "".join(f"type_name({one}){modifiers}; " for one in _operands(tokens, index + 1, end))
            if asked:
                yield token.start, token.start, asked


def _end(tokens: Sequence[Token], index: int) -> int:
    """Where an expression ends: at a semicolon, a `with`, its bracket's end or its line's."""
    start = index
    while index < len(tokens):
        token = tokens[index]
        if token.text in (")", "]", "}", ";") and token.kind == "op":
            break
        if index > start and (token.word == "with" or (token.leads and _complete(tokens[index - 1], token))):
            break
        opens = token.kind == "op" and token.text in ("(", "[", "{")
        index = closing(tokens, index) + 1 if opens else index + 1
    return index


def _complete(before: Token, token: Token) -> bool:
    """Whether a line that begins with `token` is another expression."""
    ends = before.kind in _WORDLIKE and before.word not in ("in", "not")
    goes_on = token.word == "in" or (token.kind == "op" and token.text not in ("{", "[", "("))
    return (ends or before.text in (")", "]", "}")) and not goes_on


def _operands(tokens: Sequence[Token], start: int, end: int) -> Iterator[str]:
    """The references and calls that OPA looks up before it negates the expression."""
    inner = start
    if start < end and (tokens[start].word not in _NO_REFERENCE or _is_built_in(tokens, start)):
        after = _reference_end(tokens, start)
        if after < end and tokens[after].text == "(" and closing(tokens, after) == end - 1:
            inner = after + 1  # the expression is one call: its arguments are the operands
    index = inner
    while index < end:
        token = tokens[index]
        if token.text in ("[", "{") and token.kind == "op" and _is_comprehension(tokens, index):
            index = closing(tokens, index) + 1
        elif token.word == "_" or (token.word in _NO_REFERENCE and not _is_built_in(tokens, index)):
            index += 1
        else:
            after = _reference_end(tokens, index)
            called = after < end and tokens[after].text == "("
            while after < end and tokens[after].text == "(":
                after = _rest(tokens, closing(tokens, after) + 1)
            beside = (index == start and (after == end or tokens[after].text in _EQUALS)) or (
                after == end and index > start and tokens[index - 1].text in _EQUALS
            )
            if called or not beside:
                yield _text(tokens[index:after])
            else:
                yield from _computed(tokens, index, after)
            index = after


def _computed(tokens: Sequence[Token], start: int, end: int) -> Iterator[str]:
    """The operands in the computed parts of a reference: `input.k` in `input.xs[input.k].y`."""
    index = start
    while index < end:
        if tokens[index].text == "[" and tokens[index].kind == "op":
            close = closing(tokens, index)
            if tokens[index + 1].word and close > index + 2:
                yield _text(tokens[index + 1 : close])
            index = close
        index += 1


def _reference_end(tokens: Sequence[Token], index: int) -> int:
    """The index after a reference, computed parts included."""
    return _rest(tokens, reference(tokens, index)[1])


def _rest(tokens: Sequence[Token], index: int) -> int:
    while index + 1 < len(tokens):
        if tokens[index].text == "[" and not tokens[index].leads:
            index = closing(tokens, index) + 1
        elif tokens[index].text == "." and tokens[index + 1].kind == "field":
            index += 2
        else:
            break
    return index


def _is_comprehension(tokens: Sequence[Token], index: int) -> bool:
    depth = 0
    for token in tokens[index : closing(tokens, index)]:
        if token.kind == "op":
            if depth == 1 and token.text == "|":
                return True
            depth += (token.text in "([{") - (token.text in ")]}")
    return False


def _is_built_in(tokens: Sequence[Token], index: int) -> bool:
    return tokens[index].word == "contains" and index + 1 < len(tokens) and tokens[index + 1].text == "("


def _is_keyword(token: Token) -> bool:
    return bool(token.word) and token.word in _NO_REFERENCE


def _text(tokens: Sequence[Token]) -> str:
    """Tokens as source on one line, without the comments between them."""
    parts: list[str] = []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        if before and (_is_keyword(token) or _is_keyword(before) or {token.kind, before.kind} <= _WORDLIKE):
            parts.append(" ")
        parts.append(token.text)
    return "".join(parts)
