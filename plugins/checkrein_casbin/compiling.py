"""Compiles the sections of a model over their rows, and refuses rows that would not mean what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from checkrein.errors import PolicyLoadError

from .asking import Asked
from .definition import REQUEST_NAMES, Definition, Section
from .matchers import Compiler, has_conjunct
from .roles import RoleGraph
from .rows import Row, Rows
from .syntax import Evaluate, MatcherError, PatternUse, Use, read_expression

__all__ = ["CompiledSection", "PolicyCompiler"]

# Columns that no matcher needs to read.
_ANNOTATIONS: Final = frozenset({"code", "eft", "note", "priority"})


@dataclass(frozen=True, slots=True)
class CompiledSection:
    """A section whose matcher, rules and patterns are compiled; it can be asked over any of its rows.

    Args:
        definition: the model.
        section: the section.
        matcher: its matcher.
        reads_rows: whether the matcher reads any column.
        roles: the rows of `g`, by which `subjectPriority` sorts.
    """

    definition: Definition
    section: Section
    matcher: Evaluate
    reads_rows: bool
    roles: Sequence[Row]

    def over(self, rows: Sequence[Row]) -> Asked:
        """The section over these rows, in the library's order.

        Raises:
            PolicyLoadError: they cannot be sorted by their priorities.
        """
        model, name = self.definition.model(), f"p{self.section.suffix}"
        model["p"][name].policy = [list(row.values) for row in rows]
        if self.definition.permission.by_subject:
            model["g"]["g"].policy = [list(row.values) for row in self.roles]
        try:
            model.sort_policies_by_subject_hierarchy()
            model.sort_policies_by_priority()
        except Exception as error:  # noqa: BLE001 -- a priority that is no number raises what it likes
            raise PolicyLoadError(
                f"{rows[0].place}: the rows cannot be sorted by priority: `{type(error).__name__}`"
            ) from None
        places = {row.values: row.place for row in rows}
        ordered = [places[tuple(values)] for values in model["p"][name].policy]
        return Asked(self.section, model, ordered, self.matcher, reads_rows=self.reads_rows)


class PolicyCompiler:
    """Compiles the sections of a model.

    Args:
        definition: the model.
        rows: every row.
        functions: the operator's own functions.
    """

    def __init__(
        self, definition: Definition, rows: Rows, functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self._definition = definition
        self._rows = rows
        self._functions = functions
        self._graphs = {
            name: RoleGraph(columns, (row.values for row in rows[name]))
            for name, columns in definition.graphs.items()
        }
        for name in functions:
            if name in self._graphs:
                raise PolicyLoadError(f"`functions.{name}` has the name of a role graph; give it another")

    def warnings(self) -> list[str]:
        """Rows that no request can match, though a later row could change that."""
        found: list[str] = []
        for name in self._definition.graphs:
            roles = {row.values[1] for row in self._rows[name]}
            found += (
                f"{row.place}: `{row.values[0]}` has no type and nobody has it as a role; "
                f"a request says `user:{row.values[0]}` or `model:{row.values[0]}`"
                for row in self._rows[name]
                if ":" not in row.values[0] and row.values[0] not in roles
            )
        return found

    def section(self, section: Section) -> CompiledSection:
        """Compile a section over all of its rows.

        Raises:
            PolicyLoadError: naming the matcher's line or the row.
        """
        rows = self._rows[f"p{section.suffix}"]
        compiler = Compiler(section, self._graphs, self._functions)
        where = f"`{self._definition.name}`, line {section.line}"
        try:
            tree = read_expression(section.matcher)
            matcher = compiler.condition(tree)
        except MatcherError as error:
            raise PolicyLoadError(f"{where}: {error}") from None
        if section.suffix and not has_conjunct(tree, "r2.ob", "p2.ob"):
            raise PolicyLoadError(
                f"{where}: the matcher must hold `r2.ob == p2.ob`; every row would oblige to everything"
            )
        use = compiler.use
        _compile_patterns(use.patterns, rows, section)
        for column in use.rules:
            _compile_rules(compiler, column, rows)
        _check_columns(where, section, use)
        _check_stars(section, use, rows)
        return CompiledSection(self._definition, section, matcher, bool(use.columns), self._rows.get("g", ()))


def _compile_rules(compiler: Compiler, column: str, rows: Iterable[Row]) -> None:
    use, section = compiler.use, compiler.section
    index = section.columns.index(column)
    compiled = use.rules[column]
    patterns: dict[str, list[PatternUse]] = {}
    for row in rows:
        rule = row.values[index]
        if rule not in compiled:
            before = len(use.patterns)
            try:
                compiled[rule] = compiler.condition(read_expression(rule), rule=True)
            except MatcherError as error:
                raise PolicyLoadError(f"{row.place}: `{column}`: {error}") from None
            patterns[rule] = use.patterns[before:]
        _compile_patterns(patterns[rule], (row,), section)


def _compile_patterns(uses: Sequence[PatternUse], rows: Iterable[Row], section: Section) -> None:
    for use in uses:
        index = section.columns.index(use.column)
        for row in rows:
            pattern = row.values[index]
            if pattern not in use.compiled:
                try:
                    use.compiled[pattern] = use.compile(pattern)
                except ValueError as error:
                    raise PolicyLoadError(f"{row.place}: `{use.column}`: {error}") from None


def _check_columns(where: str, section: Section, use: Use) -> None:
    """A row that names a domain must not hold in every domain."""
    known = use.columns | _ANNOTATIONS
    # What rules alone read changes with the rows; what says who, what and where must be in the matcher.
    wanted = [name for name in section.columns if not use.rules or name in REQUEST_NAMES]
    unread = [name for name in wanted if name not in known]
    if unread:
        raise PolicyLoadError(
            f"{where}: nothing reads the column `{unread[0]}` of `p{section.suffix}`; "
            "compare it or take it away"
        )


def _check_stars(section: Section, use: Use, rows: Iterable[Row]) -> None:
    for row in rows:
        for name, value in zip(section.columns, row.values, strict=True):
            if value == "*" and name not in use.starred | _ANNOTATIONS:
                raise PolicyLoadError(
                    f'{row.place}: `*` matches nothing by itself; write `p{section.suffix}.{name} == "*"` '
                    "beside the comparison in the matcher"
                )
