"""The backend `regopy` (rego-cpp): policies compiled once, every evaluation on an interpreter of its own.

What it would answer wrongly is refused when loading, as far as that shows in a policy. What does not show,
and is otherwise than in OPA: values of different types are ordered differently (`3 < "a"` is false and
`null > 3` is true: ask `is_number` first); strings are kept escaped, so that `count` takes a line end for
two, `<` orders by the escape, and a search for a letter also finds the `n` of a line end. Policies that read
text belong on `backend: regorus` or an OPA server; policies that decide on findings lose nothing here.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import regopy

from checkrein.document import EvaluationRequest
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError

from .bundle import Bundle
from .checking import check_calls, place
from .constructs import Construct
from .regopy_values import NodeError, answer_of, errors_of, set_input, text_of_data
from .rewriting import as_in_opa, canonical, under_test
from .source import Module

__all__ = ["RegopyBackend"]

# What answers as OPA 1.20 does, tried value by value on rego-cpp 1.5.2. What is not here is missing, ends the
# process on long texts (`regex.*`, by recursion), takes quadratic time (`replace`), or misreads quotes,
# backslashes and line ends, because rego-cpp keeps strings escaped (`substring`, `trim_space`, `base64.*`).
# `time.weekday` ends a process that has loaded numpy, as LiteLLM's proxy does: two C++ runtimes, one locale.
_FAITHFUL: Final = frozenset(
    {
        "abs",
        "array.concat",
        "array.reverse",
        "bits.and",
        "bits.negate",
        "bits.or",
        "bits.xor",
        "ceil",
        "concat",
        "contains",
        "count",
        "endswith",
        "floor",
        "glob.match",
        "graph.reachable",
        "intersection",
        "is_array",
        "is_boolean",
        "is_null",
        "is_number",
        "is_object",
        "is_set",
        "is_string",
        "json.patch",
        "lower",
        "max",
        "min",
        "numbers.range",
        "numbers.range_step",
        "object.filter",
        "object.get",
        "object.keys",
        "object.remove",
        "round",
        "semver.is_valid",
        "sort",
        "split",
        "sprintf",
        "startswith",
        "strings.any_prefix_match",
        "strings.any_suffix_match",
        "time.add_date",
        "time.clock",
        "time.date",
        "time.now_ns",
        "trim_prefix",
        "trim_suffix",
        "type_name",
        "union",
        "units.parse",
        "units.parse_bytes",
        "walk",
    }
)
_READY: Final = "checkrein_ready/ready"
_READY_MODULE: Final = "package checkrein_ready\n\nready := true\n"
_PLACE: Final = re.compile(r"\(error \d+:(?P<file>[^|]+)\|(?P<offset>\d+)\|")
_MESSAGE: Final = re.compile(r"\(errormsg (?P<length>\d+):")
# How regopy misreads a construct, and how to say the same without it.
_MISREAD: Final = {
    Construct.WITH: ("on which the backend `regopy` can end the process", "write it without"),
    Construct.BARE_BODY: ("as before Rego v1", "migrate with `opa fmt --write --v0-v1`"),
    Construct.UNIFICATION: (
        "which the backend `regopy` leaves undefined",
        "assign with `:=` or compare with `==`",
    ),
    Construct.PATTERN: ("which the backend `regopy` can leave undefined", "assign the parts one by one"),
    Construct.INDEX: (
        "which the backend `regopy` leaves undefined beside another",
        "iterate with `some x in xs`",
    ),
}
_UNSOUND: Final = frozenset({"rego_recursion_error", "wellformed_error"})
_NO_REASON: Final = (
    "rego-cpp does not say why; import packages, not single functions, and define each name once"
)
_RULE: Final = re.compile(r"data(?:\.\w+)+")


class RegopyBackend:
    """Evaluates with regopy.

    An interpreter must never be used by two threads at a time (the process crashes), and compiling one costs
    milliseconds. So idle ones wait in a queue: there are never more than threads that evaluated at one time,
    a thread that ends leaves nothing behind, and after a fork the child finds those that were at rest.

    Args:
        bundle: the policies.
        rules: the entrypoints, `data.` in front.

    Raises:
        PolicyLoadError: a policy does not compile, or uses what this backend would answer wrongly.
    """

    def __init__(self, bundle: Bundle, rules: Sequence[str]) -> None:
        self._bundle = bundle
        self._rules = {rule: rule.removeprefix("data.").replace(".", "/") for rule in rules}
        self._check(bundle.modules, bundle.modules)
        self._lowers = any(call.parts == ("lower",) for module in bundle.modules for call in module.calls)
        self._program = _Program(bundle, [canonical(as_in_opa(module)) for module in bundle.modules])
        self._idle: deque[_Interpreter] = deque([_Interpreter(self._program, list(self._rules.values()))])
        self._closed = False

    def evaluate(self, rule: str, request: EvaluationRequest) -> Any:
        """The value of a rule.

        Raises:
            EngineFailure: `engine_error`.
        """
        if self._closed:
            raise EngineFailure(FailureCause.ENGINE_ERROR, "the engine is closed")
        if self._lowers:
            _check_lower(request)
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = _Interpreter(self._program, list(self._rules.values()))
        try:
            answer = interpreter.ask(self._rules[rule], request.document)
        except NodeError as error:
            self._rest(interpreter)
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"`{rule}` ended in `{error.code}`") from None
        except regopy.RegoError:
            # Its text can quote the input. The interpreter may still hold an older one: it is dropped.
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"`{rule}` could not be evaluated") from None
        self._rest(interpreter)
        return answer

    def test(self, rules: Sequence[str], tests: Sequence[Module]) -> Mapping[str, Any]:
        """The value of each rule of the test modules, or the `NodeError` that it ended in.

        Raises:
            PolicyLoadError: a test module does not compile.
        """
        modules = [*self._bundle.modules, *tests]
        self._check(tests, modules, tests=True)
        paths = {rule: rule.removeprefix("data.").replace(".", "/") for rule in rules}
        written = [as_in_opa(module) for module in modules]
        program = _Program(self._bundle, [canonical(under_test(module, written)) for module in written])
        interpreter = _Interpreter(program, list(paths.values()))
        answers: dict[str, Any] = {}
        for rule, path in paths.items():
            try:
                answers[rule] = interpreter.ask(path, {})
            except NodeError as error:
                answers[rule] = error
        return answers

    def close(self) -> None:
        """Drop the interpreters; those at work are dropped when they have answered."""
        self._closed = True
        self._idle.clear()

    def _rest(self, interpreter: _Interpreter) -> None:
        self._idle.append(interpreter)
        if self._closed:
            self._idle.clear()

    def _check(self, modules: Sequence[Module], known: Sequence[Module], *, tests: bool = False) -> None:
        check_calls(self._bundle, modules, known, _lacks if tests else _refusal)
        for module in modules:
            defined = {rule.path[0] for one in known if one.package == module.package for rule in one.rules}
            for found in module.constructs:
                known_index = found.name in defined or found.name in module.imports
                if (tests and found.construct is Construct.WITH) or (found.name and known_index):
                    continue
                problem, step = _MISREAD[found.construct]
                at = place(self._bundle, module, found.line)
                raise PolicyLoadError(
                    f"{at}: rule `{found.rule}` has {found.construct.value}, {problem}; "
                    f"{step}, or set `backend: regorus`"
                )


class _Program:
    """What an interpreter is made from: modules as regopy must be given them, and data."""

    def __init__(self, bundle: Bundle, modules: Sequence[Module]) -> None:
        self.bundle = bundle
        self.modules = modules
        self.data = text_of_data(bundle.data)

    def error(self, message: str, file: str | None = None, offset: int = 0) -> PolicyLoadError:
        """An error that names the place that regopy, or else the rule in its message, points to."""
        text = " ".join(message.split())
        named = _RULE.search(text)
        for module in self.modules:
            if module.path == file:
                line = module.source.encode()[:offset].count(b"\n") + 1
                return PolicyLoadError(f"{place(self.bundle, module, line)}: {text}")
            for rule in module.rules:
                if named and named[0] == ".".join(("data", *module.package, *rule.path)):
                    return PolicyLoadError(f"{place(self.bundle, module, rule.line)}: {text}")
        return PolicyLoadError(f"bundle `{self.bundle.name}` does not compile: {text}")


class _Interpreter:
    """One interpreter with its compiled policies; for one thread at a time."""

    def __init__(self, program: _Program, entrypoints: Sequence[str]) -> None:
        self._interpreter = regopy.Interpreter()
        self._interpreter.log_level = regopy.LogLevel.NONE
        self._interpreter.strict_built_in_errors = True
        try:
            for module in program.modules:
                self._interpreter.add_module(module.path, module.source)
            self._interpreter.add_module("checkrein_ready.rego", _READY_MODULE)
            self._interpreter.add_data_json(program.data)
            self._compiled = self._interpreter.build(None, [*entrypoints, _READY])
        except regopy.RegoError as error:
            raise _syntax_error(program, str(error)) from None
        if not self._compiled.ok():
            found = errors_of(regopy.rego_shared.rego_bundle_node(self._compiled._impl))  # noqa: SLF001 -- asking it crashes
            raise program.error(found[0].message if found else _NO_REASON)
        # Whether the rules hold together shows when they are asked, and not before.
        for entrypoint in (_READY, *entrypoints):
            try:
                self.ask(entrypoint, {})
            except NodeError as error:
                if error.code in _UNSOUND:
                    raise program.error(error.message or error.code) from None

    def ask(self, entrypoint: str, document: Mapping[str, Any]) -> Any:
        set_input(self._interpreter, document)
        return answer_of(self._interpreter, self._compiled, entrypoint)


def _refusal(name: str) -> str | None:
    if name in _FAITHFUL:
        return None
    return (
        "the backend `regopy` lacks or answers otherwise than OPA; decide on findings, or set "
        "`backend: regorus`"
    )


def _lacks(name: str) -> str | None:
    # A test may build its inputs with more than a decision may rest on.
    return None if regopy.Interpreter().is_builtin(name) else "the backend `regopy` lacks; write it otherwise"


def _syntax_error(program: _Program, text: str) -> PolicyLoadError:
    """The first of the errors in `(error 6:x.rego|15|1 (errormsg 16:this is unclosed) ...)`."""
    message, at = _MESSAGE.search(text), _PLACE.search(text)
    said = text[message.end() :][: int(message["length"])] if message else _NO_REASON
    return program.error(said, at["file"], int(at["offset"])) if at else program.error(said)


def _check_lower(request: EvaluationRequest) -> None:
    """Refuse a request with capital letters that rego-cpp's `lower`, which knows A to Z alone, leaves."""
    encoded = request.json()
    # Bytes are lowered from A to Z alone, exactly as rego-cpp does it.
    if not encoded.isascii() and encoded.lower().decode() != encoded.decode().lower():
        raise EngineFailure(
            FailureCause.ENGINE_ERROR,
            "the backend `regopy` lowers A to Z alone and the request has other capital letters; "
            "set `backend: regorus`",
        )
