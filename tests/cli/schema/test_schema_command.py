"""`checkrein schema`: it prints schemas, which are schemas, and nothing else."""

import json

import pytest
from jsonschema import Draft202012Validator

from checkrein.cli.schema_text import cedar_schema, rego_annotations
from checkrein.cli.schemas import input_schema, record_schema, settings_schema
from checkrein.vocabulary import Stage


@pytest.mark.parametrize("make", [input_schema, record_schema, settings_schema])
def test_each_schema_is_a_schema(make):
    Draft202012Validator.check_schema(make())


@pytest.mark.parametrize("what", ["input", "settings", "record"])
def test_the_command_prints_the_schema_and_nothing_else(run, what):
    result = run("schema", what)
    assert result.exit_code == 0
    made = {"input": input_schema, "settings": settings_schema, "record": record_schema}
    assert json.loads(result.stdout) == made[what]()


def test_the_command_prints_the_other_languages_and_one_stage(run):
    assert run("schema", "input", "--format", "cedar").stdout == cedar_schema()
    assert run("schema", "input", "--format", "rego").stdout == rego_annotations()
    one = run("schema", "input", "--stage", "tool_call")
    assert json.loads(one.stdout) == input_schema(Stage.TOOL_CALL)


@pytest.mark.parametrize(
    "arguments",
    [
        ("settings", "--format", "cedar"),
        ("record", "--format", "rego"),
        ("record", "--stage", "pre_prompt"),
        ("output",),
        ("input", "--stage", "somewhere"),
        (),
    ],
)
def test_what_has_no_schema_is_a_usage_error(run, arguments):
    result = run("schema", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
