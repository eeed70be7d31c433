"""Runs the queries of one request: answers what the Polar machine asks about values, refuses all else."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .core import PolarError, Query
from .methods import Refusal, call_method, construct, look_up
from .values import BASES, Text, Thing, same, tags_of

__all__ = ["CLASS_IDS", "NIL", "UNBOUND", "Evaluation", "InvalidValue"]

# The machine numbers its own instances from 1 up; ours start where it does not get to.
_FIRST: Final = 2**40
NIL: Final = _FIRST
CLASS_IDS: Final[Mapping[str, int]] = {name: _FIRST + index for index, name in enumerate(BASES, 1)}
"""The id of every class; `NIL` is that of the constant `nil`."""
_FIRST_INSTANCE: Final = _FIRST + 1_000

UNBOUND: Final = object()
"""What a result holds for a variable that the policy left open."""

_NAMES: Final[Mapping[type, str]] = {str: "String", bool: "Boolean"}
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "Lt": operator.lt,
    "Leq": operator.le,
    "Gt": operator.gt,
    "Geq": operator.ge,
}


class InvalidValue(Exception):  # noqa: N818 -- about an answer, not an error of the evaluation
    """A result holds what is no value: a constraint on an open variable, a class."""


class Evaluation:
    """The values of one request and the queries over them. For one thread."""

    def __init__(self) -> None:
        self._instances: dict[int, Any] = {NIL: None}

    def results(self, query: Query) -> Iterator[Mapping[str, Any]]:
        """The bindings of each result, as values.

        Raises:
            PolarError: the evaluation ended in an error.
            Refusal: the policy asks for what it cannot have; `place` of it is where, if the library tells.
            InvalidValue: a result is no value.
        """
        try:
            while True:
                kind, data = query.next_event()
                if kind == "Result":
                    yield {name: self._result(term) for name, term in data["bindings"].items()}
                elif kind == "Done":
                    return
                else:
                    self._handle(query, kind, data)
        finally:
            query.discard_messages()

    def _handle(self, query: Query, kind: str, data: Mapping[str, Any]) -> None:
        handler = _HANDLERS.get(kind)
        if handler is None:
            # `debug()` would wait on standard input; the rest belongs to partial evaluation.
            raise Refusal(f"`{kind}` is not possible in a policy that decides; take it out")
        handler(self, query, data)

    def _external_call(self, query: Query, data: Mapping[str, Any]) -> None:
        name, arguments = data["attribute"], data["args"]
        try:
            value = self.value(data["instance"])
            if arguments is None:
                found = look_up(value, name)
            else:
                given = [self.value(one) for one in arguments]
                found = call_method(value, name, given, named=bool(data["kwargs"]))
        except Refusal as refusal:
            raise _placed(refusal, query, data["call_id"]) from None
        query.answer(data["call_id"], self.term(found))

    def _external_op(self, query: Query, data: Mapping[str, Any]) -> None:
        name = data["operator"]
        left, right = (self.value(one) for one in data["args"])
        if name in ("Eq", "Neq"):
            holds = same(left, right) is (name == "Eq")
        else:
            left, right = _comparable(left), _comparable(right)
            holds = _ORDER[name](left, right)
        query.answer_question(data["call_id"], holds=holds)

    def _external_isa(self, query: Query, data: Mapping[str, Any]) -> None:
        query.answer_question(
            data["call_id"], holds=data["class_tag"] in tags_of(self.value(data["instance"]))
        )

    def _external_is_subspecializer(self, query: Query, data: Mapping[str, Any]) -> None:
        order = tags_of(self._instances[data["instance_id"]])
        left, right = data["left_class_tag"], data["right_class_tag"]
        holds = left in order and right in order and order.index(left) < order.index(right)
        query.answer_question(data["call_id"], holds=holds)

    def _external_is_subclass(self, query: Query, data: Mapping[str, Any]) -> None:
        holds = data["right_class_tag"] in BASES[data["left_class_tag"]]
        query.answer_question(data["call_id"], holds=holds)

    def _next_external(self, query: Query, data: Mapping[str, Any]) -> None:
        if isinstance(self.value(data["iterable"]), Text):
            hint = "use `.contains(...)`: `in` would compare single characters"
        else:
            hint = "write `.keys()` or `.items()`, and `.get(...)` of what may be nil"
        raise _placed(Refusal(f"`in` is given no list; {hint}"), query, data["call_id"])

    def _make_external(self, _: Query, data: Mapping[str, Any]) -> None:
        call = data["constructor"]["value"]["Call"]
        arguments = [self.value(one) for one in call["args"]]
        self._instances[data["instance_id"]] = construct(call["name"], arguments, named=bool(call["kwargs"]))

    def term(self, value: Any) -> dict[str, Any]:
        """A value as the machine takes it."""
        kind = type(value)
        name = _NAMES.get(kind)
        if name is not None:
            return {"value": {name: value}}
        if kind is int or kind is float:
            return {"value": {"Number": _number(value)}}
        if kind is list:
            return {"value": {"List": [self.term(one) for one in value]}}
        if value is None:
            return _instance(NIL, None)
        if kind is dict:
            # Never Polar's own dictionary: there, a name that is absent is no error and merely does not hold.
            value = Thing(value)
        identity = _FIRST_INSTANCE + len(self._instances)
        self._instances[identity] = value
        return _instance(identity, value.tag if isinstance(value, Thing) else "String")

    def value(self, term: Mapping[str, Any]) -> Any:
        """A value that the machine gives.

        Raises:
            Refusal: it is none.
        """
        ((tag, content),) = term["value"].items()
        if tag in ("String", "Boolean"):
            return content
        if tag == "Number":
            ((_, number),) = content.items()
            return float(number) if isinstance(number, str) else number
        if tag == "List":
            return [self.value(one) for one in content]
        if tag == "Dictionary":
            return {name: self.value(one) for name, one in content["fields"].items()}
        if tag == "ExternalInstance" and content["instance_id"] in self._instances:
            return self._instances[content["instance_id"]]
        raise Refusal("something is asked of what is no value: a class or an open variable")

    def _result(self, term: Mapping[str, Any]) -> Any:
        if "Variable" in term["value"]:
            return UNBOUND
        try:
            return self.value(term)
        except Refusal:
            raise InvalidValue from None


def _placed(refusal: Refusal, query: Query, call: int) -> Refusal:
    """The same refusal, with the place in the policy: the library tells it with an error of its own alone.

    Inside a `not` it tells none, and takes the error for "does not hold": hence the refusal is raised anyway.
    """
    try:
        query.fail(call)
        query.next_event()
    except PolarError as error:
        refusal.file, refusal.line = error.file, error.line
    return refusal


def _comparable(value: Any) -> Any:
    if isinstance(value, Text):
        return value.value
    if isinstance(value, str):
        return value
    raise Refusal("what has no size is compared by it; only numbers and strings have one")


def _number(value: float) -> dict[str, Any]:
    if isinstance(value, int):
        return {"Integer": value}
    if math.isfinite(value):
        return {"Float": value}
    if math.isnan(value):
        return {"Float": "NaN"}
    return {"Float": "Infinity" if value > 0 else "-Infinity"}


def _instance(identity: int, tag: str | None) -> dict[str, Any]:
    return {
        "value": {
            "ExternalInstance": {
                "instance_id": identity,
                "constructor": None,
                "repr": None,
                "class_repr": tag,
                "class_id": CLASS_IDS.get(tag or ""),
            }
        }
    }


_HANDLERS: Final[Mapping[str, Callable[[Evaluation, Query, Mapping[str, Any]], None]]] = {
    "ExternalCall": Evaluation._external_call,  # noqa: SLF001 -- the table of its own methods
    "ExternalIsa": Evaluation._external_isa,  # noqa: SLF001 -- the same
    "ExternalIsSubclass": Evaluation._external_is_subclass,  # noqa: SLF001 -- the same
    "ExternalIsSubSpecializer": Evaluation._external_is_subspecializer,  # noqa: SLF001 -- the same
    "ExternalOp": Evaluation._external_op,  # noqa: SLF001 -- the same
    "MakeExternal": Evaluation._make_external,  # noqa: SLF001 -- the same
    "NextExternal": Evaluation._next_external,  # noqa: SLF001 -- the same
}
