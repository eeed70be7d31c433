"""What a policy engine is, and how a plug-in brings one (entry point group `checkrein.engines`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field

from .errors import EngineFailure
from .strict import StageName, StrictModel
from .vocabulary import Stage, Verdict

if TYPE_CHECKING:
    from .document import EvaluationRequest

__all__ = [
    "BatchingEngine",
    "EngineOptions",
    "EnginePlugin",
    "ExplainingEngine",
    "LocatingEngine",
    "NativeTestResult",
    "PolicyEngine",
    "RemotePolicyEngine",
    "SearchableEngine",
    "TestableEngine",
]


class PolicyEngine(Protocol):
    """Answers access requests.

    `evaluate` either answers a `Verdict` or raises `EngineFailure`; any other exception counts as the cause
    `engine_error` and any other value as `invalid_answer`. It is called from many threads at once.
    """

    @property
    def name(self) -> str:
        """What the settings and the record call it."""

    @property
    def remote(self) -> bool:
        """Whether it is asked over a network: only outages of such an engine can ever open."""

    @property
    def stages(self) -> frozenset[Stage]:
        """The stages that it answers; a combination skips it at the others."""

    @property
    def revision(self) -> str | None:
        """The version of the policies that are loaded now."""

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Answer one request."""

    def close(self) -> None:
        """Give everything back; called more than once."""


class RemotePolicyEngine(PolicyEngine, Protocol):
    """An engine that waits: asynchronous callers ask it without blocking their event loop."""

    async def aevaluate(self, request: EvaluationRequest) -> Verdict:
        """Answer one request."""

    async def aclose(self) -> None:
        """Give everything back; called more than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeTestResult:
    """One test in the engine's own language.

    Args:
        name: its name there, for instance `data.checkrein.pre_prompt_test.test_injection`.
        passed: whether it held.
        detail: why it did not.
    """

    name: str
    passed: bool
    detail: str = ""


@runtime_checkable
class TestableEngine(Protocol):
    """An engine whose policies carry tests in its own language."""

    def run_native_tests(self) -> Sequence[NativeTestResult]:
        """Run them all; `checkrein test` prints them."""


@runtime_checkable
class BatchingEngine(Protocol):
    """An engine that answers several questions for less than it takes to ask them one by one."""

    def evaluate_many(self, requests: Sequence[EvaluationRequest]) -> Sequence[Verdict | EngineFailure]:
        """Answer each as `evaluate` does, in their order; a failure is handed back, not raised."""


@runtime_checkable
class ExplainingEngine(Protocol):
    """An engine that can say what it asks."""

    def entrypoint(self, stage: Stage) -> str | None:
        """The rule or query of this stage in the engine's own words, or None where it answers nothing."""


@runtime_checkable
class LocatingEngine(Protocol):
    """An engine that knows where its policies stand. Nothing of it may cost a request anything."""

    def locate(self, policy_id: str) -> tuple[str, int] | None:
        """Where a policy that its verdicts name stands: the file, and the line there, from 1.

        The file is named as its author would: relative to the bundle or folder that the settings name. What
        has several definitions stands where the first of them does. None is what stands in no file.
        """


@runtime_checkable
class SearchableEngine(Protocol):
    """An engine whose verdicts name no more than what was asked: the words of a reason lead to its rule."""

    def find_literal(self, text: str) -> Sequence[tuple[str, int]]:
        """Where its policies write this very text as a string, files and lines as `locate` gives them.

        In the order of the files, each place once; what the policies' own tests write does not count.
        """


class EngineOptions(StrictModel):
    """The settings that every engine has; a plug-in's `Options` extends it.

    Args:
        name: what the record calls it, by default the entry point's name.
        stages: ask it at these stages alone; by default at every stage that it can answer.
    """

    name: str | None = Field(default=None, min_length=1, max_length=64)
    stages: tuple[StageName, ...] | None = Field(default=None, min_length=1, strict=False)


class EnginePlugin(Protocol):
    """What the entry point names: a class that makes an engine from its part of the settings."""

    Options: ClassVar[type[EngineOptions]]

    @classmethod
    def from_options(cls, options: Any) -> PolicyEngine:
        """Make the engine, or raise `PolicyLoadError`.

        Args:
            options: an instance of `Options`, paths resolved, `name` filled.
        """
