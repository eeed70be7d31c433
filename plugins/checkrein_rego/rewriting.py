"""Writes modules as the backends must be given them; no line moves, so that messages name the right ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import orjson

from .negation import operands_first
from .source import Module, statements
from .tokens import Token, closing, literal, reference, tokenize

__all__ = ["as_in_opa", "canonical", "under_test"]

# In a test module `input` is a document like any other: regopy ends the process on `with input as`.
_INPUT: Final = "data.checkrein_test_input"


def as_in_opa(module: Module) -> Module:
    """The module with every body in braces and the operands of every negation asked for first."""
    braced = _changed(module, _bodies(module.tokens))
    return _changed(braced, operands_first(braced.tokens))


def canonical(module: Module) -> Module:
    r"""The module with every string escaped as JSON does: regopy compares the escaped forms.

    To it `"\u00e9"` and `"é"` are two texts, so that a rule on the one would miss the other. This comes
    last: the tokens stay those of before.
    """
    return replace(module, source=_replaced(module, _canonical_strings(module.tokens)))


def under_test(module: Module, modules: Sequence[Module]) -> Module:
    """The module for a run of native tests on regopy, in which `input` is only what a test says.

    Args:
        module: a policy or a test module.
        modules: all of them, to tell functions from values.
    """
    return _changed(module, itertools.chain(_values(module, modules), _inputs(module)))


def _changed(module: Module, changes: Iterable[tuple[int, int, str]]) -> Module:
    source = _replaced(module, changes)
    return replace(module, source=source, tokens=tokenize(source))


def _replaced(module: Module, changes: Iterable[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    taken = 0
    for start, end, text in sorted(changes, key=lambda change: change[:2]):
        parts += (module.source[taken:start], text)
        taken = end
    return "".join([*parts, module.source[taken:]])


def _canonical_strings(tokens: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
    for token in tokens:
        if token.kind == "string" and "\\" in token.text:
            yield token.start, token.start + len(token.text), orjson.dumps(literal(token)).decode()


def _bodies(tokens: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
    """`p if x` -> `p if { x }`, up to its end or its `else`."""
    for start, end in statements(tokens):
        depth = 0
        opened = False
        for index in range(start, end):
            token = tokens[index]
            if token.kind == "op":
                depth += (token.text in "([{") - (token.text in ")]}")
            elif depth == 0 and token.word == "else" and opened:
                yield _after(tokens[index - 1], " }")
                opened = False
            elif depth == 0 and token.word == "if" and index + 1 < end and tokens[index + 1].text != "{":
                yield _after(token, " {")
                opened = True
        if opened:
            yield _after(tokens[end - 1], " }")


def _after(token: Token, text: str) -> tuple[int, int, str]:
    end = token.start + len(token.text)
    return end, end, text


def _inputs(module: Module) -> Iterator[tuple[int, int, str]]:
    for token in module.tokens:
        if token.word == "input":
            yield token.start, token.start + len(token.text), _INPUT


def _values(module: Module, modules: Sequence[Module]) -> Iterator[tuple[int, int, str]]:
    """`with x as value` -> `with x as [value][0]`: regopy takes a lone reference there for a function.

    Where `x` is a function, the reference is meant to be one.
    """
    functions = {(*one.package, *rule.path) for one in modules for rule in one.rules if rule.function}
    tokens = module.tokens
    for index, token in enumerate(tokens):
        if token.word != "with" or index + 1 >= len(tokens):
            continue
        target, after = reference(tokens, index + 1)
        target = (*module.imports.get(target[0], target[:1]), *target[1:])
        if target[0] not in ("data", "input") or target[1:] in functions:
            continue
        if after + 1 >= len(tokens) or tokens[after].word != "as" or tokens[after + 1].kind != "name":
            continue
        value = tokens[after + 1]
        end = _end_of(tokens, after + 1)
        if value.text in ("true", "false", "null") or (end < len(tokens) and tokens[end].text == "("):
            continue
        yield value.start, value.start, "["
        yield _after(tokens[end - 1], "][0]")


def _end_of(tokens: Sequence[Token], index: int) -> int:
    """The index after a reference, computed parts included: `cases[i].input`."""
    _, end = reference(tokens, index)
    while end + 1 < len(tokens):
        if tokens[end].text == "[" and not tokens[end].leads:
            end = closing(tokens, end) + 1
        elif tokens[end].text == "." and tokens[end + 1].kind == "field":
            end += 2
        else:
            break
    return end
