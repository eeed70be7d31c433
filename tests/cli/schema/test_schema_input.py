"""`checkrein schema input`: real documents fit the schema, and broken ones do not."""

import json

import pytest
from described import fits
from jsonschema import Draft202012Validator

from checkrein.cli.schemas import input_schema
from checkrein.vocabulary import Stage


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("stage", Stage)
def test_every_document_that_is_built_fits(document, stage, bare):
    made = document(stage, bare=bare)
    for schema in (input_schema(), input_schema(stage)):
        assert list(Draft202012Validator(schema).iter_errors(made)) == []


def test_the_example_of_the_design_fits(document):
    made = document(Stage.PRE_PROMPT)
    assert made["context"]["estimated"]["cost_micros"] > 0
    assert [one["type"] for one in made["context"]["findings"]] == ["us_ssn", "email"]


BROKEN = {
    "no stage": lambda it: it.pop("stage"),
    "an unknown stage": lambda it: it.update(stage="somewhere"),
    "a key beside": lambda it: it.update(extra=1),
    "no subject": lambda it: it.pop("subject"),
    "a subject's number": lambda it: it["subject"].update(id=7),
    "a misspelt property": lambda it: it["subject"].update(propertys={}),
    "no findings": lambda it: it["context"].pop("findings"),
    "a finding without an end": lambda it: it["context"]["findings"][0].pop("end"),
    "an origin that is none": lambda it: it["context"]["findings"][0].update(origin="ghost"),
    "no text's facts": lambda it: it["context"].pop("prompt"),
    "no text": lambda it: it["context"]["prompt"].pop("text"),
    "a length below zero": lambda it: it["context"]["prompt"].update(length=-1),
    "words that are text": lambda it: it["context"]["prompt"].update(words="3"),
    "money in fractions": lambda it: it["context"]["usage"].update(spent_micros=0.5),
    "no time": lambda it: it["context"]["environment"].pop("time"),
    "an identity half told": lambda it: it["context"]["identity"].pop("asserted"),
    "uninspected without a kind": lambda it: it["context"]["uninspected"][0].pop("kind"),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_a_broken_document_does_not_fit(document, damage):
    made = document(Stage.PRE_PROMPT)
    damage(made)
    assert not fits(input_schema(), made)
    assert not fits(input_schema(Stage.PRE_PROMPT), made)


def test_model_selection_has_no_text(document):
    made = document(Stage.MODEL_SELECTION)
    made["context"]["prompt"]["text"] = "hello"
    assert not fits(input_schema(), made)


def test_the_schema_of_one_stage_has_no_reference_in_it():
    for stage in Stage:
        assert "$ref" not in json.dumps(input_schema(stage))
