"""One governed use of a tool or a retriever: what policy is asked before it and about what it gives back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from langchain_core.runnables import RunnableConfig

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow
from checkrein.identity import Identity
from checkrein.ids import new_id
from checkrein.vocabulary import AccessRequest, Entity, Origin, Stage
from checkrein_langchain.access_requests import Decide, ask
from checkrein_langchain.denial import PolicyDenied, can_stand
from checkrein_langchain.text.reader import Reader, plain
from checkrein_langchain.text.surface import Surface
from checkrein_langchain.text.tool_outputs import Output, check_size, read_output, rewritten_output

from .approvals import (
    Approval,
    ApprovalInvalidError,
    ApprovalRefusedError,
    approval_of,
    approval_request,
    digest_of,
    unapproved,
)

__all__ = ["TOOL_STAGES", "Use", "call_id_of", "place_of"]

TOOL_STAGES: Final = (Stage.TOOL_CALL, Stage.TOOL_RESULT)
_NOTHING: Final = Surface(0)
# A policy that wants ever more approvals, each time it is asked, gets none.
_MOST_ROUNDS: Final = 16


def _untold(_: Decision) -> None:
    """Nobody wants to hear of decisions."""


@dataclass(slots=True)
class Use:
    """A use on its way: mutable, of one call alone.

    Args:
        pep: decides.
        who: for whom it is.
        resource: the tool or the retriever.
        call_id: joins the stages.
        arguments: what it is to be called with; the caller's own are never changed.
        tool_call_id: the model's own id of the call.
        facts: what else policies may know.
        approve: asks people and gives their answer, or does not return; None where nobody can be asked.
        place: where in which conversation it stands; the same when it is resumed, and nowhere else.
        tell: hears of every decision.
        seen: messages that were there before: a tool that hands them on says nothing by that.
        replies: whether a denied result becomes an error message, or is raised.
    """

    pep: EnforcementPoint
    who: Identity
    resource: Entity
    call_id: str
    arguments: Any = field(repr=False)
    tool_call_id: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    approve: Callable[[dict[str, Any]], Any] | None = None
    place: str = ""
    tell: Callable[[Decision], None] = _untold
    seen: Any = field(default=(), repr=False)
    replies: bool = False
    _plain: Any = field(default_factory=dict, init=False, repr=False)
    changed: PolicyDenied | None = field(default=None, init=False, repr=False)
    _judged: Any = field(default=None, init=False, repr=False)
    _shown: list[str] | None = field(default=None, init=False, repr=False)

    # Before it runs

    def before(self) -> Flow[None]:
        """Ask about the call, and change its arguments as policy says.

        Raises:
            PolicyDenied: the call is denied, a change cannot be made, or an approval is not given.
        """
        given: tuple[Approval, ...] = ()
        surface = self._readable_arguments()
        if surface is None:
            self._refuse(self._call(_NOTHING, given), "arguments_unreadable")
            return
        for _ in range(_MOST_ROUNDS):
            decision = yield from self._decided(self._call(surface, given))
            arguments = self._rewritten(decision, surface)
            digest = digest_of(self.resource.id, self.tool_call_id, arguments, self.place)
            wanted = unapproved(decision, given, digest)
            if not wanted:
                self.arguments, self._judged = arguments, self._seen_in(arguments)
                return
            given = (*given, self._approved(decision, arguments, digest, wanted))
        raise self._failed(decision, ApprovalInvalidError("policy wants ever more approvals"))

    def is_judged(self, arguments: Any) -> bool:
        """Whether these are the arguments that were judged: somebody in between can have changed them."""
        return bool(self._seen_in(arguments) == self._judged)

    def check(self, arguments: Any) -> None:
        """Look at the arguments a last time: callbacks and middleware can change them in place.

        Args:
            arguments: that the tool is to run with; `changed` is set if they are not those that were judged.
        """
        if self._judged is None or self.is_judged(arguments):
            return
        try:
            self._refuse(self._call(_NOTHING, ()), "arguments_changed", "they changed after they were judged")
        except PolicyDenied as denied:
            self.changed = denied

    def _seen_in(self, arguments: Any) -> Any:
        """What policy sees of arguments: a copy, as those that stand in the call can be changed in place."""
        try:
            surface = _read_arguments({"arguments": arguments}, self._most)
            return plain(arguments), [slot.segment.text for slot in surface.slots]
        except Exception:  # noqa: BLE001 -- what cannot be read cannot have been judged
            return None

    def _readable_arguments(self) -> Surface | None:
        try:
            check_size(self.arguments)
            self._plain = plain(self.arguments)
            return _read_arguments({"arguments": self.arguments}, self._most)
        except Exception:  # noqa: BLE001 -- what cannot be read cannot be judged
            return None

    def _call(self, surface: Surface, given: tuple[Approval, ...]) -> AccessRequest:
        supports = {"redact"}
        if len(surface.slots) == 1 and not surface.uninspected:
            # With several arguments a text in place of them all would be a call that nobody asked for.
            supports.add("replace")
        if self.approve is not None and digest_of("", None, self.arguments) is not None:
            supports.add("require_approval")
        tool = {
            "arguments": self._plain,
            **({"call_id": self.tool_call_id} if self.tool_call_id else {}),
        }
        approval = _told_of(given)
        return ask(
            Stage.TOOL_CALL,
            self.resource,
            self.who,
            call_id=self.call_id,
            surface=surface,
            context={
                "operation": "tool",
                **self.facts,
                "tool": tool,
                **({"approval": approval} if approval else {}),
            },
            supports=frozenset(supports),
        )

    def _rewritten(self, decision: Decision, before: Surface) -> Any:
        texts = decision.changes.texts
        if not texts:
            return self.arguments
        failure: Exception
        try:
            box = {"arguments": copy.deepcopy(self.arguments)}
            _read_arguments(box, self._most).write(texts)
            _read_arguments(box, self._most).expect(before, texts)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the permit does not hold
            failure = error
        else:
            return box["arguments"]
        raise self._failed(decision, failure)

    def _approved(
        self, decision: Decision, arguments: Any, digest: str | None, wanted: list[list[str]]
    ) -> Approval:
        failure: Exception
        if self.approve is None or digest is None:
            failure = ApprovalInvalidError("these arguments cannot be bound to an approval")
        else:
            answer = self.approve(approval_request(decision, arguments, digest, wanted))
            try:
                return approval_of(answer, digest, wanted)
            except (ApprovalInvalidError, ApprovalRefusedError) as error:
                failure = error
        raise self._failed(decision, failure, str(failure))

    # After it ran

    def after(self, output: Output) -> Flow[Output]:
        """Ask about what came back, and change it as policy says.

        Raises:
            PolicyDenied: it is denied, or a change cannot be made.
        """
        output = replace(output, tool=self.resource.id, seen=self.seen)
        surface = _readable(output, self._most)
        if surface is None:
            self._refuse(self._result(_NOTHING), "result_unreadable")
            return output
        decision = yield from self._decided(self._result(surface))
        if not decision.changes.texts:
            return output
        failure: Exception
        try:
            return rewritten_output(output, surface, decision.changes.texts)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the permit does not hold
            failure = error
        raise self._failed(decision, failure)

    def show(self, content: Any) -> None:
        """Remember what is given out as judged."""
        self._shown = self._texts(content)

    def is_shown(self, content: Any) -> bool:
        """Whether this is what was judged: somebody in between can have put something else in its place."""
        texts = self._texts(content)
        return texts is not None and texts == self._shown

    def _texts(self, content: Any) -> list[str] | None:
        surface = _readable(Output(content, tool=self.resource.id, seen=self.seen), self._most)
        return None if surface is None else [slot.segment.text for slot in surface.slots]

    def _result(self, surface: Surface) -> AccessRequest:
        return ask(
            Stage.TOOL_RESULT,
            self.resource,
            self.who,
            call_id=self.call_id,
            surface=surface,
            context={"operation": "tool", **self.facts},
            supports=frozenset({"redact"} if surface.uninspected else {"redact", "replace"}),
        )

    # What both share

    @property
    def judges_results(self) -> bool:
        """Whether a result can be denied: policy is asked about it, and its denial would be enforced."""
        covered = self.pep.node.covers(Stage.TOOL_RESULT)
        return covered and can_stand(self.pep.settings, Stage.TOOL_RESULT, self.who.subject)

    @property
    def _most(self) -> int:
        return self.pep.settings.limits.segments

    def _decided(self, question: AccessRequest) -> Flow[Decision]:
        decision: Decision = yield Decide(self.pep, question)
        self.tell(decision)
        decision.raise_if_denied(PolicyDenied)
        return decision

    def _refuse(
        self, question: AccessRequest, code: str, why: str = "it cannot be read, so policy cannot judge it"
    ) -> None:
        decision = self.pep.refuse(question, code, why)
        self.tell(decision)
        decision.raise_if_denied(PolicyDenied)

    def _failed(self, decision: Decision, error: Exception, hint: str = "") -> PolicyDenied:
        denied = self.pep.report_failure(decision, error)
        self.tell(denied)
        return PolicyDenied(denied, hint)


def _told_of(given: Sequence[Approval]) -> dict[str, Any]:
    """What policy and the record are told of approvals: those of the call as it is now."""
    if not given:
        return {}
    digest = given[-1].digest
    # Not the digest itself: it has no key, and whoever reads the log could try out arguments.
    return {"approvers": [one.approver for one in given if one.digest == digest]}


def _read_arguments(box: dict[str, Any], most: int) -> Surface:
    surface = Surface(most)
    reader = Reader(surface, "tool_call", Origin.ASSISTANT)
    reader.read(box, "arguments", ("arguments",), whole=True)
    return surface


def _readable(output: Output, most: int) -> Surface | None:
    try:
        return read_output(output, most)
    except Exception:  # noqa: BLE001 -- what cannot be read cannot be judged
        return None


def call_id_of(config: RunnableConfig, tool_call_id: str | None) -> str:
    """What joins the decisions about one call; the same again where LangGraph runs a node again."""
    task = place_of(config)
    return (
        str(uuid5(NAMESPACE_OID, f"checkrein:{task}:{tool_call_id}")) if task and tool_call_id else new_id()
    )


def place_of(config: RunnableConfig) -> str:
    """LangGraph's task: one step of one thread, the same when it is resumed; empty where there is none."""
    task = (config.get("configurable") or {}).get("__pregel_task_id")
    return task if isinstance(task, str) else ""
