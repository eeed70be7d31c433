"""Reads a `model.conf` strictly: what Casbin's own reader would drop in silence is an error with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from casbin import Model
from casbin.effect import get_effector

from checkrein.errors import PolicyLoadError

__all__ = ["REQUEST_NAMES", "Definition", "Section", "read_definition"]

REQUEST_NAMES: Final = ("sub", "obj", "act", "dom", "subject", "resource", "ctx")
"""What a request may be made of; `r2` has `ob` besides."""

_SECTIONS: Final = {
    "request_definition": "r",
    "policy_definition": "p",
    "role_definition": "g",
    "policy_effect": "e",
    "matchers": "m",
}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_EFFECTS: Final = (
    "some(where (p.eft == allow))",
    "!some(where (p.eft == deny))",
    "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    "priority(p.eft) || deny",
    "subjectPriority(p.eft) || deny",
)


@dataclass(frozen=True, slots=True)
class _Line:
    value: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question that the model can answer: `r, p, e, m`, or `r2, p2, e2, m2` for obligations.

    Args:
        suffix: empty, or `2`.
        request: names of the request's values, in order.
        columns: names of a policy row's columns, in order.
        effect: the policy effect, spelt as Casbin's constants are.
        matcher: the matcher as written.
        line: where the matcher stands.
    """

    suffix: str
    request: tuple[str, ...]
    columns: tuple[str, ...]
    effect: str
    matcher: str
    line: int

    @property
    def denies(self) -> bool:
        """Whether one row that denies outweighs all that allow: each that matches determines then."""
        return self.effect in _EFFECTS[1:3]

    @property
    def permits_unmatched(self) -> bool:
        """Whether the effect permits what no row matches."""
        return self.effect == _EFFECTS[1]

    @property
    def by_subject(self) -> bool:
        """Whether rows are sorted by how near the subject is in the role graph."""
        return self.effect == _EFFECTS[4]

    def effector(self) -> Any:
        """The library's effector; its enforcer has one alone, of `e`, and would judge `p2` by it."""
        return get_effector(self.effect.replace("p.eft", "p_eft"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A model.

    Args:
        name: its file, for messages.
        text: what was read.
        permission: who may do what.
        obligation: what a permit is bound to, or None.
        graphs: how many columns each role graph has: 2, or 3 with a domain.
    """

    name: str
    text: str
    permission: Section
    obligation: Section | None
    graphs: Mapping[str, int]

    @property
    def sections(self) -> tuple[Section, ...]:
        """Both questions, or the one there is."""
        return (self.permission,) if self.obligation is None else (self.permission, self.obligation)

    def model(self) -> Model:
        """The library's model of it, without rows; matchers are not in it: they are compiled elsewhere."""
        model = Model()
        for section in self.sections:
            suffix = section.suffix
            model.add_def("r", f"r{suffix}", ", ".join(section.request))
            model.add_def("p", f"p{suffix}", ", ".join(section.columns))
            model.add_def("e", f"e{suffix}", section.effect)
            model.add_def("m", f"m{suffix}", "compiled")
        for graph, columns in self.graphs.items():
            model.add_def("g", graph, ", ".join("_" * columns))
        return model


def read_definition(name: str, text: str) -> Definition:
    """Read a model.

    Args:
        name: its file, for messages.
        text: its text.

    Raises:
        PolicyLoadError: naming the line.
    """
    return _Reader(name, text).read()


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.found: dict[str, _Line] = {}

    def error(self, line: int, problem: str) -> PolicyLoadError:
        return PolicyLoadError(f"`{self.name}`, line {line}: {problem}")

    def read(self) -> Definition:
        kind = ""
        for number, line in _logical_lines(self.text):
            if line.startswith("[") and line.endswith("]"):
                kind = _SECTIONS.get(line[1:-1].strip(), "")
                if not kind:
                    raise self.error(number, f"`{line}` is no section; these are: {', '.join(_SECTIONS)}")
                continue
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not value or not re.fullmatch(rf"{kind or '-'}[2-9]?", key):
                raise self.error(
                    number, f"`{key}` is no definition of its section; write `{kind or 'r'} = ...`"
                )
            if key in self.found:
                raise self.error(
                    number, f"`{key}` is defined a second time; line {self.found[key].number} was first"
                )
            self.found[key] = _Line(value, number)
        permission = self._section("")
        obligation = self._section("2") if any(f"{kind}2" in self.found for kind in "rpem") else None
        graphs = {key: self._graph(key, value) for key, value in self.found.items() if key[0] == "g"}
        for key, defined in self.found.items():
            if key[0] != "g" and key[1:] not in ("", "2"):
                raise self.error(
                    defined.number, f"`{key}` is never asked; this engine asks `m` and, for obligations, `m2`"
                )
        if permission.by_subject and ("g" not in graphs or permission.columns[0] != "sub"):
            # The library sorts by the first column, whatever it is called.
            problem = "`subjectPriority` needs a role definition `g`, and `sub` as the first column of `p`"
            raise self.error(self.found["e"].number, problem)
        return Definition(
            name=self.name, text=self.text, permission=permission, obligation=obligation, graphs=graphs
        )

    def _section(self, suffix: str) -> Section:
        missing = [f"{kind}{suffix}" for kind in "rpem" if f"{kind}{suffix}" not in self.found]
        if missing:
            raise PolicyLoadError(f"`{self.name}`: there is no `{missing[0]}`; define it")
        request = self._names(f"r{suffix}")
        columns = self._names(f"p{suffix}")
        known = (*REQUEST_NAMES, "ob") if suffix else REQUEST_NAMES
        for name in request:
            if name not in known:
                # Were it a bare id, a subject called `staff` would have the role `staff`.
                raise self.error(
                    self.found[f"r{suffix}"].number,
                    f"the request has no `{name}`; it is made of: {', '.join(known)}",
                )
        stated = self.found[f"e{suffix}"]
        effect = " ".join(stated.value.replace(f"p{suffix}.", "p.").split())
        if effect not in _EFFECTS:
            raise self.error(
                stated.number, f"`{stated.value}` is no effect; these are: {' ; '.join(_EFFECTS)}"
            )
        if effect == _EFFECTS[1] and "eft" not in columns:
            raise self.error(stated.number, f"no row can deny: `p{suffix}` has no column `eft`")
        if suffix and ("ob" not in request or "ob" not in columns):
            raise self.error(stated.number, "`r2` and `p2` must both have `ob`, the obligation")
        matcher = self.found[f"m{suffix}"]
        return Section(
            suffix=suffix,
            request=request,
            columns=columns,
            effect=effect,
            matcher=matcher.value,
            line=matcher.number,
        )

    def _names(self, key: str) -> tuple[str, ...]:
        line = self.found[key]
        names = tuple(name.strip() for name in line.value.split(","))
        for name in names:
            if not _NAME.fullmatch(name) or names.count(name) > 1:
                raise self.error(line.number, f"`{name}` of `{key}` is no name, or stands there twice")
        return names

    def _graph(self, key: str, line: _Line) -> int:
        columns = [part.strip() for part in line.value.split(",")]
        if set(columns) != {"_"} or len(columns) not in (2, 3):
            raise self.error(line.number, f"`{key}` must be `_, _`, or `_, _, _` with a domain")
        return len(columns)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those that end in a backslash joined, each with the number of its first."""
    held: list[str] = []
    start = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            if held:
                yield start, _joined(held)
            held = []
            continue
        start = start if held else number
        if line.endswith("\\"):
            held.append(line[:-1].strip())
            continue
        yield start, _joined([*held, line])
        held = []
    if held:
        yield start, _joined(held)


def _joined(parts: Sequence[str]) -> str:
    return " ".join(parts)
