"""What a Rego module holds: package, imports and rules, what they call, which names nothing declares."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .constructs import Found, constructs
from .tokens import SourceError, Token, closing, reference, tokenize

__all__ = ["Module", "Rule", "Use", "read_module", "statements"]

_KEYWORDS: Final = frozenset(
    {"as", "contains", "default", "else", "every", "false", "if", "import", "in", "not", "null", "package"}
    | {"some", "true", "with"}
)
# A line that begins with one of these, or whose predecessor ends with one, goes on with a rule.
_GOES_ON: Final = frozenset({"as", "contains", "else", "every", "if", "in", "not", "some", "with"})
_OPERATORS: Final = frozenset(
    {":=", "=", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "&", "|"}
)
_LEAVES_OPEN: Final = _GOES_ON | _OPERATORS | {",", ".", "default", "import", "package"}
_ALWAYS_KNOWN: Final = _KEYWORDS | {"data", "input", "set", "_"}


class Rule(NamedTuple):
    """A definition of a rule: its path below the package, its line, takes arguments, is a default."""

    path: tuple[str, ...]
    line: int
    function: bool = False
    default: bool = False


class Use(NamedTuple):
    """A reference in a rule: its parts, its line and the rule that it stands in."""

    parts: tuple[str, ...]
    line: int
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module as far as loading must know it.

    Args:
        path: its file inside the bundle.
        source: its text.
        tokens: its tokens.
        package: its package, without `data`.
        imports: what each imported name stands for.
        rules: every definition, in order.
        calls: what is called, built-ins and functions alike; infix operators are not.
        names: the first part of every other reference that nothing in its own rule declares.
        constructs: what not every engine understands as OPA does.
    """

    path: str
    source: str = field(repr=False)
    tokens: Sequence[Token] = field(repr=False)
    package: tuple[str, ...]
    imports: Mapping[str, tuple[str, ...]]
    rules: Sequence[Rule] = field(repr=False)
    calls: Sequence[Use] = field(repr=False)
    names: Sequence[Use] = field(repr=False)
    constructs: Sequence[Found] = field(repr=False)


def read_module(path: str, source: str) -> Module:
    """Read a module.

    Args:
        path: its file inside the bundle.
        source: its text.

    Raises:
        SourceError: it is no Rego as far as can be seen here; the backend sees the rest.
    """
    tokens = tokenize(source)
    found = list(statements(tokens))
    if not found or tokens[found[0][0]].text != "package":
        raise SourceError(1, "a module must begin with `package`")
    package = _path(tokens, found[0][0] + 1)
    imports: dict[str, tuple[str, ...]] = {}
    rules: list[Rule] = []
    calls: list[Use] = []
    names: list[Use] = []
    unusual: list[Found] = []
    for start, end in found[1:]:
        part = tokens[start:end]
        if part[0].text == "import":
            target, after = reference(part, min(1, len(part) - 1))
            named = part[after + 1].text if after + 1 < len(part) and part[after].word == "as" else target[-1]
            if target[0] in ("data", "input"):
                imports[named] = target
            continue
        head = 1 if part[0].text == "default" and len(part) > 1 else 0
        path_, after = reference(part, head)
        function = after < len(part) and part[after].text == "("
        rules.append(Rule(path_, part[head].line, function, head == 1))
        label = ".".join(path_)
        if function:
            calls += _calls(part[after:], label)
            names += _undeclared(part[after:], label)
        else:
            calls += _calls(part[head + 1 :], label)
            names += _undeclared(part[head + 1 :], label)
        unusual += constructs(part[head:], label)
    return Module(
        path=path,
        source=source,
        tokens=tokens,
        package=package,
        imports=imports,
        rules=rules,
        calls=calls,
        names=names,
        constructs=unusual,
    )


def _path(tokens: Sequence[Token], index: int) -> tuple[str, ...]:
    if index >= len(tokens) or tokens[index].kind != "name":
        raise SourceError(tokens[0].line, "`package` names no package")
    return reference(tokens, index)[0]


def statements(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Where each `package`, `import` and rule begins and ends, as indexes of tokens."""
    starts: list[int] = []
    depth = 0
    for index, token in enumerate(tokens):
        if token.kind == "op":
            depth += (token.text in "([{") - (token.text in ")]}")
        elif depth == 0 and token.word and token.word not in _GOES_ON and _begins(tokens, index):
            starts.append(index)
    yield from itertools.pairwise([*starts, len(tokens)])


def _begins(tokens: Sequence[Token], index: int) -> bool:
    """Whether a rule may begin here: after a semicolon, or on a line that does not go on with another."""
    if index == 0 or tokens[index - 1].text == ";":
        return True
    before = tokens[index - 1]
    return tokens[index].leads and (before.kind == "field" or before.text not in _LEAVES_OPEN)


def _roots(tokens: Sequence[Token]) -> Iterator[int]:
    """The tokens that begin a reference: names that are no keywords."""
    for index, token in enumerate(tokens):
        # `contains(` is the built-in; where it is the keyword of a head, taking it for one does no harm.
        called = index + 1 < len(tokens) and tokens[index + 1].text == "("
        if token.word and (token.word not in _KEYWORDS or (token.word == "contains" and called)):
            yield index


def _calls(tokens: Sequence[Token], rule: str) -> Iterator[Use]:
    for index in _roots(tokens):
        parts, after = reference(tokens, index)
        if after < len(tokens) and tokens[after].text == "(":
            yield Use(parts, tokens[index].line, rule)


def _undeclared(tokens: Sequence[Token], rule: str) -> Iterator[Use]:
    declared = _ALWAYS_KNOWN | set(_declared(tokens))
    for index in _roots(tokens):
        parts, after = reference(tokens, index)
        if parts[0] not in declared and not (after < len(tokens) and tokens[after].text == "("):
            yield Use(parts, tokens[index].line, rule)


def _declared(tokens: Sequence[Token]) -> Iterator[str]:
    """Names that a rule may bind anywhere in it: more than Rego's scopes would allow, never fewer."""
    if tokens and tokens[0].text == "(":
        yield from _names(tokens[: closing(tokens, 0)])
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else token
        if token.word in ("some", "every"):
            end = index + 1
            while (
                end < len(tokens)
                and tokens[end].text not in ("in", ";", "}")
                and (not tokens[end].leads or tokens[end - 1].text == ",")
            ):
                end += 1
            yield from _names(tokens[index:end])
        elif token.text in (":=", "="):
            yield from _pattern(tokens, index - 1, -1)
            if token.text == "=":
                yield from _pattern(tokens, index + 1, 1)
        elif token.text == "[" and _is_indexed(before):
            if index + 2 < len(tokens) and tokens[index + 2].text == "]":
                yield from _names(tokens[index : index + 2])
        elif token.word == "walk":
            yield from _names(tokens[index : closing(tokens, index + 1)])


def _is_indexed(token: Token) -> bool:
    if token.kind == "name":
        return token.text not in _KEYWORDS
    return token.kind == "field" or token.text in (")", "]")


def _pattern(tokens: Sequence[Token], index: int, step: int) -> Iterator[str]:
    """The names of what stands on one side of an assignment: a variable, an array or an object."""
    if not 0 <= index < len(tokens):
        return
    if tokens[index].kind == "op" and tokens[index].text in "[](){}":
        other = closing(tokens, index, step=step)
        yield from _names(tokens[min(index, other) : max(index, other)])
    else:
        yield from _names(tokens[index : index + 1])


def _names(tokens: Sequence[Token]) -> Iterator[str]:
    return (token.text for token in tokens if token.kind == "name")
