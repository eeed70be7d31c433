"""What a scenario is: one question as people write it, and what must come of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, InstanceOf, PrivateAttr, model_validator

from checkrein.obligations import allowed_at
from checkrein.strict import StageName, StrictModel
from checkrein.vocabulary import ANONYMOUS, AccessRequest, Entity, Origin, Segment, Stage

__all__ = ["Expectation", "Scenario"]

_TEXTS: Final = ("prompt", "messages", "completion", "tool", "result")
# What a scenario of each stage gives; one that names no stage is of the first that fits.
_FORMS: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    Stage.PRE_PROMPT: (frozenset({"prompt"}), frozenset({"messages"})),
    Stage.MODEL_SELECTION: (frozenset(), frozenset({"prompt"}), frozenset({"messages"})),
    Stage.POST_COMPLETION: (frozenset({"completion"}),),
    Stage.TOOL_CALL: (frozenset({"tool"}),),
    Stage.TOOL_RESULT: (frozenset({"tool", "result"}),),
}
_UNKNOWN_MODEL: Final = Entity(type="model", id="unknown")


def _subject(value: Any) -> Entity:
    if isinstance(value, Mapping):
        kind, name = value.get("type", "user"), value.get("id")
        if isinstance(kind, str) and isinstance(name, str) and kind and name:
            properties = {key: item for key, item in value.items() if key not in ("type", "id")}
            return Entity(type=kind, id=name, properties=properties)
    raise ValueError("must be a mapping with an `id`, for instance `{id: alice, tier: free}`")


def _model(value: Any) -> Entity:
    named = {"id": value} if isinstance(value, str) else value
    if isinstance(named, Mapping) and set(named) <= {"id", "properties"}:
        name, properties = named.get("id"), named.get("properties", {})
        if isinstance(name, str) and name and isinstance(properties, Mapping):
            return Entity(type="model", id=name, properties=properties)
    raise ValueError("must be a model's name or `{id: name, properties: {...}}`")


def _models(value: Any) -> tuple[Entity, ...] | None:
    if not isinstance(value, list):
        raise ValueError("must be a list of models")  # noqa: TRY004 -- pydantic's way to refuse
    return tuple(map(_model, value))


class _Message(StrictModel):
    role: Literal["system", "user", "assistant", "tool"]
    content: str


class _Tool(StrictModel):
    name: str = Field(min_length=1)
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class _Obligation(StrictModel):
    type: str = Field(min_length=1)
    properties: Mapping[str, Any] = Field(default_factory=dict)


class Expectation(StrictModel):
    """What must come of a scenario; a key that is absent is not compared.

    Args:
        permitted: the judgement, whatever the mode.
        reasons: every reason's code, in any order.
        obligations: every obligation without its `id`, in any order; a route that was followed is one too.
        text: the text after its changes, pieces joined by a line feed.
        model: the model that the policy routed to, or null when it must not route.
        candidates: the names of those that are permitted, in any order.
    """

    permitted: bool
    reasons: frozenset[str] = Field(default=frozenset(), strict=False)
    obligations: tuple[_Obligation, ...] = Field(default=(), strict=False)
    text: str = ""
    model: str | None = None
    candidates: frozenset[str] = Field(default=frozenset(), strict=False)


class Scenario(StrictModel):
    """One question and what must come of it.

    Args:
        name: a sentence, unique in its file.
        subject: `as` in the file: `id`, `type` (by default `user`), and every other key as a property; by
            default anonymous.
        stage: where it is asked; by default the stage that sees what is given.
        model: a name, or `{id, properties}`; the settings' `models` know more of it.
        candidates: models to choose from, each as `model`: which of them are permitted is asked at once.
        prompt: the user's only message.
        messages: or the whole conversation.
        completion: what the model answered.
        tool: what is called, or what answered `result`.
        result: what the tool answered.
        context: what the host knows besides: `usage`, `estimated`, ...
        supports: obligation types that the host can carry out; by default all that the stage allows.
        expect: what must come of it.
    """

    name: str = Field(min_length=1)
    subject: Annotated[InstanceOf[Entity], BeforeValidator(_subject)] = Field(default=ANONYMOUS, alias="as")
    stage: StageName
    model: Annotated[InstanceOf[Entity], BeforeValidator(_model)] = _UNKNOWN_MODEL
    candidates: Annotated[tuple[InstanceOf[Entity], ...] | None, BeforeValidator(_models)] = None
    prompt: str | None = None
    messages: tuple[_Message, ...] = Field(default=(), strict=False, min_length=1)
    completion: str | None = None
    tool: _Tool | None = None
    result: str | None = None
    context: Mapping[str, Any] = Field(default_factory=dict)
    supports: frozenset[str] | None = Field(default=None, strict=False)
    expect: Expectation
    _line: int = PrivateAttr(default=0)

    @model_validator(mode="before")
    @classmethod
    def _one_stage(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = frozenset(key for key in _TEXTS if data.get(key) is not None)
        stage = data.get("stage", next((stage for stage in _FORMS if given in _FORMS[stage]), None))
        forms = _FORMS.get(stage, (given,)) if isinstance(stage, str) else (given,)
        if stage is None or given not in forms:
            # What the stage never sees would make a scenario say more than it tests.
            asked = f"the stage `{stage}` is asked with {_either(forms)}" if stage else "no stage sees that"
            raise ValueError(f"gives {_either([given])}; {asked}")
        if "candidates" in data and stage != Stage.MODEL_SELECTION:
            raise ValueError("gives `candidates`; they are chosen from at `stage: model_selection` alone")
        return {**data, "stage": stage}

    @property
    def line(self) -> int:
        """Where it starts in its file, from 1; 0 when it came from no file."""
        return self._line

    def request(self) -> AccessRequest:
        """The access request that it stands for."""
        resource, context = self.model, dict(self.context)
        if self.tool is not None:
            resource = Entity(type="tool", id=self.tool.name)
            context["tool"] = {"arguments": self.tool.arguments}
            if self.model is not _UNKNOWN_MODEL:
                context["model"] = self.model.id
        return AccessRequest(
            stage=self.stage,
            subject=self.subject,
            resource=resource,
            context=context,
            segments=tuple(self._segments()),
            supports=allowed_at(self.stage) if self.supports is None else self.supports,
            identity={"source": "scenario", "asserted": False},
        )

    def _segments(self) -> Iterator[Segment]:
        alone = {"user": self.prompt, "assistant": self.completion, "tool": self.result}
        said = [*((one.role, one.content) for one in self.messages), *alone.items()]
        for index, (role, text) in enumerate(said):
            if text is not None:
                yield Segment(path=(index,), role=role, origin=Origin(role), text=text)
        if self.tool is not None and self.stage is Stage.TOOL_CALL:
            for path, text in _strings(self.tool.arguments, ("arguments",)):
                yield Segment(path=path, role="assistant", origin=Origin.ASSISTANT, text=text)


def _either(forms: Iterable[frozenset[str]]) -> str:
    return " or ".join(" and ".join(f"`{key}`" for key in sorted(form)) or "no text" for form in forms)


def _strings(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _strings(item, (*path, key))
