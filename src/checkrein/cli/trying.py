"""`checkrein try`: asks the stages of one call in order, as a host would, and shows what came of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from checkrein.decision import Answer, Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.ids import new_id
from checkrein.obligations import allowed_at
from checkrein.vocabulary import ANONYMOUS, AccessRequest, Entity, Origin, Segment, Stage

from .render import BAD, FAINT, GOOD, WARNING, field_grid, indented, plain, section

__all__ = ["Asked", "Trial", "attempt", "render", "report"]

_STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One stage of the call.

    Args:
        stage: the stage.
        decisions: every decision that it took, routes included; the last one counts.
        note: why it was not asked.
    """

    stage: Stage
    decisions: tuple[Decision, ...] = ()
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Trial:
    """One call: what was asked, and what a host would send and return.

    Args:
        subject: who asks.
        wanted: the model that was asked for.
        model: the model that would be called.
        prompt: the prompt as it would be sent; None when nothing would be.
        completion: the completion as it would be returned; None when nothing was given or would be.
        stages: in order.
        denial: the decision that stopped the call.
    """

    subject: Entity
    wanted: str
    model: str
    prompt: str | None = field(repr=False)
    completion: str | None = field(repr=False)
    stages: list[Asked] = field(default_factory=list)
    denial: Decision | None = None


def attempt(  # noqa: PLR0913 -- what a call consists of
    pep: EnforcementPoint,
    records: list[Decision],
    *,
    subject: Entity,
    model: str,
    prompt: str,
    completion: str | None,
) -> Trial:
    """Make one call without a model.

    Args:
        pep: decides; it must record to `records`.
        records: every decision, routes included, in order.
        subject: who asks.
        model: the model's name.
        prompt: the user's only message.
        completion: what the model answered, or None to leave that stage out.
    """
    trial = Trial(subject=subject, wanted=model, model=model, prompt=prompt, completion=completion)
    call_id = new_id()
    for stage in _STAGES:
        note = _not_asked(pep, trial, stage)
        if note:
            trial.stages.append(Asked(stage=stage, note=note))
            continue
        said = (completion or "") if stage is Stage.POST_COMPLETION else prompt
        role = "assistant" if stage is Stage.POST_COMPLETION else "user"
        first = len(records)
        decision = pep.decide(
            AccessRequest(
                stage=stage,
                subject=subject,
                resource=Entity(type="model", id=trial.model),
                context={"operation": "chat", "environment": {"host": "checkrein-try"}},
                segments=(Segment(path=(0,), role=role, origin=Origin(role), text=said),),
                supports=allowed_at(stage),
                call_id=call_id,
                identity={"source": "cli", "asserted": False},
            ),
            lambda name: pep.settings.models.get(name, {}),
        )
        trial.stages.append(Asked(stage=stage, decisions=tuple(records[first:])))
        _carry_over(trial, stage, decision)
    return trial


def _not_asked(pep: EnforcementPoint, trial: Trial, stage: Stage) -> str:
    if trial.denial is not None:
        return "not reached: the call was denied before"
    if stage is Stage.POST_COMPLETION and trial.completion is None:
        return "skipped: no --completion was given"
    if not pep.node.covers(stage) and stage not in pep.settings.unchecked:
        return "no engine covers it: a host that hooks it refuses to start"
    return ""


def _carry_over(trial: Trial, stage: Stage, decision: Decision) -> None:
    """What a host writes back before the call goes on."""
    if decision.denied:
        trial.denial = decision
        trial.completion = None
        if stage is not Stage.POST_COMPLETION:
            trial.prompt = None
        return
    trial.model = decision.changes.model or trial.model
    for text in decision.changes.texts.values():
        if stage is Stage.POST_COMPLETION:
            trial.completion = text
        else:
            trial.prompt = text


def _outcome(decision: Decision) -> tuple[str, str]:
    if decision.failed_open:
        return "failed open", WARNING
    if any(reason.code == "unchecked" for reason in decision.reasons) and not decision.answers:
        return "unchecked", WARNING
    if decision.enforced:
        return ("permitted", GOOD) if decision.permitted else ("denied", BAD)
    return ("permitted (monitor)", GOOD) if decision.permitted else ("would deny (monitor)", WARNING)


def _only_watched(decision: Decision) -> bool:
    return not decision.permitted and not decision.enforced


def report(trial: Trial) -> dict[str, Any]:
    """The call as JSON values."""
    return {
        "subject": _entity(trial.subject),
        "model": {"asked": trial.wanted, "used": None if trial.prompt is None else trial.model},
        "denied": trial.denial is not None,
        "caller_sees": trial.denial.message if trial.denial else None,
        "prompt": trial.prompt,
        "completion": trial.completion,
        "stages": [
            {
                "stage": asked.stage.value,
                "note": asked.note or None,
                "decisions": [_decision(decision) for decision in asked.decisions],
            }
            for asked in trial.stages
        ],
    }


