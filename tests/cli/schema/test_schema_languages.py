"""The input document in the words of Cedar and Rego, against their own checkers."""

import json

import pytest
import yaml
from cedarpy import Decision, Entities, PolicySet, Schema, is_authorized, validate_policies

from checkrein.cli.schema_text import cedar_schema, rego_annotations
from checkrein.vocabulary import Stage
from checkrein_cedar.names import PARENTS, TYPES, Names
from checkrein_cedar.needs import Need
from checkrein_cedar.values import cedar_value, context_of

NAMES = Names(TYPES, PARENTS, None)
PERMIT_ALL = "permit (principal, action, resource);"


def cedar_request(document):
    """The question as the plug-in would put it to policies that look at everything."""
    entities = []
    for one in (document["subject"], document["resource"]):
        attributes = {key: cedar_value(value) for key, value in one["properties"].items()}
        parents = [{"type": kind, "id": name} for kind, name in NAMES.parents_of(one["properties"])]
        uid = {"type": NAMES.type_of(one["type"]), "id": one["id"]}
        entities.append({"uid": uid, "attrs": attributes, "parents": parents})
    question = {
        "principal": entities[0]["uid"],
        "action": {"type": "Action", "id": document["action"]["name"]},
        "resource": entities[1]["uid"],
        "context": context_of(document["context"], Need(whole=True)),
    }
    return question, entities


def cedar_answer(document):
    schema = Schema.from_str(cedar_schema())
    question, entities = cedar_request(document)
    Entities.from_json_str(json.dumps(entities), schema)  # raises what does not conform
    return is_authorized(question, PERMIT_ALL, json.dumps(entities), cedar_schema())


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("stage", Stage)
def test_what_cedar_is_handed_conforms_to_the_cedar_schema(document, stage, bare):
    made = document(stage, bare=bare)
    if stage is Stage.TOOL_CALL and not bare:
        made["context"]["tool"]["arguments"] = {}  # they are the reader's own to describe
    result = cedar_answer(made)
    assert result.diagnostics.errors == []
    assert result.decision is Decision.Allow


def test_what_does_not_conform_to_the_cedar_schema_is_told(document):
    made = document(Stage.PRE_PROMPT)
    made["context"]["usage"]["requests"] = "12"
    assert cedar_answer(made).decision is not Decision.Allow


@pytest.mark.parametrize(
    ("condition", "valid"),
    [
        ('context.found_current.contains("us_ssn")', True),
        ("context.prompt.length > 100", True),
        ("context.prompt.lenght > 100", False),
        ("context has usage && context.usage has requests && context.usage.requests < 5", True),
        ("context.usage.requests < 5", False),
        ('principal in Group::"data"', True),
        ('principal in Team::"data"', False),
        ('context.completion.text like "*x*"', False),
    ],
)
def test_policies_are_checked_strictly_against_the_cedar_schema(condition, valid):
    policy = f'permit (principal, action == Action::"submit_prompt", resource) when {{ {condition} }};'
    result = validate_policies(policy, Schema.from_str(cedar_schema(Stage.PRE_PROMPT)))
    assert result.validation_passed is valid
    assert len(PolicySet.from_str(policy)) == 1


def test_the_cedar_schema_of_one_stage_has_its_action_alone():
    text = cedar_schema(Stage.TOOL_CALL)
    assert "call_tool" in text
    assert "submit_prompt" not in text
    Schema.from_str(text)


def test_the_annotations_for_rego_stand_above_their_packages_and_load(tmp_path, run, settings):
    text = rego_annotations(Stage.PRE_PROMPT)
    annotation = text[text.index("# METADATA") : text.index("package ")]
    read = yaml.safe_load("\n".join(line.removeprefix("#")[1:] for line in annotation.splitlines()[1:]))
    assert read == {"scope": "package", "schemas": [{"input": "schema.pre_prompt"}]}
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "a.rego").write_text(f'{text}\ndecision := {{"allow": true}}\n')
    path = settings("version: 1\nengine: {rego: {bundle: bundle/}}\n")
    assert run("check", "-c", path).exit_code == 0
