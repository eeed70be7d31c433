"""Compiles what a matcher calls: role graphs, patterns, rules, our functions and the operator's own."""

from __future__ import annotations

import ast
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from checkrein.errors import EngineFailure, FailureCause

from .definition import Section
from .patterns import PATTERNS, REFUSED, Pattern
from .roles import RoleGraph
from .syntax import FACTS, Evaluate, MatcherError, PatternUse, Use, column_of, path_of, text_of
from .values import ABSENT, FUNCTIONS, Facts, fail, shown

__all__ = ["RESERVED", "Scope", "compile_call"]

RESERVED: Final = frozenset({"eval", "has", "ipMatch", *FUNCTIONS, *PATTERNS})
"""Names that a function of the operator's own cannot take."""


class Scope(Protocol):
    """What a call is compiled in."""

    section: Section
    graphs: Mapping[str, RoleGraph]
    functions: Mapping[str, Callable[..., Any]]
    use: Use
    in_rule: bool

    def compile(self, tree: ast.expr, depth: int) -> Evaluate:
        """Compile an argument."""

    def look_up(self, tree: ast.expr) -> Evaluate:
        """Compile a path that may be absent."""


def compile_call(scope: Scope, tree: ast.Call, depth: int) -> Evaluate:
    """Compile a call.

    Args:
        scope: what it is compiled in.
        tree: the call.
        depth: how deep it stands.

    Raises:
        MatcherError: it calls what may not be called, or in a way that would not mean what it says.
    """
    starred = any(isinstance(one, ast.Starred) for one in tree.args)
    if not isinstance(tree.func, ast.Name) or tree.keywords or starred:
        raise MatcherError(
            f"`{text_of(tree)}`: only a function's plain name can be called, with plain arguments"
        )
    name = tree.func.id
    if name in scope.graphs:
        return _graph(scope, tree, scope.graphs[name], depth)
    if name in scope.functions:
        return _own(scope, tree, name, depth)
    if name in PATTERNS or name == "ipMatch":
        return _pattern(scope, tree, name, depth)
    if name == "eval":
        return _rule(scope, tree)
    if name == "has":
        _expect(tree, 1)
        look = scope.look_up(tree.args[0])
        return lambda values: look(values) is not ABSENT
    if name in FUNCTIONS:
        call, count = FUNCTIONS[name]
        _expect(tree, count)
        parts = tuple(scope.compile(one, depth) for one in tree.args)
        return lambda values: call(*(part(values) for part in parts))
    if name in REFUSED:
        raise MatcherError(f"`{name}` {REFUSED[name]}")
    raise MatcherError(f"there is no function `{name}`; name your own under `functions`")


def _expect(tree: ast.Call, count: int) -> None:
    if len(tree.args) != count:
        raise MatcherError(f"`{text_of(tree)}` has `{len(tree.args)}` arguments; it takes `{count}`")


def _rule(scope: Scope, tree: ast.Call) -> Evaluate:
    row = f"p{scope.section.suffix}"
    column = column_of(tree.args[0], row) if len(tree.args) == 1 else None
    if column is None or column not in scope.section.columns or scope.in_rule:
        # Anything else could be the caller's, or a rule that calls itself.
        raise MatcherError(
            f"`{text_of(tree)}`: `eval` takes a column, `{row}.rule`, and stands in the matcher alone"
        )
    rules = scope.use.rules.setdefault(column, {})
    scope.use.columns.add(column)
    name = f"{row}_{column}"
    return lambda values: rules[values[name]](values)


def _graph(scope: Scope, tree: ast.Call, graph: RoleGraph, depth: int) -> Evaluate:
    _expect(tree, graph.columns)
    request = f"r{scope.section.suffix}"
    if path_of(tree.args[0], request) not in (["sub"], ["obj"]):
        raise MatcherError(
            f"`{text_of(tree)}`: what has a role is `{request}.sub` or `{request}.obj`; "
            "anything else could be named like a role"
        )
    if column_of(tree.args[1], f"p{scope.section.suffix}") is None and not isinstance(
        tree.args[1], ast.Constant
    ):
        raise MatcherError(f"`{text_of(tree)}`: a role is named by a column or a constant")
    name, role, *domains = (scope.compile(one, depth) for one in tree.args)
    if not domains:
        return lambda values: values[FACTS].has_role(graph, name(values), role(values), "")
    where = domains[0]

    def within(values: Mapping[str, Any]) -> bool:
        domain = where(values)
        if not isinstance(domain, str):
            fail("a domain is no text")
        facts: Facts = values[FACTS]
        return facts.has_role(graph, name(values), role(values), domain)

    return within


def _pattern(scope: Scope, tree: ast.Call, name: str, depth: int) -> Evaluate:
    _expect(tree, 2)
    compile_ = PATTERNS.get(name, _network)
    given = tree.args[1]
    value, pattern = (scope.compile(one, depth) for one in tree.args)
    compiled: dict[str, Pattern] = {}
    column = column_of(given, f"p{scope.section.suffix}")
    if column is not None:
        scope.use.starred.add(column)
        scope.use.patterns.append(PatternUse(column, compile_, compiled))
    elif isinstance(given, ast.Constant) and isinstance(given.value, str):
        try:
            compiled[given.value] = compile_(given.value)
        except ValueError as error:
            raise MatcherError(f"`{text_of(tree)}`: {error}") from None
    else:
        # Who chooses the pattern chooses the answer.
        raise MatcherError(f"`{text_of(tree)}`: a pattern is a column or a constant")

    def matches(values: Mapping[str, Any]) -> bool:
        text = value(values)
        if not isinstance(text, str):
            fail(f"`{name}` was given what is no text")
        return compiled[pattern(values)](text)

    return matches


def _network(text: str) -> Pattern:
    network = ipaddress.ip_network(text, strict=False)

    def matches(value: str) -> bool:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            fail("`ipMatch` was given what is no address")
        return address in network

    return matches


def _own(scope: Scope, tree: ast.Call, name: str, depth: int) -> Evaluate:
    call = scope.functions[name]
    parts = tuple(scope.compile(one, depth) for one in tree.args)

    def own(values: Mapping[str, Any]) -> Any:
        args = [shown(part(values)) for part in parts]
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 -- the operator's code; its words could echo a prompt
            problem = f"the function `{name}` raised `{type(error).__name__}`"
        raise EngineFailure(FailureCause.ENGINE_ERROR, problem)

    return own