def _entity(entity: Entity) -> dict[str, Any]:
    return {"type": entity.type, "id": entity.id, "properties": dict(entity.properties)}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "decision_id": decision.decision_id,
        "stage": decision.request.stage.value,
        "resource": decision.request.resource.id,
        "outcome": _outcome(decision)[0],
        "permitted": decision.permitted,
        "enforced": decision.enforced,
        "failed_open": decision.failed_open,
        "reasons": [{"code": reason.code, "message": reason.message} for reason in decision.reasons],
        "obligations": [
            {
                "type": one.obligation.type,
                "properties": dict(one.obligation.properties),
                "state": one.state.value,
            }
            for one in decision.obligations
        ],
        "findings": dict(Counter(finding.type for finding in decision.findings)),
        "answers": [
            {
                "engine": answer.engine,
                "effect": answer.effect,
                "cause": answer.cause,
                "detail": answer.detail,
                "policy_ids": list(answer.policy_ids),
                "revision": answer.revision,
                "duration_us": answer.duration_us,
            }
            for answer in decision.answers
        ],
        "duration_us": decision.duration_us,
    }


def render(trial: Trial) -> Iterator[RenderableType]:
    """The call for people."""
    properties = ", ".join(f"{key}={_short(value)}" for key, value in trial.subject.properties.items())
    who = plain("anonymous" if trial.subject == ANONYMOUS else f"{trial.subject.type}:{trial.subject.id}")
    who += plain(f"  {properties}" if properties else "", FAINT)
    yield field_grid([("as", who), ("asks for", plain(trial.wanted))])
    for asked in trial.stages:
        if not asked.decisions:
            yield Text("")
            yield Text.assemble((asked.stage.value, "bold"), "  ", (asked.note, FAINT))
        for decision in asked.decisions:
            yield from _stage(decision)
    yield from section("result", field_grid(_conclusion(trial)))


def _stage(decision: Decision) -> Iterator[RenderableType]:
    word, style = _outcome(decision)
    yield Text("")
    yield Text.assemble(
        (decision.request.stage.value, "bold"),
        "  ",
        (word, style),
        plain(f"  {decision.request.resource.id}", FAINT),
        overflow="fold",
    )
    yield indented(field_grid(_rows(decision)))


def _rows(decision: Decision) -> Iterator[tuple[str, RenderableType]]:
    for number, reason in enumerate(decision.reasons):
        told = plain(reason.code) + plain(f"  {reason.message}" if reason.message else "", FAINT)
        yield ("reasons" if number == 0 else "", told)
    for number, one in enumerate(decision.obligations):
        properties = " ".join(f"{key}={_short(value)}" for key, value in one.obligation.properties.items())
        state = plain(f"  {one.state.value}", {"done": GOOD, "failed": BAD}.get(one.state.value, WARNING))
        yield (
            "obligations" if number == 0 else "",
            plain(f"{one.obligation.type} {properties}".strip()) + state,
        )
    if decision.findings:
        counted = Counter(finding.type for finding in decision.findings)
        found = ", ".join(
            kind if times == 1 else f"{kind} x{times}" for kind, times in sorted(counted.items())
        )
        yield "found", plain(found)
    for answer in decision.answers:
        yield "engine", _answer(answer)
        if answer.policy_ids:
            yield "policies", plain("\n".join(answer.policy_ids))


def _answer(answer: Answer) -> Text:
    said = answer.effect.value if answer.effect is not None else f"failed: {answer.cause}"
    told = plain(answer.engine) + plain(f"  {said}", "" if answer.effect is not None else BAD)
    told += plain(f"  {answer.duration_us} us", FAINT)
    return told + plain(f"  {answer.detail}" if answer.detail else "", FAINT)


def _conclusion(trial: Trial) -> Iterator[tuple[str, RenderableType]]:
    if trial.denial is not None:
        yield "caller sees", plain(trial.denial.message, BAD)
    passing = [one.stage.value for one in trial.stages if any(_only_watched(each) for each in one.decisions)]
    if passing:
        yield "monitor", plain(f"would be denied at {', '.join(passing)}, and passes", WARNING)
    if trial.prompt is None:
        yield "sent", plain("nothing", FAINT)
        return
    routed = trial.model != trial.wanted
    yield "model", plain(trial.model) + plain(f"  instead of {trial.wanted}" if routed else "", FAINT)
    yield "sent", plain(trial.prompt)
    if trial.completion is not None:
        yield "returned", plain(trial.completion)
    elif trial.denial is not None:
        yield "returned", plain("nothing", FAINT)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
