"""Asks a recorded decision's facts again under the present policies, where the record holds all of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from checkrein.combining import Judgement
from checkrein.decision import Answer
from checkrein.document import EvaluationRequest
from checkrein.flow import run
from checkrein.loading import LoadedSettings
from checkrein.outcome import Outcome, conclude
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

from .records import Record, listed, mapping

__all__ = ["Again", "ask_again"]

_TEXT_KEY: Final = {
    Stage.MODEL_SELECTION: "prompt",
    Stage.PRE_PROMPT: "prompt",
    Stage.POST_COMPLETION: "completion",
    Stage.TOOL_RESULT: "result",
}
# Where the log begins to cut what it shows of a fact.
_CUT_STRING: Final = 256
_CUT_LIST: Final = 1000
# What the enforcement point adds to an engine's reasons; it is no answer of a policy.
_OWN_REASONS: Final = frozenset(
    {
        "conflicting_obligations",
        "log_unavailable",
        "obligation_failed",
        "route_loop",
        "unsupported_obligation",
    }
)


class _Incomplete(Exception):  # noqa: N818 -- why a record cannot be asked again, never seen outside
    """What a record lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What came of it.

    Args:
        why_not: why it could not be asked again; empty when it was.
        outcome: what the present policies come to, before obligations are carried out.
        answers: per engine asked.
        obligations: what they bind a permit to.
        differences: in words; none means that they answer as it was recorded.
    """

    why_not: str = ""
    outcome: Outcome | None = None
    answers: tuple[Answer, ...] = ()
    obligations: Sequence[Mapping[str, Any]] = ()
    differences: tuple[str, ...] = ()


def ask_again(record: Record, loaded: LoadedSettings) -> Again:
    """Ask the engines about the document that the record holds, as it stood then.

    Nothing is recorded here (a remote engine may log that it was asked), and no obligation is carried out. A
    record that lacks anything that a policy can read is not asked: an answer about less would only look like
    one.

    Args:
        record: as it was written.
        loaded: the present settings.
    """
    try:
        request = _request(record)
    except _Incomplete as lack:
        return Again(why_not=str(lack))
    except (AttributeError, KeyError, TypeError, ValueError):
        return Again(why_not="the record is not of the shape that the log writes")
    if not loaded.engine.covers(request.stage):
        return Again(why_not=f"no engine covers `{request.stage}` now")
    judgement = run(loaded.engine.judge(request))
    outcome = conclude(judgement, request.stage, {})
    obligations = [{"type": one.type, "properties": dict(one.properties)} for one in judgement.obligations]
    return Again(
        outcome=outcome,
        answers=judgement.answers,
        obligations=obligations,
        differences=tuple(_differences(record, judgement, outcome, obligations)),
    )


def _request(record: Record) -> EvaluationRequest:
    for mark in ("truncated", "replaced"):
        if record.get(mark):
            raise _Incomplete("the record was cut to what a line of the log may hold")
    if record.get("candidates"):
        raise _Incomplete("it judged several candidates, and the record has no more than their names")
    document = record.get("input")
    if not isinstance(document, Mapping) or not {"stage", "subject", "action", "resource", "context"} <= set(
        document
    ):
        raise _Incomplete("the request was refused before any engine was asked")
    stage = Stage(document["stage"])
    subject, resource = (_entity(document[key]) for key in ("subject", "resource"))
    action = str(document["action"]["name"])
    context = dict(document["context"])
    key = _TEXT_KEY.get(stage)
    segments: tuple[Segment, ...] = ()
    if key is not None:
        context[key], segments = _text(context.get(key), stage)
    _check_facts(context)
    return EvaluationRequest(
        request=AccessRequest(
            stage=stage,
            subject=subject,
            resource=resource,
            action=action,
            segments=segments,
            supports=frozenset(_words(context.get("supported_obligations"))),
            call_id=str(record.get("call_id", "")),
        ),
        document={**document, "context": context},
    )


def _entity(value: Mapping[str, Any]) -> Entity:
    kind, name, properties = value["type"], value["id"], value["properties"]
    if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(properties, Mapping):
        raise TypeError("an entity of another shape")
    return Entity(type=kind, id=name, properties=properties)


def _text(facts: Any, stage: Stage) -> tuple[dict[str, Any], tuple[Segment, ...]]:
    """The facts about the text as engines saw them, and the text where the record has all of it."""
    listed = facts.get("segments") if isinstance(facts, Mapping) else None
    if not isinstance(listed, list) or "segments_omitted" in facts:
        raise _Incomplete("the record leaves out pieces of the text's outline")
    segments: list[Segment] = []
    outline: list[dict[str, Any]] = []
    for index, one in enumerate(listed):
        text = one.get("text")
        if stage.has_text and not isinstance(text, str):
            raise _Incomplete("the record holds no text of the call, and a policy may read it")
        if one.get("role") == "other":
            raise _Incomplete("the record hides the role of a message")
        outline.append({name: value for name, value in one.items() if name not in ("digest", "text")})
        origin = Origin(one["origin"])
        segments.append(Segment(path=(index,), role=str(one.get("role")), origin=origin, text=text or ""))
    told = {**facts, "segments": outline}
    if not stage.has_text:
        return told, ()
    whole = "\n".join(segment.text for segment in segments)
    shown = [len(segment.text) for segment in segments]
    if shown != [one["end"] - one["start"] for one in listed] or len(whole) != facts.get("length"):
        raise _Incomplete("the record holds masked text, and a policy may read what is masked")
    return {**told, "text": whole}, tuple(segments)


def _check_facts(context: Mapping[str, Any]) -> None:
    left_out = [*_words(context.get("omitted")), *(key for key in context if key.endswith("_omitted"))]
    if left_out:
        raise _Incomplete(f"the record leaves out `{left_out[0]}`")
    tool = context.get("tool")
    arguments = tool.get("arguments") if isinstance(tool, Mapping) else None
    if "tool" in context and (not isinstance(arguments, Mapping) or arguments.keys() == {"names", "digest"}):
        raise _Incomplete("the record holds no arguments of the tool, and a policy may read them")
    facts = context.keys() - {*_TEXT_KEY.values(), "findings", "tool"}
    if any(_may_be_cut(context[key]) for key in facts):
        raise _Incomplete("the record may have cut a long fact")


def _may_be_cut(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) >= _CUT_STRING
    if isinstance(value, Mapping):
        return any(map(_may_be_cut, value.values()))
    return isinstance(value, list) and (len(value) >= _CUT_LIST or any(map(_may_be_cut, value)))


def _words(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _differences(
    record: Record, judgement: Judgement, outcome: Outcome, obligations: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    then = str(record.get("failure") or record.get("effect"))
    now = str(outcome.failure or outcome.effect)
    if then != now:
        yield f"answer: {then} then, {now} now"
    codes_then = {str(one.get("code")) for one in listed(record, "reasons")} - _OWN_REASONS
    codes_now = {one.code for one in outcome.reasons}
    for code in sorted(codes_now - codes_then):
        yield f"reason {code}: only now"
    for code in sorted(codes_then - codes_now):
        yield f"reason {code}: only then"
    # What earlier hops of a route bound the call to stands in the record as well, before its own.
    bound_then, bound_now = Counter(_bound(listed(record, "obligations"))), Counter(_bound(obligations))
    for one in bound_now - bound_then:
        yield f"obligation {one}: only now"
    for one in bound_then - bound_now:
        yield f"obligation {one}: only then"
    revisions = {str(one.get("engine")): one.get("revision") for one in listed(record, "answers")}
    for answer in judgement.answers:
        if answer.engine not in revisions:
            yield f"engine {answer.engine}: asked only now"
    for engine in revisions.keys() - {answer.engine for answer in judgement.answers}:
        yield f"engine {engine}: asked only then"


def _bound(obligations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in obligations:
        properties = dict(mapping(one.get("properties")))
        yield f"{one.get('type')} {json.dumps(properties, sort_keys=True, default=str)}"
