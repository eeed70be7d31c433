"""JSON Schemas (draft 2020-12) of the input document, the settings file and a decision record.

Objects of ours are closed; those that hosts and policies fill (properties, context) are open, and what is
known in them is typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from checkrein import identity, strict
from checkrein.decision import Discharge
from checkrein.decision_log import settings as log_settings
from checkrein.decision_log.recording import INPUT_SCHEMA, RECORD
from checkrein.errors import FailureCause, SettingsError
from checkrein.loading import SettingsFile
from checkrein.plugins import available, load_plugin
from checkrein.vocabulary import Effect, Origin, Stage

__all__ = ["TEXT_KEYS", "input_schema", "record_schema", "settings_schema"]

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TEXT_KEYS: Final = {
    Stage.MODEL_SELECTION: "prompt",
    Stage.PRE_PROMPT: "prompt",
    Stage.POST_COMPLETION: "completion",
    Stage.TOOL_RESULT: "result",
}
"""The key of the context that holds the text's facts, by stage."""

_STRING: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_NUMBER: Final[Schema] = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_NAMES: Final[Schema] = {"type": "array", "items": _STRING}
_OPEN: Final[Schema] = {"type": "object"}


def _closed(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    required = [key for key in properties if key not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


def _known(properties: Mapping[str, Schema], *required: str) -> Schema:
    """An object that hosts fill: what is known of it is typed, whatever else is allowed."""
    told: Schema = {"type": "object", "properties": dict(properties)}
    return {**told, "required": [*required]} if required else told


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_of(values: Any) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}


_ENTITY: Final = _closed({"type": _STRING, "id": _STRING, "properties": _OPEN})
_ACTION: Final = _closed({"name": _STRING})
_FINDING: Final = _closed({
    "type": _STRING, "origin": _one_of(Origin), "current": _FLAG, "segment": _COUNT, "start": _COUNT,
    "end": _COUNT,
})  # fmt: skip
_OUTLINE: Final[Mapping[str, Schema]] = {
    "role": _STRING, "origin": _one_of(Origin), "current": _FLAG, "start": _COUNT, "end": _COUNT,
}  # fmt: skip
_TEXT_FACTS: Final[Mapping[str, Schema]] = {"length": _COUNT, "words": _COUNT, "code": _FLAG}
_CONTEXT: Final[Mapping[str, Schema]] = {
    "operation": _STRING,
    "model": _STRING,
    "tools": _NAMES,
    "tool": _known({"arguments": _OPEN, "call_id": _STRING}),
    "tokens": _OPEN,
    "finish_reason": _STRING,
    "partial": _FLAG,
    "released": _COUNT,
    "approval": _known({"approvers": _NAMES}),
    "uninspected": _list(_known({"kind": _STRING, "segment": _COUNT}, "kind")),
    "estimated": _known({"prompt_tokens": _COUNT, "max_tokens": _COUNT, "cost_micros": _NUMBER}),
    "usage": _known({
        "spent_micros": _NUMBER, "limit_micros": _NUMBER, "requests": _COUNT, "quota": _COUNT,
    }),
    "findings": _list(_FINDING),
    "identity": _known({"source": _STRING, "asserted": _FLAG}, "source", "asserted"),
    "supported_obligations": _NAMES,
    "environment": _known({"time": _STRING, "host": _STRING, "endpoint": _STRING}, "time"),
}  # fmt: skip
_ALWAYS: Final = ("findings", "identity", "supported_obligations", "environment")


def input_schema(stage: Stage | None = None) -> Schema:
    """The schema of the input document that engines are asked about.

    Args:
        stage: of one stage alone, without any reference in it (OPA reads it as it is); by default of all.
    """
    if stage is not None:
        return {"$schema": DIALECT, "title": f"Checkrein's input document at {stage}", **_document(stage)}
    return {
        "$schema": DIALECT,
        "title": "Checkrein's input document",
        "type": "object",
        "properties": {"stage": _one_of(Stage)},
        "required": ["stage"],
        "allOf": [
            {
                "if": {"properties": {"stage": {"const": one.value}}},
                "then": {"$ref": f"#/$defs/{one.value}"},
            }
            for one in Stage
        ],
        "$defs": {one.value: _document(one) for one in Stage},
    }


def _document(stage: Stage) -> Schema:
    key = TEXT_KEYS.get(stage)
    context = dict(_CONTEXT)
    if key is not None:
        facts = {**_TEXT_FACTS, "segments": _list(_closed(_OUTLINE))}
        context[key] = _closed({**facts, **({"text": _STRING} if stage.has_text else {})})
    return _closed(
        {
            "stage": {"const": stage.value},
            "subject": _ENTITY,
            "action": _ACTION,
            "resource": _ENTITY,
            "context": _known(context, *_ALWAYS, *([key] if key else [])),
        }
    )


def record_schema() -> Schema:
    """The schema of a decision record; the log's other events have another `event`."""
    recorded = _closed({**_OUTLINE, "digest": _STRING, "text": _STRING}, optional=("text",))
    facts = _closed(
        {**_TEXT_FACTS, "segments": _list(recorded), "segments_omitted": _COUNT},
        optional=("segments_omitted",),
    )
    context = {
        **_CONTEXT,
        **dict.fromkeys(TEXT_KEYS.values(), facts),
        "findings_omitted": _COUNT,
        "omitted": _NAMES,
    }
    document = {"stage": _one_of(Stage), "subject": _ENTITY, "action": _ACTION, "resource": _ENTITY}
    asked = _closed({**document, "context": _known(context, *_ALWAYS)})
    named = _closed({"type": _STRING, "id": _STRING})
    refused = _closed({"subject": named, "resource": named, "segments": _COUNT, "length": _COUNT})
    masked: Schema = {"const": True}
    reason = _closed(
        {"code": _STRING, "message": _STRING, "message_masked": masked},
        optional=("message", "message_masked"),
    )
    obligation = _closed(
        {"type": _STRING, "properties": _OPEN, "id": _STRING, "state": _one_of(Discharge)}, optional=("id",)
    )
    candidate = _closed(
        {
            "id": _STRING,
            "permitted": _FLAG,
            "codes": _NAMES,
            "deployment": _STRING,
            "enforced": {"const": False},
        },
        optional=("deployment", "enforced"),
    )
    changes = {
        "texts": _COUNT, "model": _STRING, "max_tokens": _COUNT, "parameters": _NAMES, "remove_tools": _NAMES,
        "no_store": masked,
    }  # fmt: skip
    fields: Schema = {
        "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"},
        "event": {"const": "policy_decision"},
        "record": {"const": RECORD},
        "input_schema": {"const": INPUT_SCHEMA},
        "decision_id": {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
        "call_id": _STRING,
        "attempt": {"type": "integer"},
        "stage": _one_of(Stage),
        "permitted": _FLAG,
        "enforced": _FLAG,
        "failed_open": _FLAG,
        "effect": _one_of(Effect),
        "failure": _one_of(FailureCause),
        "reasons": _list(reason),
        "reasons_omitted": _COUNT,
        "obligations": _list(obligation),
        "changes": _closed(changes, optional=tuple(changes)),
        "answers": _list(_answer(masked)),
        "duration_us": _COUNT,
        "candidates": _list(candidate),
        "candidates_omitted": _COUNT,
        "settings_revision": {"type": ["string", "null"]},
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "input": {"anyOf": [asked, refused]},
        "replaced": masked,
        "truncated": masked,
    }
    optional = (
        "effect", "failure", "reasons_omitted", "candidates", "candidates_omitted", "trace_id", "span_id",
        "replaced", "truncated",
    )  # fmt: skip
    exactly_one = [{"required": ["effect"]}, {"required": ["failure"]}]
    return {
        "$schema": DIALECT,
        "title": "A decision record of Checkrein",
        **_closed(fields, optional=optional),
        "oneOf": exactly_one,
    }


def _answer(masked: Schema) -> Schema:
    fields = {
        "engine": _STRING, "effect": _one_of(Effect), "cause": _one_of(FailureCause), "detail": _STRING,
        "detail_masked": masked, "policy_ids": _NAMES, "revision": _STRING, "cached": _FLAG,
        "duration_us": _COUNT,
    }  # fmt: skip
    told = _closed(fields, optional=("effect", "cause", "detail", "detail_masked", "revision"))
    return {**told, "oneOf": [{"required": ["effect"]}, {"required": ["cause"]}]}


class _Settings(GenerateJsonSchema):
    """What the settings' own readers take: they run before pydantic looks, so it does not know them."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """The schema of a value that is read by a function of ours."""
        inner = super().function_before_schema(schema)
        function = schema["function"]["function"]
        if function is identity._paths:  # noqa: SLF001 -- what it takes is told here
            return {"anyOf": [inner["items"], {**inner, "minItems": 1}]}
        if function is strict._read:  # noqa: SLF001 -- the same
            return {"anyOf": [_STRING, _closed({"file": _STRING})]}
        if function in (strict._resolve, log_settings._target):  # noqa: SLF001 -- the same
            return {"type": "string", "minLength": 1}
        return inner


def settings_schema() -> Schema:
    """The schema of the settings file, with the options of every engine that is installed."""
    told = SettingsFile.model_json_schema(by_alias=True, schema_generator=_Settings)
    defs: Schema = told.setdefault("$defs", {})
    for name in ("text", "facts"):
        # `4MiB` is a size as well as a number of bytes.
        sizes = [{"type": "integer", "minimum": 1}, {"type": "string", "minLength": 1}]
        default = defs["Limits"]["properties"][name]["default"]
        defs["Limits"]["properties"][name] = {"anyOf": sizes, "default": default}
    node = {"$ref": "#/$defs/engine_node"}
    by = {
        "key": {"type": "string", "minLength": 1},
        "cases": {**_OPEN, "minProperties": 1},
        "otherwise": node,
    }
    by["cases"]["additionalProperties"] = node
    engines = {name: _options(name, defs) for name in sorted(available("engine"))}
    defs["engine_node"] = {
        "description": "An engine, or a combination of engines: always exactly one key.",
        "type": "object",
        "properties": {
            "all": {"type": "array", "items": node, "minItems": 1},
            "by": _closed(by, optional=("otherwise",)),
            **engines,
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    told["properties"]["engine"] = node
    return {"$schema": DIALECT, **told, "title": "Checkrein's settings file"}


def _options(name: str, defs: Schema) -> Schema:
    """An engine's options; what they are made of is kept apart from other engines' by its name."""
    try:
        model: type[BaseModel] = load_plugin("engine", name).Options
    except SettingsError as error:
        return {"type": ["object", "null"], "description": str(error)}
    template = f"#/$defs/{name}.{{model}}"
    told = model.model_json_schema(by_alias=True, schema_generator=_Settings, ref_template=template)
    defs |= {f"{name}.{key}": value for key, value in told.pop("$defs", {}).items()}
    required = told.get("required", [])
    defs[f"{name}.options"] = told
    reference = {"$ref": f"#/$defs/{name}.options"}
    return reference if required else {"anyOf": [reference, {"type": "null"}]}
