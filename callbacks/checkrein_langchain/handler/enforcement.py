"""What a callback handler does: it asks about calls, blocks what is denied, and remembers what goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from uuid import UUID

from langchain_core.language_models import BaseLLM
from langchain_core.runnables.config import ensure_config

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.identity import Identity
from checkrein.vocabulary import AccessRequest, Entity, Stage
from checkrein_langchain.access_requests import ask
from checkrein_langchain.bounded_map import BoundedMap
from checkrein_langchain.calls.attempts import Attempt, first_attempt, next_attempt, note_failure, place_of
from checkrein_langchain.denial import PolicyDenied, can_stand
from checkrein_langchain.identity import bound_identity, carries_subject, identity_of
from checkrein_langchain.inner_model.unheard import Judging
from checkrein_langchain.text.surface import Surface

from .caller_detection import config_around
from .events import heard_limit
from .stream_detection import streams, tells_events

__all__ = ["Enforcer", "Run", "named"]

_HINT: Final = "a callback cannot do what the policy asks for: call the model as `guard(model, pep)`"
_TOOL_HINT: Final = (
    "an event tells what a tool gave back before a callback can judge it: use `PolicyMiddleware`, "
    "`guard_tool` or `GuardedRetriever`"
)
_CACHE_HINT: Final = (
    "no callback is told of an answer from the cache of a text model: make it with `cache=False`, or call a "
    "chat model as `guard(model, pep)`"
)
_ID_HINT: Final = "another run has the same id and has not ended: let each call have its own `run_id`"
# A call that is cancelled ends without a word: what is remembered of it has to go some day.
_MOST_RUNS: Final = 10_000


class NeedsGuardError(Exception):
    """Names in the record why a permit cannot be kept here; nobody raises it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the end of a run has to know of its start.

    Args:
        who: for whom it is made.
        resource: the model, tool or retriever.
        attempt: which attempt at which call.
        said: what its prompt says.
        guarded: whether it is one of a guarded model: nothing is asked about it here.
    """

    who: Identity
    resource: Entity
    attempt: Attempt = field(default_factory=first_attempt)
    said: tuple[str, ...] = field(default=(), repr=False)
    guarded: bool = False


class Enforcer(Judging):
    """Asks about calls that a callback handler is told of, and blocks what is denied.

    Args:
        pep: decides.
        subject: for whom all calls are made, or None to find out per call.
    """

    def __init__(self, pep: EnforcementPoint, subject: Entity | str | None = None) -> None:
        super().__init__()
        self.pep = pep
        self._most = pep.settings.limits.segments
        self._bound = None if subject is None else bound_identity(subject)
        self._runs: BoundedMap[Run] = BoundedMap(_MOST_RUNS)

    def refuse_cached(self, model: BaseLLM) -> None:
        """Refuse a call of a text model whose answer may come from a cache, of which no handler is told.

        Args:
            model: the text model.

        Raises:
            PolicyDenied: the call is denied.
        """
        name = model._llm_type  # noqa: SLF001 -- LangChain has no public way
        run = Run(self._who(), Entity(type="model", id=name))
        question = _ask(Stage.PRE_PROMPT, run, Surface(0), {})
        decision = self.pep.refuse(question, "cache_not_governed", _CACHE_HINT)
        if decision.denied:
            self._deny(run, decision, _CACHE_HINT)

    def _attempt(self, who: Identity, parent: UUID | None, said: Iterable[str]) -> Attempt:
        return next_attempt(self.pep, place_of(run_id=parent), who.subject, said)

    def _begin(
        self,
        run_id: UUID,
        run: Run,
        surface: Surface,
        params: Mapping[str, Any],
        context: Mapping[str, Any],
    ) -> None:
        """Judge a prompt, and refuse a stream whose answer could not be held back."""
        limit = heard_limit(params)
        facts = {**context, **({"estimated": {"max_tokens": limit}} if limit is not None else {})}
        for stage in (Stage.MODEL_SELECTION, Stage.PRE_PROMPT):
            self._judge(stage, run, surface, facts)
        if (params.get("stream") or streams(sys._getframe(1))) and self._judges_answers(run):  # noqa: SLF001 -- see `stream_detection`
            self._refuse_stream(run)
        self._remember(run_id, run)

    def _judge(self, stage: Stage, run: Run, surface: Surface, context: Mapping[str, Any]) -> None:
        question = _ask(stage, run, surface, context)
        decision = self.pep.decide(question)
        if decision.denied:
            needs_guard = any(reason.code == "unsupported_obligation" for reason in decision.reasons)
            self._deny(run, decision, _HINT if needs_guard else "")
        if decision.enforced and decision.changes:
            # Only `no_store` gets here: whether something is stored is not a callback's to say.
            self._deny(run, self.pep.report_failure(decision, NeedsGuardError()), _HINT)

    def _refuse_result(self, run: Run) -> None:
        """Deny a result that policy cannot be asked about; under monitor it is recorded, and passes."""
        question = _ask(Stage.TOOL_RESULT, run, Surface(0), {})
        decision = self.pep.refuse(question, "result_unreadable", "it is too large to be read")
        if decision.denied:
            self._deny(run, decision, "")

    def _judges_answers(self, run: Run, stage: Stage = Stage.POST_COMPLETION) -> bool:
        return self.pep.node.covers(stage) and can_stand(self.pep.settings, stage, run.who.subject)

    def _refuse_events(self, run: Run) -> None:
        """Refuse a tool or a retriever whose output goes out as an event before it could be judged."""
        if tells_events(sys._getframe(1)) and self._judges_answers(run, Stage.TOOL_RESULT):  # noqa: SLF001 -- see `stream_detection`
            self._refuse_stream(run, Stage.TOOL_RESULT, _TOOL_HINT)

    def _stop_stream(self, run_id: UUID) -> None:
        run = self._runs.get(run_id.int)
        if run is not None and not run.guarded and self._judges_answers(run):
            self._refuse_stream(run)

    def _refuse_stream(self, run: Run, stage: Stage = Stage.POST_COMPLETION, hint: str = _HINT) -> None:
        question = _ask(stage, run, Surface(0), {})
        decision: Decision = self.pep.refuse(question, "stream_not_held", hint)
        if not decision.denied:
            # Not this reason, but another one that policy may have in the end would be enforced.
            decision = self.pep.report_failure(decision, NeedsGuardError())
        self._deny(run, decision, hint)

    def _who(self, metadata: Mapping[str, Any] | None = None) -> Identity:
        own = config_around(sys._getframe(1), metadata)  # noqa: SLF001 -- see `caller_detection`
        config = own if carries_subject(own) else ensure_config()
        return identity_of(self.pep.settings, config, metadata, self._bound)

    def _deny(self, run: Run, decision: Decision, hint: str) -> NoReturn:
        self._note_failure(run)
        raise PolicyDenied(decision, hint)

    def _note_failure(self, run: Run | None) -> None:
        if run is not None and not run.guarded:
            note_failure(self.pep, run.attempt, run.who.subject, run.said)

    def _remember(self, run_id: UUID, run: Run) -> None:
        """Remember a run that starts, unless one of the same id has not ended: a caller may choose ids.

        The end of one would be taken for that of the other, and a run that nobody governs for a guarded one.
        """
        known = self._runs.get(run_id.int)
        if known is not None and not (known.guarded and run.guarded):
            stage = Stage.PRE_PROMPT if run.resource.type == "model" else Stage.TOOL_CALL
            decision = self.pep.refuse(_ask(stage, run, Surface(0), {}), "run_id_in_use", _ID_HINT)
            if decision.denied:
                self._deny(run, decision, _ID_HINT)
            if run.guarded:
                return
        self._runs.keep(run_id.int, run)

    def _forget(self, run_id: UUID) -> Run | None:
        return self._runs.pop(run_id.int)


def _ask(stage: Stage, run: Run, surface: Surface, context: Mapping[str, Any]) -> AccessRequest:
    call_id, attempt = run.attempt.call_id, run.attempt.number
    return ask(
        stage, run.resource, run.who, call_id=call_id, attempt=attempt, surface=surface, context=context
    )


def named(kind: str, name: Any) -> Entity:
    """A tool or a retriever by its name, if it has one."""
    return Entity(type=kind, id=name if isinstance(name, str) and name else "unknown")
