"""`checkrein explain`: one recorded decision, or one request that is decided now, and why; never its text."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import Field, ValidationError, field_validator, model_validator

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.loading import LoadedSettings
from checkrein.obligations import allowed_at
from checkrein.strict import StrictModel
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

from . import explain_report, explain_view
from .asking_again import ask_again
from .common import USAGE, AsJson, Config, fail, loaded_from
from .places import Places
from .records import MOST, Record, find_records, is_record, parsed, record_of, without_text
from .render import print_json, show

__all__ = ["explain"]

_MOST_BYTES: Final = 64 * 1024 * 1024
_TEXTS: Final = {
    Stage.MODEL_SELECTION: ("prompt", Origin.USER),
    Stage.PRE_PROMPT: ("prompt", Origin.USER),
    Stage.POST_COMPLETION: ("completion", Origin.ASSISTANT),
    Stage.TOOL_RESULT: ("result", Origin.TOOL),
}


def explain(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="One record or one request, JSON; - reads standard input."),
    ] = None,
    *,
    log: Annotated[Path | None, typer.Option(metavar="PATH", help="A decision log.")] = None,
    id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="A decision's id, or a call's.")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what a decision was made of: facts, answers, policies, obligations; never the text.

    With --config, says where the policies stand, and asks a record's facts again under the present ones. A
    request needs --config: it is decided now, and nothing is logged.
    """
    values = _values(file, log, id)
    with loaded_from(config) if config else nullcontext() as loaded:
        told = [one for value in values for one in _told(value, loaded)]
    if as_json:
        print_json({"decisions": told})
    else:
        show(part for number, one in enumerate(told) for part in explain_view.render(one, first=number == 0))


def _values(file: str | None, log: Path | None, wanted: str | None) -> Sequence[Any]:
    if (file is None) is (log is None) or (log is None) is not (wanted is None):
        raise typer.BadParameter("give a file, or `--log` with `--id`", param_hint="FILE")
    if log is None or wanted is None:
        return [_parsed(_read(str(file)), str(file))]
    try:
        # One more than is shown: nothing is left out without a word.
        found = [record for record, _ in zip(find_records(log, wanted), range(MOST + 1), strict=False)]
    except OSError as error:
        fail(USAGE, f"`{log}` cannot be read: {(error.strerror or 'unknown').lower()}")
    if not found:
        fail(USAGE, f"`{log}` holds no decision and no call `{wanted}`")
    if len(found) > MOST:
        fail(USAGE, f"the call `{wanted}` has over `{MOST}` records; name a decision's id")
    return found


def _read(file: str) -> bytes:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        fail(USAGE, f"`{file}` cannot be read: {(error.strerror or 'unknown').lower()}")
    if len(content) > _MOST_BYTES:
        fail(USAGE, f"`{file}` is over `{_MOST_BYTES}` bytes; name a decision with `--log` and `--id`")
    return content


def _parsed(content: bytes, file: str) -> Any:
    try:
        value = parsed(content)
    except ValueError:
        lines = content.count(b"\n")
        more = "; of a log, name a decision with `--log` and `--id`" if lines > 1 else ""
        fail(USAGE, f"`{file}` is no JSON document{more}")
    if not isinstance(value, Mapping):
        fail(USAGE, f"`{file}` is neither a decision record nor a request")
    return value


def _told(value: Mapping[str, Any], loaded: LoadedSettings | None) -> list[dict[str, Any]]:
    places = None if loaded is None else Places(loaded)
    if not is_record(value):
        if loaded is None:
            hint = "a request is decided by the policies of a settings file; name it"
            raise typer.BadParameter(hint, param_hint="--config")
        return [_report(record_of(decision), places, "now") for decision in _decided(value, loaded)]
    told = _report(without_text(value), places, "recorded")
    if loaded is not None and places is not None:
        told["again"] = explain_report.again(ask_again(value, loaded), places.of_answer)
    return [told]


class _Request(StrictModel):
    """A request as AuthZEN writes it, with a stage; a stage's text is a string, or an object with `text`."""

    stage: Stage = Field(strict=False)
    subject: Mapping[str, Any]
    resource: Mapping[str, Any]
    action: Mapping[str, Any] = Field(default_factory=dict)
    context: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _stage_of_the_action(cls, data: Any) -> Any:
        action = data.get("action") if isinstance(data, Mapping) else None
        if isinstance(action, Mapping) and "stage" not in data:
            named = [stage.value for stage in Stage if stage.action == action.get("name")]
            return {**data, **({"stage": named[0]} if named else {})}
        return data

    @field_validator("subject", "resource")
    @classmethod
    def _is_an_entity(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        kind, name, properties = value.get("type"), value.get("id"), value.get("properties", {})
        if not isinstance(kind, str) or not isinstance(name, str) or not isinstance(properties, Mapping):
            raise ValueError("must be `{type, id, properties}`")  # noqa: TRY004 -- pydantic reads this one
        return value


def _decided(value: Mapping[str, Any], loaded: LoadedSettings) -> Sequence[Decision]:
    """Every decision that the request takes, those of a route included."""
    try:
        given = _Request.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        fail(USAGE, f"this is no request: `{where}`: {first['msg'].removeprefix('Value error, ').lower()}")
    context = dict(given.context)
    supports = context.pop("supported_obligations", None)
    identity = context.pop("identity", None)
    request = AccessRequest(
        stage=given.stage,
        subject=_entity(given.subject),
        resource=_entity(given.resource),
        action=str(given.action.get("name", "")),
        context=context,
        segments=_segments(given.stage, context),
        supports=frozenset(map(str, supports)) if isinstance(supports, list) else allowed_at(given.stage),
        identity=identity if isinstance(identity, Mapping) else {"source": "cli", "asserted": False},
    )
    decisions: list[Decision] = []
    pep = EnforcementPoint(loaded.engine, loaded.settings, record=decisions.append)
    pep.decide(request, lambda name: pep.settings.models.get(name, {}))
    return decisions


def _entity(value: Mapping[str, Any]) -> Entity:
    return Entity(type=value["type"], id=value["id"], properties=value.get("properties", {}))


def _segments(stage: Stage, context: Mapping[str, Any]) -> tuple[Segment, ...]:
    if stage not in _TEXTS:
        return ()
    key, origin = _TEXTS[stage]
    facts = context.get(key)
    text = facts.get("text") if isinstance(facts, Mapping) else facts
    if not isinstance(text, str):
        return ()
    listed = facts.get("segments") if isinstance(facts, Mapping) else None
    try:
        return tuple(
            Segment(
                path=(index,),
                role=str(one["role"]),
                origin=Origin(one["origin"]),
                text=text[int(one["start"]) : int(one["end"])],
            )
            for index, one in enumerate(listed or ())
        ) or (Segment(path=(0,), role=origin.value, origin=origin, text=text),)
    except (KeyError, TypeError, ValueError):
        fail(USAGE, f"this is no request: `context.{key}.segments` are `{{role, origin, start, end}}`")


def _report(record: Record, places: Places | None, when: str) -> dict[str, Any]:
    told = explain_report.report(record)
    told["when"] = when
    if places is not None:
        told["reasons"] = [
            {**reason, "places": places.of_reason(reason, told["answers"])} for reason in told["reasons"]
        ]
        told["answers"] = [{**answer, **places.of_answer(answer)} for answer in told["answers"]]
    return told
