"""Hands documents to regopy and takes answers from it, value by value.

regopy keeps every string in its JSON-escaped form and writes answers from it unchecked: its own
`set_input` passes strings unescaped (a quote then breaks out of the answer's JSON) and ends them at a NUL.
So strings go in escaped, and answers are read from the tree of nodes, where a string cannot become structure.
"""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import create_string_buffer
from decimal import Decimal
from typing import Any, Final

from orjson import JSONDecodeError, dumps, loads
from regopy import NodeKind, RegoError
from regopy import rego_shared as api

from checkrein.rule_answer import UNDEFINED

__all__ = ["NodeError", "answer_of", "errors_of", "set_input", "text_of_data"]

_C: Final = api.rego
_push_string: Final = _C.regoInputString
_push_integer: Final = _C.regoInputInt
_push_boolean: Final = _C.regoInputBoolean
_push_null: Final = _C.regoInputNull
_push_item: Final = _C.regoInputObjectItem
_push_object: Final = _C.regoInputObject
_push_array: Final = _C.regoInputArray
_UNSET: Final = object()


class NodeError(Exception):
    """An answer that is an error or no value; `code` is regopy's own name for it."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def set_input(interpreter: Any, document: Mapping[str, Any]) -> None:
    """Give an interpreter its input.

    Raises:
        RegoError: it did not take it; what it held before may still be there, so nothing may be asked.
    """
    handle = _C.regoNewInput()
    try:
        if _push(handle, document):
            if _C.regoSetInput(interpreter._impl, handle):  # noqa: SLF001 -- the handle of the C API
                raise RegoError("the input was not taken")
            return
    finally:
        _C.regoFreeInput(handle)
    # The C API rounds numbers with a fraction to six digits: such a document is parsed from its text.
    interpreter.set_input_term(dumps(document).decode())


def _push(handle: Any, value: Any) -> bool:  # noqa: C901 -- one branch per JSON type
    """Push a value; False when the C API cannot take it exactly."""
    kind = type(value)
    if kind is str:
        failed = _push_string(handle, dumps(value)[1:-1])
    elif kind is dict:
        failed = 0
        for key, one in value.items():
            failed |= _push_string(handle, dumps(key)[1:-1])
            if not _push(handle, one):
                return False
            failed |= _push_item(handle)
        failed |= _push_object(handle, len(value))
    elif kind is list:
        for one in value:
            if not _push(handle, one):
                return False
        failed = _push_array(handle, len(value))
    elif kind is bool:
        failed = _push_boolean(handle, value)
    elif kind is int:
        failed = _push_integer(handle, value)
    elif value is None:
        failed = _push_null(handle)
    else:
        return False
    if failed:
        raise RegoError("the input was not taken")
    return True


def text_of_data(value: Any) -> str:
    """Data as JSON text; regopy refuses numbers such as `1e30`, so they are written out."""
    if isinstance(value, Mapping):
        pairs = (f"{dumps(key).decode()}:{text_of_data(one)}" for key, one in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of_data, value)) + "]"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return dumps(value).decode()


def answer_of(interpreter: Any, bundle: Any, entrypoint: str) -> Any:
    """Ask for a rule.

    Args:
        interpreter: with its input set.
        bundle: compiled with this entrypoint.
        entrypoint: the rule, parts joined by slashes.

    Returns:
        JSON values, sets as arrays in Rego's order; `UNDEFINED` for a rule without a value.

    Raises:
        NodeError: the evaluation ended in an error.
        RegoError: it did not take place.
    """
    output = api.rego_bundle_query_entrypoint(interpreter._impl, bundle._impl, entrypoint)  # noqa: SLF001 -- see above
    try:
        node = api.rego_output_node(output)
        kind = _C.regoNodeType(node)
        if kind == _UNDEFINED:
            return UNDEFINED
        if kind != _RESULTS or not _C.regoOutputOk(output) or _C.regoNodeSize(node) != 1:
            raise next(iter(errors_of(node)), NodeError("no single result"))
        terms = _C.regoNodeGet(_C.regoNodeGet(node, 0), 0)
        if _C.regoNodeSize(terms) != 1:
            raise NodeError("no single term")
        return _read(_C.regoNodeGet(terms, 0))
    finally:
        api.rego_free_output(output)


def errors_of(node: Any) -> list[NodeError]:
    """The errors in a node, in order; messages can quote values, so they are for policies that load only."""
    if _C.regoNodeType(node) == _ERROR:
        parts = {
            _C.regoNodeType(child): _text(child)
            for child in _children(node)
            if _C.regoNodeType(child) in (_MESSAGE, _CODE)
        }
        return [NodeError(parts.get(_CODE, ""), parts.get(_MESSAGE, ""))]
    if _C.regoNodeType(node) == _ERRORS:
        return [error for child in _children(node) for error in errors_of(child)]
    return []


_UNDEFINED: Final = NodeKind.Undefined.value
_RESULTS: Final = NodeKind.Results.value
_ERROR: Final = NodeKind.Error.value
_ERRORS: Final = NodeKind.ErrorSeq.value
_MESSAGE: Final = NodeKind.ErrorMessage.value
_CODE: Final = NodeKind.ErrorCode.value
_STRING: Final = NodeKind.String.value
_OBJECT: Final = NodeKind.Object.value
_ARRAY: Final = NodeKind.Array.value
_SET: Final = NodeKind.Set.value
_INT: Final = NodeKind.Int.value
_FLOAT: Final = NodeKind.Float.value
_WRAPPERS: Final = frozenset({NodeKind.Term.value, NodeKind.Scalar.value})
_CONSTANTS: Final = {NodeKind.True_.value: True, NodeKind.False_.value: False, NodeKind.Null.value: None}


def _children(node: Any) -> list[Any]:
    return [_C.regoNodeGet(node, index) for index in range(_C.regoNodeSize(node))]


def _text(node: Any) -> str:
    size = _C.regoNodeValueSize(node)
    buffer = create_string_buffer(size)
    _C.regoNodeValue(node, buffer, size)
    return buffer.raw[: size - 1].decode(errors="replace")


def _read(node: Any) -> Any:  # noqa: PLR0911 -- one return per kind of value
    kind = _C.regoNodeType(node)
    constant = _CONSTANTS.get(kind, _UNSET)
    if constant is not _UNSET:
        return constant
    if kind == _STRING:
        return _string(node)
    if kind == _OBJECT:
        items = (_children(item) for item in _children(node))
        return {_key(_read(key)): _read(value) for key, value in items}
    if kind == _ARRAY:
        return [_read(child) for child in _children(node)]
    if kind == _SET:
        return sorted((_read(child) for child in _children(node)), key=_rank)
    if kind == _INT:
        return int(_text(node))
    if kind == _FLOAT:
        return float(_text(node))
    if kind in _WRAPPERS and _C.regoNodeSize(node) == 1:
        return _read(_C.regoNodeGet(node, 0))
    raise NodeError("no value")


def _string(node: Any) -> str:
    size = _C.regoNodeValueSize(node)
    buffer = create_string_buffer(size)
    _C.regoNodeValue(node, buffer, size)
    raw = buffer.raw[: size - 1]
    try:
        # Escaped either way, so that a bare quote in front can only be one of a pair around it.
        value: str = loads(raw if raw.startswith(b'"') else b'"%b"' % raw)
    except JSONDecodeError:
        raise NodeError("a string that is no JSON") from None
    return value


def _key(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value).decode()


def _rank(value: Any) -> tuple[int, Any]:
    """A place in Rego's order of values: null, booleans, numbers, strings, arrays, objects."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    if isinstance(value, int | float):
        return 2, value
    if isinstance(value, str):
        return 3, value
    if isinstance(value, list):
        return 4, [_rank(one) for one in value]
    return 5, sorted((key, _rank(one)) for key, one in value.items())
