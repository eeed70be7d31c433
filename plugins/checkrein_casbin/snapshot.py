"""A policy as it is at one moment: built whole, never changed, swapped for the next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from checkrein.document import EvaluationRequest
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError
from checkrein.vocabulary import Effect, Obligation, Reason, Verdict

from .asking import Answer, Asked
from .compiling import PolicyCompiler
from .definition import Definition, Section
from .obligations import read_obligation
from .rows import Row, Rows, line_of
from .values import ABSENT, Facts

__all__ = ["Snapshot"]

_MAX_ID: Final = 256


@dataclass(frozen=True, slots=True)
class _Duty:
    """An obligation and the rows that can demand it."""

    text: str
    obligation: Obligation
    asked: Asked

    def given(self) -> Obligation:
        """A copy for one answer: what its receiver does to it changes no policy."""
        return replace(self.obligation, properties=deepcopy(dict(self.obligation.properties)))


class Snapshot:
    """Answers from one version of a policy.

    Args:
        definition: the model.
        rows: every row.
        functions: the operator's own functions.
        domain: where the tenant stands in the input document.

    Raises:
        PolicyLoadError: the rows do not fit the model, or what they say is refused.
    """

    def __init__(
        self,
        definition: Definition,
        rows: Rows,
        functions: Mapping[str, Callable[..., Any]],
        domain: tuple[str, ...],
    ) -> None:
        compiler = PolicyCompiler(definition, rows, functions)
        self.warnings = compiler.warnings()
        self.revision = _revision(definition, rows, functions)
        self.size = sum(map(len, rows.values()))
        self._matcher = (definition.name, definition.permission.line)
        self._domain = domain
        self._permission = compiler.section(definition.permission).over(rows["p"])
        self._ids = tuple(_id("p", row) for row in self._permission.rows)
        self._codes = self._permission.column("code")
        self._duties = (
            () if definition.obligation is None else _duties(compiler, definition.obligation, rows["p2"])
        )

    def verdict(self, request: EvaluationRequest) -> Verdict:
        """Answer one request.

        Raises:
            EngineFailure: `engine_error` when a matcher cannot be computed, `request_rejected` for an entity
                that cannot be told from another one, `invalid_answer` when the library contradicts itself.
        """
        document = request.document
        subject, resource = document["subject"], document["resource"]
        values = {
            "sub": _named(subject),
            "obj": _named(resource),
            "act": document["action"]["name"],
            "dom": self._tenant(document),
            "subject": subject,
            "resource": resource,
            "ctx": document["context"],
        }
        facts = Facts(document)
        answer = self._permission.ask(values, facts)
        if answer.allowed:
            return self._permit(answer, values, facts)
        if not answer.denying:
            return Verdict(effect=Effect.NOT_APPLICABLE, revision=self.revision)
        return Verdict(
            effect=Effect.DENY,
            reasons=tuple(
                Reason(code=self._codes[place] or "denied", message=self._permission.places[place])
                for place in answer.denying
            ),
            obligations=self._kept(values, facts),
            policy_ids=tuple(self._ids[place] for place in answer.denying),
            revision=self.revision,
        )

    def locate(self, policy_id: str) -> tuple[str, int] | None:
        """The file and the line of what a verdict of this version names, or None."""
        if policy_id == "m" and not self._ids:
            return self._matcher
        return self._lines.get(policy_id)

    @cached_property
    def _lines(self) -> dict[str, tuple[str, int] | None]:
        """Where each row stands, by the id that verdicts name; None where it is the id of several rows."""
        asked = [("p", self._permission), *(("p2", duty.asked) for duty in self._duties)]
        found: dict[str, tuple[str, int] | None] = {}
        rows: dict[str, tuple[str, ...]] = {}
        for kind, section in asked:
            for row, place in zip(section.rows, section.places, strict=True):
                name = _id(kind, row)
                if rows.setdefault(name, row) == row:
                    found.setdefault(name, line_of(place))
                else:
                    found[name] = None
        return found

    def _permit(self, answer: Answer, values: dict[str, Any], facts: Facts) -> Verdict:
        ids = [self._ids[place] for place in answer.allowing] if self._ids else ["m"]
        obligations: list[Obligation] = []
        for duty in self._duties:
            values["ob"] = duty.text
            demanded = duty.asked.ask(values, facts)
            if demanded.allowed:
                obligations.append(duty.given())
                ids += (_id("p2", duty.asked.rows[place]) for place in demanded.allowing)
        return Verdict(
            effect=Effect.PERMIT,
            reasons=tuple(
                Reason(code=self._codes[place], message=self._permission.places[place])
                for place in answer.allowing
                if self._codes and self._codes[place]
            ),
            obligations=tuple(obligations),
            policy_ids=tuple(ids),
            revision=self.revision,
        )

    def _kept(self, values: dict[str, Any], facts: Facts) -> tuple[Obligation, ...]:
        """What holds on a refusal too: that nothing is stored; where that cannot be told, nothing is."""
        for duty in self._duties:
            if duty.obligation.type == "no_store":
                values["ob"] = duty.text
                try:
                    if not duty.asked.ask(values, facts).allowed:
                        continue
                except EngineFailure:
                    pass
                return (duty.given(),)
        return ()

    def _tenant(self, document: Mapping[str, Any]) -> Any:
        value: Any = document
        for key in self._domain:
            value = value.get(key) if type(value) is dict or isinstance(value, Mapping) else None
        return value if isinstance(value, str) else ABSENT


def _named(entity: Mapping[str, Any]) -> str:
    kind: str = entity["type"]
    if not kind or ":" in kind:
        raise EngineFailure(FailureCause.REQUEST_REJECTED, "the type of an entity is empty or holds a colon")
    return f"{kind}:{entity['id']}"


def _duties(compiler: PolicyCompiler, section: Section, rows: Sequence[Row]) -> tuple[_Duty, ...]:
    compiled = compiler.section(section)
    index = section.columns.index("ob")
    demanding: dict[str, list[Row]] = {}
    for row in rows:
        demanding.setdefault(row.values[index], []).append(row)
    # Only rows that name an obligation can demand it: the others need not be looked at.
    return tuple(
        _Duty(text, _obligation(text, listed[0]), compiled.over(listed)) for text, listed in demanding.items()
    )


def _obligation(text: str, row: Row) -> Obligation:
    try:
        return read_obligation(text)
    except ValueError as error:
        raise PolicyLoadError(f"{row.place}: `ob`: {error}") from None


def _id(name: str, row: tuple[str, ...]) -> str:
    text = ", ".join((name, *row)).rstrip(", ")
    return text if len(text) <= _MAX_ID else f"{text[:_MAX_ID]}..."


def _revision(definition: Definition, rows: Rows, functions: Mapping[str, Any]) -> str:
    content = [
        definition.text,
        {name: [row.values for row in listed] for name, listed in sorted(rows.items())},
        sorted(functions),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
