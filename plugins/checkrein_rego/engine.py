"""The engine plug-in: reads a bundle, picks a backend, asks one rule per stage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Protocol

from pydantic import Field, field_validator

from checkrein.document import EvaluationRequest
from checkrein.engine import EngineOptions, NativeTestResult
from checkrein.errors import EngineFailure, FailureCause, MissingExtraError, PolicyLoadError
from checkrein.rule_answer import UNDEFINED, verdict_of
from checkrein.strict import SettingsPath, StageName
from checkrein.vocabulary import Stage, Verdict

from .bundle import Bundle, load_bundle
from .checking import check_names, check_rules
from .locating import Place, literals, rules
from .source import Module

__all__ = ["RegoEngine", "RegoOptions"]

_ENTRYPOINT: Final = re.compile(r"data(?:\.[A-Za-z_][A-Za-z0-9_]*){2,}")


class RegoOptions(EngineOptions):
    """The options of the engine `rego`.

    Args:
        bundle: a folder of `.rego` and data files, or an OPA bundle `.tar.gz`. Signatures are not verified.
        backend: `regopy`, or `regorus` where its extra is installed.
        entrypoints: the rule to ask, by stage; by default `data.checkrein.<stage>.decision`, and a stage
            whose default rule the bundle does not have is not covered.
        data: data files laid over the bundle's data, in order: objects are merged, and where both have
            another value at the same place, the extra file wins.
    """

    bundle: SettingsPath
    backend: Literal["regopy", "regorus"] = "regopy"
    entrypoints: Mapping[StageName, str] = Field(default_factory=dict, strict=False)
    data: tuple[SettingsPath, ...] = Field(default=(), strict=False)

    @field_validator("entrypoints")
    @classmethod
    def _are_rules(cls, value: Mapping[Stage, str]) -> Mapping[Stage, str]:
        for entrypoint in value.values():
            if not _ENTRYPOINT.fullmatch(entrypoint):
                raise ValueError(f"`{entrypoint}` is no rule; write it as `data.package.rule`")
        return value


class _Backend(Protocol):
    def evaluate(self, rule: str, request: EvaluationRequest) -> Any: ...

    def test(self, rules: Sequence[str], tests: Sequence[Module]) -> Mapping[str, Any]: ...

    def close(self) -> None: ...


class RegoEngine:
    """Answers from Rego policies, in this process.

    Args:
        name: what the record calls it.
        bundle: the policies.
        backend: what evaluates them.
        entrypoints: the rule of each stage.
    """

    Options: ClassVar[type[EngineOptions]] = RegoOptions
    remote: ClassVar[bool] = False

    def __init__(
        self, name: str, bundle: Bundle, backend: _Backend, entrypoints: Mapping[Stage, str]
    ) -> None:
        self.name = name
        self.revision: str | None = bundle.revision
        self.stages = frozenset(entrypoints)
        self._bundle = bundle
        self._backend = backend
        self._entrypoints = MappingProxyType(dict(entrypoints))

    @classmethod
    def from_options(cls, options: RegoOptions) -> RegoEngine:
        """Make the engine.

        Raises:
            PolicyLoadError: the bundle does not load; the message names file, line and rule.
            MissingExtraError: the backend is not installed.
        """
        bundle = load_bundle(options.bundle, options.data)
        check_rules(bundle)
        entrypoints = _entrypoints(options, bundle)
        backend = _backend(options.backend, bundle, sorted(set(entrypoints.values())))
        check_names(bundle, bundle.modules)
        return cls(options.name or "rego", bundle, backend, entrypoints)

    def entrypoint(self, stage: Stage) -> str | None:
        """The rule of a stage, or None where it is not covered."""
        return self._entrypoints.get(stage)

    def locate(self, policy_id: str) -> tuple[str, int] | None:
        """Where the rule of this name is first defined; a verdict names the one that was asked."""
        return self._rules.get(policy_id)

    def find_literal(self, text: str) -> Sequence[tuple[str, int]]:
        """Where the modules write this string, the code or the message of a reason."""
        return self._literals.get(text, ())

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Answer one request.

        Raises:
            EngineFailure: `engine_error` when the evaluation ends in an error or the engine is closed,
                `invalid_answer` when the rule answers what is no decision.
        """
        rule = self._entrypoints.get(request.stage)
        if rule is None:
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"no rule answers the stage `{request.stage}`")
        return verdict_of(rule, self._backend.evaluate(rule, request), revision=self.revision)

    def run_native_tests(self) -> Sequence[NativeTestResult]:
        """Evaluate every rule `test_*` of the bundle; it holds only if its value is `true`.

        Raises:
            PolicyLoadError: a test module does not load.
        """
        tests = self._bundle.read_tests()
        found = dict.fromkeys(
            ".".join(("data", *module.package, *rule.path))
            for module in (*self._bundle.modules, *tests)
            for rule in module.rules
            if rule.path[-1].startswith("test_") and not rule.function
        )
        answers = self._backend.test(list(found), tests) if found else {}
        return [
            NativeTestResult(name=name, passed=answer is True, detail=_detail(answer))
            for name, answer in answers.items()
        ]

    def close(self) -> None:
        """Give everything back; may be called again."""
        self._backend.close()

    @cached_property
    def _rules(self) -> Mapping[str, Place]:
        return rules(self._bundle.modules)

    @cached_property
    def _literals(self) -> Mapping[str, Sequence[Place]]:
        return literals(self._bundle.modules)


def _entrypoints(options: RegoOptions, bundle: Bundle) -> dict[Stage, str]:
    rules = {
        ".".join(("data", *module.package, *rule.path))
        for module in bundle.modules
        for rule in module.rules
        if not rule.function
    }
    entrypoints: dict[Stage, str] = {}
    for stage in Stage:
        wanted = options.stages is None or stage in options.stages
        named = options.entrypoints.get(stage)
        rule = named or f"data.checkrein.{stage}.decision"
        if named and not wanted:
            raise PolicyLoadError(f"`entrypoints.{stage}` is given, but `stages` leaves `{stage}` out")
        if wanted and rule in rules:
            entrypoints[stage] = rule
        elif named or (wanted and options.stages is not None):
            raise PolicyLoadError(
                f"bundle `{bundle.name}` has no rule `{rule}` for the stage `{stage}`; correct `entrypoints`"
            )
    if not entrypoints:
        raise PolicyLoadError(
            f"bundle `{bundle.name}` has no rule `data.checkrein.<stage>.decision`; "
            "name its own rules in `entrypoints`"
        )
    return entrypoints


def _backend(name: str, bundle: Bundle, rules: Sequence[str]) -> _Backend:
    try:
        if name == "regorus":
            from .regorus_backend import RegorusBackend  # noqa: PLC0415 -- an extra that need not be there

            return RegorusBackend(bundle, rules)
        from .regopy_backend import RegopyBackend  # noqa: PLC0415 -- the same

        return RegopyBackend(bundle, rules)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingExtraError("rego backend", name, "regorus" if name == "regorus" else "rego") from error


def _detail(answer: Any) -> str:
    if answer is True:
        return ""
    if isinstance(answer, Exception):
        return f"ended in an error: {answer}"
    if answer == UNDEFINED:
        return "is undefined: a line of it does not hold"
    return f"is `{str(answer).lower()}`, not `true`" if isinstance(answer, bool) else "is a value, not `true`"
