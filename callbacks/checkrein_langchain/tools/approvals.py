"""What people are asked before a tool runs, and what counts as their answer.

An approval holds for one call of one tool with exactly these arguments, at this place of this conversation,
given by somebody whom the policy names. Who it is that answers, the application has to make sure of: it is
its own code that resumes the graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from checkrein.decision import Decision, Discharge

__all__ = [
    "Approval",
    "ApprovalInvalidError",
    "ApprovalRefusedError",
    "approval_of",
    "approval_request",
    "digest_of",
    "unapproved",
]

_ANSWER: Final = frozenset({"approved", "approver", "digest"})


class ApprovalRefusedError(Exception):
    """An approver said no; recorded by its name, raised into no caller."""


class ApprovalInvalidError(Exception):
    """An answer is no approval of this call; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A given approval.

    Args:
        approver: who gave it, as the policy names them.
        digest: of the call that it holds for.
    """

    approver: str
    digest: str


def digest_of(tool: str, call_id: str | None, arguments: Any, place: str = "") -> str | None:
    """SHA-256 of a call in canonical JSON, in hex; None where JSON would bend the arguments.

    Args:
        tool: the tool's name.
        call_id: the model's own id of the call.
        arguments: as the tool would get them.
        place: where it stands: providers count the ids of calls from the beginning in each conversation.
    """
    try:
        text = json.dumps(arguments, allow_nan=False)
        if json.loads(text) != arguments:
            return None
        call = {"arguments": arguments, "call_id": call_id, "place": place, "tool": tool}
        canonical = json.dumps(call, allow_nan=False, separators=(",", ":"), sort_keys=True)
    except (RecursionError, TypeError, ValueError):
        return None
    return hashlib.sha256(canonical.encode()).hexdigest()


def unapproved(decision: Decision, given: Sequence[Approval], digest: str | None) -> list[list[str]]:
    """The approvers of each obligation that nobody has met yet: one of each list has to approve.

    Args:
        decision: a permit.
        given: the approvals so far.
        digest: of the call; approvals of another one do not count.
    """
    approvers = {one.approver for one in given if one.digest == digest}
    wanted = [
        list(one.obligation.properties["approvers"])
        for one in decision.obligations
        if one.obligation.type == "require_approval" and one.state is Discharge.DONE
    ]
    return [names for names in wanted if approvers.isdisjoint(names)]


def approval_request(
    decision: Decision, arguments: Any, digest: str, wanted: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """What the approver is shown, in JSON's types.

    Args:
        decision: the permit that is bound to the approval.
        arguments: as the tool would get them: what policy redacts is redacted.
        digest: to be answered, so that the answer is about this call and no other.
        wanted: the approvers of each obligation that is still to be met.
    """
    asked = decision.request
    call_id = asked.context["tool"].get("call_id")
    return {
        "type": "policy_approval",
        "tool": asked.resource.id,
        **({"tool_call_id": call_id} if call_id else {}),
        "arguments": arguments,
        "subject": {"type": asked.subject.type, "id": asked.subject.id},
        "approvers": [list(names) for names in wanted],
        "decision_id": decision.decision_id,
        "digest": digest,
    }


def approval_of(answer: Any, digest: str, wanted: Sequence[Sequence[str]]) -> Approval:
    """Read an answer: `{"approved": true, "approver": "alice", "digest": "..."}`.

    Args:
        answer: what the graph was resumed with.
        digest: of the call.
        wanted: the approvers of each obligation that is still to be met.

    Raises:
        ApprovalRefusedError: it says no.
        ApprovalInvalidError: it is anything but an approval of this call by one of them.
    """
    if not isinstance(answer, Mapping) or not answer.keys() <= _ANSWER:
        raise ApprovalInvalidError("an answer has the keys `approved`, `approver` and `digest`")
    if answer.get("approved") is False:
        raise ApprovalRefusedError("the approval was refused")
    if answer.get("approved") is not True:
        raise ApprovalInvalidError("`approved` is true or false")
    if answer.get("digest") != digest:
        raise ApprovalInvalidError("`digest` is not that of this call with these arguments")
    approver = answer.get("approver")
    if not isinstance(approver, str) or not any(approver in names for names in wanted):
        raise ApprovalInvalidError("`approver` is nobody whose approval is still needed")
    return Approval(approver, digest)
