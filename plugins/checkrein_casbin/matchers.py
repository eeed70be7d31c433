"""Compiles a matcher to closures: what is not listed here cannot happen, and nothing is compiled per request.

The library hands a matcher to an interpreter of Python's syntax tree, parsed anew for each request, and
pastes the rule of `eval(p.rule)` into it as text. Here a matcher is a tree of functions, and so is each rule,
by itself: a rule cannot close the bracket that it stands in, and no value of a request is ever an expression.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from .calls import compile_call
from .definition import Section
from .roles import RoleGraph
from .syntax import FACTS, Evaluate, MatcherError, Use, column_of, path_of, text_of
from .values import ABSENT, ARITHMETIC, COMPARISONS, fail

__all__ = ["Compiler", "has_conjunct"]

_TEXTS: Final = ("sub", "obj", "act", "dom", "ob")
_DERIVED: Final = ("found", "found_current")
_ENTITY: Final = ("id", "type", "properties")
_BARE: Final = (["subject", "id"], ["resource", "id"])
_MAX_DEPTH: Final = 40
_MAX: Final = 2**64


def has_conjunct(tree: ast.expr, one: str, other: str) -> bool:
    """Whether an expression holds only where two paths are equal, for instance `r2.ob` and `p2.ob`."""
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    for part in parts:
        if isinstance(part, ast.Compare) and len(part.ops) == 1 and isinstance(part.ops[0], ast.Eq):
            if {ast.unparse(part.left), ast.unparse(part.comparators[0])} == {one, other}:
                return True
        elif part is not tree and has_conjunct(part, one, other):
            return True
    return False


class Compiler:
    """Compiles the expressions of one section.

    Args:
        section: whose names they may use.
        graphs: the role graphs by name.
        functions: the operator's own functions by name.
    """

    def __init__(
        self,
        section: Section,
        graphs: Mapping[str, RoleGraph],
        functions: Mapping[str, Callable[..., Any]],
    ) -> None:
        self.section = section
        self.graphs = graphs
        self.functions = functions
        self.use = Use()
        self.in_rule = False
        self._r = f"r{section.suffix}"
        self._p = f"p{section.suffix}"

    def condition(self, tree: ast.expr, *, rule: bool = False) -> Evaluate:
        """Compile an expression that must come to true or false.

        Args:
            tree: the expression.
            rule: it stands in a row.

        Raises:
            MatcherError: it holds what cannot be allowed.
        """
        self.in_rule = rule
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.graphs:
                self.use.roles |= {name for one in node.args[1:2] if (name := column_of(one, self._p))}
        return self._condition(tree, 0)

    def compile(self, tree: ast.expr, depth: int) -> Evaluate:
        """Compile a part of an expression.

        Args:
            tree: the part.
            depth: how deep it stands.

        Raises:
            MatcherError: it is nothing that a matcher may do.
        """
        if depth > _MAX_DEPTH:
            raise MatcherError(f"it is nested deeper than `{_MAX_DEPTH}`")
        compile_ = _COMPILERS.get(type(tree))
        if compile_ is None:
            raise MatcherError(f"`{text_of(tree)}` is not allowed in a matcher")
        return compile_(self, tree, depth + 1)

    def look_up(self, tree: ast.expr) -> Evaluate:
        """Compile `r.name` or a path below it; what the request does not have is `ABSENT`, and so is null.

        Raises:
            MatcherError: the request is not made so.
        """
        names = path_of(tree, self._r)
        if not names:
            raise MatcherError(f"`{text_of(tree)}`: a matcher reads `{self._r}.name` and `{self._p}.column`")
        root, rest = names[0], names[1:]
        if root not in self.section.request:
            raise MatcherError(f"`{text_of(tree)}`: `{self._r}` has no `{root}`")
        token = f"{self._r}_{root}"
        if root in _TEXTS:
            if rest:
                raise MatcherError(f"`{text_of(tree)}`: `{self._r}.{root}` is a text and has no attributes")
            return lambda values: values[token]
        if root == "ctx" and rest and rest[0] in _DERIVED:
            derived = rest[0]
            if len(rest) > 1:
                raise MatcherError(f"`{text_of(tree)}`: `{derived}` is a set of types and has no attributes")
            return lambda values: values[FACTS].found(derived)
        if root != "ctx" and rest and rest[0] not in _ENTITY:
            rest = ["properties", *rest]
        return _look(token, tuple(rest))

    def _condition(self, tree: ast.expr, depth: int) -> Evaluate:
        evaluate = self.compile(tree, depth)
        if isinstance(tree, ast.BoolOp | ast.Compare):
            return evaluate
        text = text_of(tree)

        def condition(values: Mapping[str, Any]) -> bool:
            value = evaluate(values)
            if value is True or value is False:
                return value
            # A text or a number would count as true in Python.
            return fail(f"`{text}` is neither true nor false")

        return condition

    def _bool(self, tree: ast.BoolOp, depth: int) -> Evaluate:
        parts = tuple(self._condition(part, depth) for part in tree.values)
        if isinstance(tree.op, ast.And):

            def both(values: Mapping[str, Any]) -> bool:
                for part in parts:  # noqa: SIM110 -- runs for every row, and a generator costs twice as much
                    if not part(values):
                        return False
                return True

            return both

        def either(values: Mapping[str, Any]) -> bool:
            for part in parts:  # noqa: SIM110 -- the same
                if part(values):
                    return True
            return False

        return either

    def _unary(self, tree: ast.UnaryOp, depth: int) -> Evaluate:
        if isinstance(tree.op, ast.Not):
            part = self._condition(tree.operand, depth)
            return lambda values: not part(values)
        if not isinstance(tree.op, ast.USub):
            raise MatcherError(f"`{text_of(tree)}` is not allowed in a matcher")
        number, minus = self.compile(tree.operand, depth), ARITHMETIC["Sub"]
        return lambda values: minus(0, number(values))

    def _binary(self, tree: ast.BinOp, depth: int) -> Evaluate:
        calculate = ARITHMETIC.get(type(tree.op).__name__)
        if calculate is None:
            raise MatcherError(f"`{text_of(tree)}`: a matcher calculates by `+ - * /` alone")
        left, right = self.compile(tree.left, depth), self.compile(tree.right, depth)
        return lambda values: calculate(left(values), right(values))

    def _compare(self, tree: ast.Compare, depth: int) -> Evaluate:
        operands = [tree.left, *tree.comparators]
        columns = {name for part in operands if (name := column_of(part, self._p))}
        if any(
            isinstance(one, ast.Constant) and one.value == "*" for part in operands for one in ast.walk(part)
        ):
            self.use.starred |= columns
        for part in operands:
            if path_of(part, self._r) in _BARE and columns & self.use.roles:
                raise MatcherError(
                    f"`{text_of(tree)}`: an id can be a role's name; use `{self._r}.sub` or `{self._r}.obj`"
                )
        parts = tuple(self.compile(part, depth) for part in operands)
        compares = tuple(COMPARISONS[name] for op in tree.ops if (name := type(op).__name__) in COMPARISONS)
        if len(compares) != len(tree.ops):
            raise MatcherError(f"`{text_of(tree)}`: a matcher compares by `== != < <= > >= in` alone")
        if len(compares) == 1:
            (left, right), compare = parts, compares[0]
            return lambda values: compare(left(values), right(values))

        def chain(values: Mapping[str, Any]) -> bool:
            value = parts[0](values)
            for compare, part in zip(compares, parts[1:], strict=True):
                following = part(values)
                if not compare(value, following):
                    return False
                value = following
            return True

        return chain

    def _constant(self, tree: ast.Constant, _: int) -> Evaluate:
        value = tree.value
        if type(value) not in (str, int, float, bool) or (
            isinstance(value, int | float) and abs(value) > _MAX
        ):
            raise MatcherError(f"`{text_of(tree)}` is not allowed in a matcher")
        return lambda _: value

    def _list(self, tree: ast.List | ast.Tuple, depth: int) -> Evaluate:
        parts = tuple(self.compile(part, depth) for part in tree.elts)
        return lambda values: [part(values) for part in parts]

    def _attribute(self, tree: ast.Attribute | ast.Subscript, _: int) -> Evaluate:
        column = column_of(tree, self._p)
        if column is not None:
            if column not in self.section.columns:
                raise MatcherError(f"`{text_of(tree)}`: `{self._p}` has no column `{column}`")
            self.use.columns.add(column)
            name = f"{self._p}_{column}"
            return lambda values: values[name]
        look, text = self.look_up(tree), text_of(tree)

        def present(values: Mapping[str, Any]) -> Any:
            value = look(values)
            # It is neither equal nor unequal to anything: a row that reads it cannot be judged.
            return fail(f"`{text}` is absent; guard it by `has({text})`") if value is ABSENT else value

        return present


def _look(token: str, keys: tuple[str, ...]) -> Evaluate:
    def look(values: Mapping[str, Any]) -> Any:
        value = values[token]
        for key in keys:
            if not isinstance(value, dict | Mapping):
                return ABSENT
            value = value.get(key)
        return ABSENT if value is None else value

    return look


_COMPILERS: Final[Mapping[type[ast.expr], Callable[[Compiler, Any, int], Evaluate]]] = {
    ast.Attribute: Compiler._attribute,  # noqa: SLF001 -- the class's own table
    ast.BinOp: Compiler._binary,  # noqa: SLF001
    ast.BoolOp: Compiler._bool,  # noqa: SLF001
    ast.Call: compile_call,
    ast.Compare: Compiler._compare,  # noqa: SLF001
    ast.Constant: Compiler._constant,  # noqa: SLF001
    ast.List: Compiler._list,  # noqa: SLF001
    ast.Subscript: Compiler._attribute,  # noqa: SLF001
    ast.Tuple: Compiler._list,  # noqa: SLF001
    ast.UnaryOp: Compiler._unary,  # noqa: SLF001
}
