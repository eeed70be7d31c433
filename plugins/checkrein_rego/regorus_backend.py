"""The backend `regorus`: faster, and closer to OPA; its wheels are unofficial, so it is asked for by name."""

from __future__ import annotations

import itertools
import re
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import regorus

from checkrein.document import EvaluationRequest
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError

from .bundle import Bundle
from .checking import check_calls, place
from .rewriting import as_in_opa
from .source import Module

__all__ = ["RegorusBackend"]

# Known to it, and answered otherwise than OPA 1.20 does (tried on regorus 0.13).
_UNFAITHFUL: Final = frozenset({"glob.quote_meta", "strings.replace_n"})
_LONG: Final = 2**31 - 1
_RECURSION: Final = "recursion detected"
_READY: Final = "data.checkrein_ready.ready"
_READY_MODULE: Final = "package checkrein_ready\n\nready := true\n"
_PLACE: Final = re.compile(r"--> (?P<file>.+?):(?P<line>\d+):(?P<column>\d+)")
_ERROR: Final = re.compile(r"error: (?P<text>[^\n]*)")

# An engine belongs to the thread that made it, to its last reference: elsewhere it neither answers nor is
# freed. So each thread keeps its own, here and not in the backend, and drops those of closed backends itself.
_mine = threading.local()
_held: dict[int, dict[int, Any]] = {}
_open: set[int] = set()
_numbers = itertools.count(1)


class RegorusBackend:
    """Evaluates with regorus; every thread has an engine of its own.

    Args:
        bundle: the policies.
        rules: the entrypoints, `data.` in front.

    Raises:
        PolicyLoadError: a policy does not compile, or calls what this backend lacks.
    """

    def __init__(self, bundle: Bundle, rules: Sequence[str]) -> None:
        self._bundle = bundle
        self._rules = rules
        self._data = orjson.dumps(bundle.data).decode()
        self._builtins = _builtins()
        check_calls(bundle, bundle.modules, bundle.modules, self._refusal)
        self._number = next(_numbers)
        self._modules = [as_in_opa(module) for module in bundle.modules]
        _engines()[self._number] = self._engine(self._modules)
        _open.add(self._number)
        self._forget = weakref.finalize(self, _open.discard, self._number)

    def evaluate(self, rule: str, request: EvaluationRequest) -> Any:
        """The value of a rule.

        Raises:
            EngineFailure: `engine_error`.
        """
        if self._number not in _open:
            _engines().pop(self._number, None)
            raise EngineFailure(FailureCause.ENGINE_ERROR, "the engine is closed")
        value, problem = self._attempt(rule, request.json().decode())
        # Raised here, where no frame holds an engine: a traceback would take it to other threads.
        if problem is not None:
            raise EngineFailure(FailureCause.ENGINE_ERROR, problem)
        return value

    def _attempt(self, rule: str, document: str) -> tuple[Any, str | None]:
        engines = _engines()
        engine = engines.get(self._number)
        if engine is None:
            for closed in engines.keys() - _open:
                del engines[closed]
            engine = engines[self._number] = self._engine(self._modules)
        try:
            return _ask(engine, rule, document), None
        except _Panic:
            del engines[self._number]
            return None, f"`{rule}` ended in a panic of regorus"
        except RuntimeError as error:
            # Its text can quote the input; where it happened cannot.
            at = _PLACE.search(str(error))
            where = f" at `{at[0].removeprefix('--> ')}`" if at else ""
            return None, f"`{rule}` ended in an error{where}"

    def test(self, rules: Sequence[str], tests: Sequence[Module]) -> Mapping[str, Any]:
        """The value of each rule of the test modules, or the error that it ended in.

        Raises:
            PolicyLoadError: a test module does not compile.
        """
        modules = [*self._bundle.modules, *tests]
        check_calls(self._bundle, tests, modules, self._refusal)
        engine = self._engine([as_in_opa(module) for module in modules])
        answers: dict[str, Any] = {}
        for rule in rules:
            try:
                answers[rule] = _ask(engine, rule, "{}")
            except (_Panic, RuntimeError) as error:
                answers[rule] = RuntimeError(_first_line(str(error)))
        return answers

    def close(self) -> None:
        """Stop answering; each thread drops its engine when it next evaluates something, or ends."""
        self._forget()
        _engines().pop(self._number, None)

    def _engine(self, modules: Sequence[Module]) -> Any:
        engine, problem = self._load(modules)
        if problem is not None:
            raise self._error(problem, modules)
        return engine

    def _load(self, modules: Sequence[Module]) -> tuple[Any, str | None]:
        engine = regorus.Engine()
        engine.set_gather_prints(True)
        if hasattr(engine, "set_policy_length_config"):
            # The bundle is bounded already; by default, a line of 1,025 characters would be an error.
            engine.set_policy_length_config(max_col=_LONG, max_file_bytes=_LONG, max_lines=_LONG)
        try:
            for module in modules:
                engine.add_policy(module.path, module.source)
            engine.add_policy("checkrein_ready.rego", _READY_MODULE)
            engine.add_data_json(self._data)
            # Whether the rules hold together shows when one is asked, and not before.
            _ask(engine, _READY, "{}")
        except (_Panic, RuntimeError) as error:
            return None, str(error)
        for rule in self._rules:
            try:
                _ask(engine, rule, "{}")
            except (_Panic, RuntimeError) as error:
                if _RECURSION in str(error):
                    return None, str(error)
        return engine, None

    def _error(self, text: str, modules: Sequence[Module]) -> PolicyLoadError:
        at, said = _PLACE.search(text), _first_line(text)
        for module in modules:
            if at and module.path == at["file"]:
                return PolicyLoadError(f"{place(self._bundle, module, int(at['line']))}: {said}")
        return PolicyLoadError(f"bundle `{self._bundle.name}` does not compile: {said}")

    def _refusal(self, name: str) -> str | None:
        if name in self._builtins and name not in _UNFAITHFUL:
            return None
        return "the backend `regorus` lacks or answers otherwise than OPA; correct the name, or take it out"


class _Panic(Exception):  # noqa: N818 -- the word of the library
    """A panic of regorus, as an exception like any other."""


class _Engines:
    """The engines of one thread.

    A thread that ends drops them. After a fork the child drops what the other threads had, and must not: it
    would be the wrong thread, and say so on standard error.
    """

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.by_number = _held[id(self)] = {}

    def __del__(self) -> None:
        if threading.get_ident() == self.owner:
            _held.pop(id(self), None)


def _engines() -> dict[int, Any]:
    """The engines of this thread, by the number of their backend."""
    try:
        engines: _Engines = _mine.engines
    except AttributeError:
        engines = _mine.engines = _Engines()
    return engines.by_number


def _ask(engine: Any, rule: str, document: str) -> Any:
    try:
        engine.set_input_json(document)
        # Undefined comes as `UNDEFINED` itself; sets of objects come as JSON alone.
        return orjson.loads(engine.eval_rule_as_json(rule))
    except Exception:
        raise
    except BaseException as error:
        # pyo3's panics are no `Exception`, and their type cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        raise _Panic from None


def _builtins() -> frozenset[str]:
    """The built-ins of the installed build, which depend on what it was compiled with."""
    engine = regorus.Engine()
    engine.add_policy("builtins.rego", "package checkrein_builtins\n\nnames := opa.runtime().builtins\n")
    return frozenset(_ask(engine, "data.checkrein_builtins.names", "{}"))


def _first_line(text: str) -> str:
    said = _ERROR.search(text)
    return said["text"].strip() if said else text.strip().partition("\n")[0]
