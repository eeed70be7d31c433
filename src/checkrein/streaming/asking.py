"""What is asked about a stream, and what the answers bind it to from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from checkrein.decision import Decision
from checkrein.detection import Detectors
from checkrein.flow import Flow
from checkrein.obligations import Plan
from checkrein.settings import Limits
from checkrein.vocabulary import EMPTY, AccessRequest, Obligation, Segment

from .texts import NOTHING, StreamTexts, Texts

__all__ = ["Asking", "Backing"]


class Backing(NamedTuple):
    """What a gate needs of its enforcement point.

    Args:
        ask: concludes on a request that earlier obligations bind too; does not record.
        record: records a decision; gives it back with what a denied caller may see.
        deny: the denial that a decision becomes, with a reason's code and message.
        detectors: the compiled detectors.
        limits: what never reaches an engine.
    """

    ask: Callable[[AccessRequest, tuple[Obligation, ...]], Flow[tuple[Decision, Plan | None]]]
    record: Callable[[Decision], Decision]
    deny: Callable[[Decision, str, str], Decision]
    detectors: Detectors
    limits: Limits


class Asking:
    """Asks about everything so far, as often as the gate wants to know, and adds up what the answers say.

    Args:
        request: the question, without segments.
        backing: the enforcement point.
        texts: what came of the stream, and what of it has left.

    Attributes:
        decision: the last one, as it was recorded.
        known: types of findings that were asked about.
        redacted: types of findings that must not leave.
        replaced: whether another text stands for everything.
    """

    def __init__(self, request: AccessRequest, backing: Backing, texts: StreamTexts) -> None:
        self._request = request
        self._backing = backing
        self._texts = texts
        self._carried: tuple[Obligation, ...] = ()
        self.decision: Decision | None = None
        self.known: frozenset[str] = frozenset()
        self.redacted: frozenset[str] = frozenset()
        self.replaced = False

    @property
    def changes(self) -> Texts:
        """The new texts that the last decision gives."""
        return self.decision.changes.texts if self.decision else NOTHING

    def ask(
        self,
        *,
        partial: bool,
        passing: bool,
        context: Mapping[str, Any] = EMPTY,
        segments: tuple[Segment, ...] = (),
        trouble: str = "",
    ) -> Flow[Decision]:
        """Ask and record.

        Args:
            partial: whether more may come.
            passing: whether text leaves as it comes.
            context: what is known now besides.
            segments: texts that come besides.
            trouble: why the stream cannot go on, whatever engines say.
        """
        request = self._question(context, segments, partial=partial)
        decision, plan = yield from self._backing.ask(request, self._carried)
        if not decision.denied and (decision.permitted or self._carried):
            trouble = trouble or self._called_back(decision, passing=passing)
            if trouble:
                decision = replace(self._backing.deny(decision, "obligation_failed", trouble), enforced=True)
        decision = self.decision = self._backing.record(decision)
        self.known |= {finding.type for finding in decision.findings}
        if plan is not None:
            told = [one.obligation for one in decision.obligations]
            self._carried = tuple(one for index, one in enumerate(told) if one not in told[:index])
            self.redacted |= plan.redact
            self.replaced = self.replaced or (plan.replace is not None)
        return decision

    def _question(
        self, context: Mapping[str, Any], segments: tuple[Segment, ...], *, partial: bool
    ) -> AccessRequest:
        released = self._texts.released
        supports = self._request.supports
        if released:
            supports -= {"replace"}
        return replace(
            self._request,
            context={**self._request.context, **context, "partial": partial, "released": released},
            segments=self._texts.segments(segments),
            supports=supports,
        )

    def _called_back(self, decision: Decision, *, passing: bool) -> str:
        """Why a decision cannot be carried out any more: what has left would have had to be another text."""
        if self._carried and not decision.document:
            return "what earlier decisions bound the stream to cannot be carried out any more"
        if not self._texts.agrees(decision.changes.texts, passing=passing):
            return "text has left that would have had to be changed"
        return ""
