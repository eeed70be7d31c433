"""Which facts a policy set can ever look at: what none of its policies names need not be handed to Cedar.

Reading a context takes Cedar longer than deciding: 1 kB of it 50 us, and 100 kB of prompt accordingly. A
policy reaches a value by an attribute's name alone, and every name stands in its text; so what is left out
changes no answer. Policies are read in Cedar's own JSON form (docs.cedarpolicy.com, "JSON policy format").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Need", "Needs", "needs_of"]

# The operators that look an entity up, not only at its name: on the left of each.
_LOOKS_UP: Final = frozenset({"in", "is", "hasTag", "getTag"})


@dataclass(slots=True)
class Need:
    """What is needed of one value: all of it, or the keys below; neither means that it is there at all."""

    whole: bool = False
    keys: dict[str, Need] = field(default_factory=dict)

    def below(self, path: Iterable[str]) -> Need:
        """The need at a path, made if it is new."""
        need = self
        for key in path:
            need = need.keys.setdefault(key, Need())
        return need


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the policies of a set look at.

    Args:
        context: of the request's context.
        attributes: every name of an attribute that a policy mentions, of whatever entity.
        others: whether entities other than the principal, the action and the resource are looked into.
    """

    context: Need
    attributes: frozenset[str]
    others: bool


def needs_of(policies: Iterable[Mapping[str, Any]]) -> Needs:
    """Read what policies look at.

    Args:
        policies: static policies and templates, each in Cedar's JSON form.
    """
    reader = _Reader()
    for policy in policies:
        for condition in policy["conditions"]:
            reader.read(condition["body"])
    return Needs(context=reader.context, attributes=frozenset(reader.attributes), others=reader.others)


class _Reader:
    def __init__(self) -> None:
        self.context = Need()
        self.attributes: set[str] = set()
        self.others = False

    def read(self, expression: Any) -> None:
        """Walk without recursion: a long `a || b || c` is as deep as it is long."""
        waiting = [expression]
        while waiting:
            node = waiting.pop()
            if isinstance(node, list):
                waiting += node
            elif isinstance(node, dict):
                for operator, body in node.items():
                    waiting += self._operands(operator, body)

    def _operands(self, operator: str, body: Any) -> Iterable[Any]:
        """Note one operator; gives the operands that are still to be read."""
        if operator == "Value":
            return ()
        if operator == "Var":
            if body == "context":
                self.context.whole = True
            return ()
        if operator in (".", "has"):
            return self._attribute(body["left"], body["attr"], reads=operator == ".")
        if operator in _LOOKS_UP and (operator != "is" or "in" in body):
            variable, path = _chain(body["left"])
            if variable is None or (variable != "context" and path):
                self.others = True
        # Keys of a record and arguments' names are no operators: their values alone are expressions.
        return body.values() if isinstance(body, dict) else (body,)

    def _attribute(self, left: Any, name: str, *, reads: bool) -> Iterable[Any]:
        variable, path = _chain(left)
        self.attributes.update(path)
        self.attributes.add(name)
        if variable == "context":
            need = self.context.below((*path, name))
            need.whole = need.whole or reads
            return ()
        if variable is None or path:
            # What an attribute holds can be another entity.
            self.others = True
        return (left,) if variable is None else ()


def _chain(node: Any) -> tuple[str | None, tuple[str, ...]]:
    """The variable and the names of `variable.a.b`; no variable when it is something else."""
    names: list[str] = []
    while isinstance(node, dict) and "." in node:
        names.append(node["."]["attr"])
        node = node["."]["left"]
    variable = node.get("Var") if isinstance(node, dict) else None
    return (variable, tuple(reversed(names))) if isinstance(variable, str) else (None, ())
