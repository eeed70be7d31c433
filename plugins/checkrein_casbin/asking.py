"""Asks one section of a policy: the library's own loop and effects over compiled matchers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from casbin.core_enforcer import CoreEnforcer, EnforceContext
from casbin.model import FunctionMap

from checkrein.errors import EngineFailure, FailureCause

from .definition import Section
from .syntax import FACTS, Evaluate
from .values import Facts

__all__ = ["Answer", "Asked"]

_CONTEXT: Final = EnforceContext("r2", "p2", "e2", "m2")
# The library logs every request that it denies, values and all. This logger is nobody's.
_SILENT: Final = logging.Logger("checkrein.casbin.silent")  # noqa: LOG001 -- outside the tree on purpose
_SILENT.disabled = True


class Answer(NamedTuple):
    """What a section answers.

    Args:
        allowed: the library's result.
        allowing: rows that match and allow, in order.
        denying: rows that match and deny, in order.
    """

    allowed: bool
    allowing: tuple[int, ...]
    denying: tuple[int, ...]


class Asked:
    """A section with its rows, compiled; it never changes, and any number of threads may ask it.

    Args:
        section: its definition.
        model: the library's model with the rows in it.
        places: where each row stands, in the model's order.
        matcher: the compiled matcher.
        reads_rows: whether the matcher reads any column.
    """

    def __init__(
        self, section: Section, model: Any, places: Sequence[str], matcher: Evaluate, *, reads_rows: bool
    ) -> None:
        name = f"p{section.suffix}"
        self.section = section
        self.model = model
        self.rows: tuple[tuple[str, ...], ...] = tuple(map(tuple, model["p"][name].policy))
        self.places = tuple(places)
        self.matcher = matcher
        self.effector = section.effector()
        self._reads_rows = reads_rows
        self._tokens: tuple[str, ...] = tuple(model["p"][name].tokens)
        self._requests = tuple(f"r{section.suffix}_{one}" for one in section.request)
        self._context = (_CONTEXT,) if section.suffix else ()
        eft = section.columns.index("eft") if "eft" in section.columns else None
        self.denying = frozenset(
            place for place, row in enumerate(self.rows) if eft is not None and row[eft] == "deny"
        )

    def column(self, name: str) -> tuple[str, ...]:
        """The values of a column, row by row; empty texts where there is none."""
        if name not in self.section.columns:
            return ("",) * len(self.rows)
        index = self.section.columns.index(name)
        return tuple(row[index] for row in self.rows)

    def ask(self, request: Mapping[str, Any], facts: Facts) -> Answer:
        """Ask.

        Args:
            request: the values of the request by name.
            facts: of the same request.

        Raises:
            EngineFailure: a matcher cannot be computed, or the library answers nonsense.
        """
        if not self.rows and self._reads_rows:
            # The library would match the empty row that it makes up for a policy without rows.
            return Answer(allowed=False, allowing=(), denying=())
        values = [request[name] for name in self.section.request]
        question = _Question(self, facts)
        try:
            answer = question.enforce_ex(*self._context, *values)
        except EngineFailure as failure:
            raise EngineFailure(failure.cause, f"{self._place(question.place)}: {failure.detail}") from None
        matched = question.matched
        allowed = self._checked(answer, question)
        allowing = tuple([place for place in matched if place not in self.denying])
        denying = [place for place in matched if place in self.denying]
        if denying and self.section.denies:
            denying += self._further(values, facts, question.place + 1)
        return Answer(allowed=allowed, allowing=allowing, denying=tuple(denying))

    def _checked(self, answer: Any, question: _Question) -> bool:
        """The library's result; it comes in a list or in a tuple, and must be what the rows say."""
        if isinstance(answer, list | tuple) and len(answer) == 2 and isinstance(answer[0], bool):  # noqa: PLR2004
            allowed: bool = answer[0]
            row: list[str] = answer[1]
            last = [*self.rows[question.matched[-1]]] if question.matched and self.rows else []
            backed = (
                not allowed or self.section.permits_unmatched or not self.denying.issuperset(question.matched)
            )
            if question.place >= 0 and [*row] == last and backed:
                return allowed
        raise EngineFailure(FailureCause.INVALID_ANSWER, "the library's answer is not what its rows say")

    def _further(self, values: Sequence[Any], facts: Facts, start: int) -> list[int]:
        """Rows that deny besides: the library stops at the first, and every reason counts."""
        request = dict(zip(self._requests, values, strict=True))
        request[FACTS] = facts
        found: list[int] = []
        for place in range(start, len(self.rows)):
            if place in self.denying:
                try:
                    if self.matcher({**request, **dict(zip(self._tokens, self.rows[place], strict=True))}):
                        found.append(place)
                except EngineFailure:
                    continue  # it is denied already
        return found

    def _place(self, place: int) -> str:
        return self.places[place] if 0 <= place < len(self.places) else f"`m{self.section.suffix}`"


class _Question(CoreEnforcer):  # type: ignore[misc]  # the library has no types
    """One request. It notes the rows that match, which the library tells of one alone.

    The library's constructor is not called: it would read the policy, and disable the application's loggers.
    """

    enabled = True
    fm = FunctionMap()
    rm_map: Final[dict[str, Any]] = {}
    cond_rm_map: Final[dict[str, Any]] = {}
    logger = _SILENT

    def __init__(self, asked: Asked, facts: Facts) -> None:
        self.model = asked.model
        self.eft = asked.effector
        self.place = -1
        self.matched: list[int] = []
        self._matcher = asked.matcher
        self._facts = facts

    def _get_expression(self, expr: str, functions: Any = None) -> _Question:  # noqa: ARG002 -- the library's
        return self

    def eval(self, values: dict[str, Any]) -> bool:
        """Judge the next row: the library asks once for each, in order."""
        self.place += 1
        values[FACTS] = self._facts
        matches: bool = self._matcher(values)
        if matches:
            self.matched.append(self.place)
        return matches
