"""The one place that concludes (XACML's PEP): what hosts call; `concluding.py` has the conclusion itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import perf_counter_ns
from typing import Self

from .candidates import choose
from .combining import All, By, EngineNode
from .concluding import UNASKED, Concluder, Record, denied, rejected
from .decision import Decision
from .decision_log import DecisionLog
from .engine import PolicyEngine
from .errors import PolicyDenied, SettingsError
from .flow import arun, run
from .ids import new_id, with_call_id
from .loading import load
from .modes import can_stand
from .outcome import Outcome
from .routes import DescribeModel, follow
from .settings import Settings
from .streaming import Backing, StreamGate
from .vocabulary import AccessRequest, Effect, Entity, Reason, Stage

__all__ = ["EnforcementPoint"]


class EnforcementPoint:
    """Decides, carries out what the kernel can, and records.

    Args:
        engine: an engine, or a tree of them.
        settings: everything else; by default the strictest.
        record: the decision log, or a function that is handed every decision exactly once.
    """

    def __init__(
        self,
        engine: PolicyEngine | All | By | EngineNode,
        settings: Settings | None = None,
        *,
        record: DecisionLog | Record,
    ) -> None:
        self.settings = settings or Settings()
        self.node = engine if isinstance(engine, All | By | EngineNode) else EngineNode(engine)
        self._concluder = Concluder(self.node, self.settings, record)
        self.log = self._concluder.log
        self._subscribing = Lock()

    @classmethod
    def from_settings(cls, path: str | Path | None = None, *, record: Record | None = None) -> Self:
        """Build from a settings file.

        Args:
            path: the file; None means the one that the environment variable `CHECKREIN_CONFIG` names. A
                working directory never chooses policy.
            record: is handed every decision instead of the decision log, which is then not opened.

        Raises:
            SettingsError: the file, a policy or a plug-in that it names cannot be used.
        """
        loaded = load(path)
        settings = loaded.settings
        if record is not None:
            return cls(loaded.engine, settings, record=record)
        log = DecisionLog(settings.decision_log, settings_revision=loaded.revision)
        pep = cls(loaded.engine, settings, record=log)
        log.event(
            "settings_loaded",
            path=str(loaded.path),
            mode=settings.enforcement.default,
            mode_rules=len(settings.enforcement.rules),
            open_on={stage.value: [*causes] for stage, causes in settings.failure.open_on.items()},
            unchecked=[*settings.unchecked],
            uncovered=sorted(name for name, word in settings.uncovered.items() if word == "allow"),
            opt_outs=sorted(name for name, word in settings.opt_outs.items() if word == "allow"),
        )
        for engine in pep.node.engines:
            log.event(
                "policy_loaded", engine=engine.name, revision=engine.revision, stages=sorted(engine.stages)
            )
        return pep

    def require(self, stages: Iterable[Stage]) -> None:
        """Refuse to start where a hooked stage is neither covered by an engine nor listed as `unchecked`.

        Raises:
            SettingsError: naming the stage.
        """
        for stage in stages:
            if not self.node.covers(stage) and stage not in self.settings.unchecked:
                raise SettingsError(
                    f"no engine covers the stage `{stage}`; cover it or list it under `unchecked`"
                )

    def decide(self, request: AccessRequest, describe: DescribeModel | None = None) -> Decision:
        """Decide, blocking.

        Args:
            request: the question.
            describe: gives the properties of a model that a policy routes to.
        """
        return run(follow(self._concluder, request, describe))

    async def adecide(self, request: AccessRequest, describe: DescribeModel | None = None) -> Decision:
        """Decide without blocking the event loop on a remote engine; otherwise as `decide`."""
        return await arun(follow(self._concluder, request, describe))

    def filter_candidates(self, request: AccessRequest, candidates: Sequence[Entity]) -> Decision:
        """Decide which of several resources may be chosen, in one decision and one record.

        Each is judged as `decide` would judge it; nothing is carried out, and what is chosen is to be decided
        in full. Whoever may choose none of them is denied.

        Args:
            request: the question; its resource is what was asked for, for instance a group of models.
            candidates: what could be chosen; each takes the resource's place.

        Returns:
            The decision; `kept` has the candidates to choose from.
        """
        return run(choose(self._concluder, request, candidates))

    async def afilter_candidates(self, request: AccessRequest, candidates: Sequence[Entity]) -> Decision:
        """As `filter_candidates`, without blocking the event loop on a remote engine."""
        return await arun(choose(self._concluder, request, candidates))

    def refuse(self, request: AccessRequest, code: str, message: str) -> Decision:
        """Deny and record what no engine can be asked, for instance an endpoint that the host cannot govern.

        Args:
            request: what was asked, as far as it is known.
            code: the reason's code.
            message: for the operator: no text of the request.
        """
        request = with_call_id(request)
        core, outcome = self._concluder, rejected(code, message)
        return core.record(core.finish(request, None, UNASKED, outcome, (), perf_counter_ns()).decision)

    def pass_unjudged(self, request: AccessRequest, code: str, message: str) -> Decision:
        """Record what passes although no engine is asked: the settings list it, `uncovered` or `opt_outs`.

        Args:
            request: what was asked, as far as it is known.
            code: the reason's code.
            message: for the operator: no text of the request.

        Returns:
            A permit; a denial where the log is required and has no room.
        """
        request = with_call_id(request)
        core, started = self._concluder, perf_counter_ns()
        if self.log is not None and not self.log.reserve():
            return core.record(core.no_room(request, (), started))
        reason = Reason(code=code, message=message)
        outcome = Outcome(permitted=True, effect=Effect.NOT_APPLICABLE, reasons=(reason,))
        return core.record(core.finish(request, None, UNASKED, outcome, (), started).decision)

    def report_failure(self, decision: Decision, error: BaseException) -> Decision:
        """Tell that the host could not write the changes: a second record, a denial.

        Args:
            decision: the permit whose changes were not written.
            error: why; only its type is recorded.
        """
        message = f"`{type(error).__name__}` while writing the changes"
        failed = denied(replace(decision, reasons=()), "obligation_failed", message)
        return self._concluder.record(replace(failed, decision_id=new_id(), enforced=True))

    def stream(self, request: AccessRequest, *, exception: type[PolicyDenied] = PolicyDenied) -> StreamGate:
        """A gate for an answer that comes in pieces; it asks a few times and never per piece.

        Where no denial could stand, everything passes along at once, unless the log is required: then nothing
        leaves before its record has room.

        Args:
            request: the question, without segments, at `post_completion` or `tool_result`.
            exception: what the gate raises on a denial.
        """
        core = self._concluder
        free = not can_stand(self.settings.enforcement, request.stage, request.subject)
        required = self.log is not None and self.log.required
        return StreamGate(
            request,
            Backing(core.hop, core.record, denied, core.detectors, self.settings.limits),
            mode="open" if free and not required else self.settings.stream.mode,
            exception=exception,
        )

    def settle(self, call_id: str, attempt: int, usage: Mapping[str, int]) -> None:
        """Tell what an attempt of a call really used; without a store of usage, nothing remembers it.

        Args:
            call_id: the call.
            attempt: which try of it, from 1.
            usage: `prompt_tokens`, `completion_tokens`, `cost_micros`.
        """

    def subscribe(self, subscriber: Record) -> Callable[[], None]:
        """Hand every decision, after it is recorded, to a function as well.

        Args:
            subscriber: called in the deciding thread; it must be quick and must not raise.

        Returns:
            A function that ends it.
        """
        core = self._concluder
        with self._subscribing:
            core.subscribers = (*core.subscribers, subscriber)

        def unsubscribe() -> None:
            with self._subscribing:
                core.subscribers = tuple(one for one in core.subscribers if one is not subscriber)

        return unsubscribe

    def close(self) -> None:
        """Close the engines and the log; may be called again."""
        for engine in self.node.engines:
            engine.close()
        if self.log is not None:
            self.log.close()

    async def aclose(self) -> None:
        """As `close`, awaiting remote engines."""
        for engine in self.node.engines:
            aclose = getattr(engine, "aclose", None)
            if aclose is not None:
                await aclose()
        self.close()
