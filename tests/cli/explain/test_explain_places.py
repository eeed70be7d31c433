"""`checkrein explain`: where the policies and reasons of a decision stand, in files still the same."""

import json
import re

import pytest
from explained import CEDAR, ENGINES, REGO, SECRET, asked, words

from checkrein.vocabulary import Stage


def test_where_a_policy_stands_is_told_as_long_as_it_is_the_same_policy(run, cedar, tmp_path):
    path, log, _ = cedar(asked(Stage.MODEL_SELECTION, properties={"size": "large"}))
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "policies no_large policies.cedar:6" in words(run(*options))
    assert "policies.cedar:6" not in words(run(*options[:-2]))
    (tmp_path / "policies.cedar").write_text("// a line more\n" + CEDAR)
    assert run(*options).exit_code == 0
    (tmp_path / "policies.cedar").write_text(CEDAR.replace('"small" }', '"tiny" }'))
    said = words(run(*options))
    recorded, _, again = said.partition("asked again")
    assert "policies.cedar:6" not in recorded
    assert "the policies have changed since" in recorded
    assert "policies.cedar:6" in again


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_tells_where_what_determined_a_decision_stands(run, governed, engine):
    files, node, named, place, written = ENGINES[engine]
    options = governed(files, node)
    begins = "begins at " if written else ""
    recorded, _, again = words(run(*options, width=200)).partition("asked again")
    assert f"policies {named} {begins}{place} revision" in recorded
    assert f"policies {named} {begins}{place} revision" in again
    why = recorded.partition("why reasons ")[2]
    assert why.startswith("tier.model_size ")
    assert re.findall(r"\S+:\d+\b", why) == written
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    for answer in (*told["answers"], *told["again"]["answers"]):
        assert answer["places"] == {named: place}
        assert answer["places_are"] == ("first definitions" if written else "policies")
    assert [reason["places"] for reason in told["reasons"]] == [written]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_engine_tells_a_line_of_policies_that_have_changed(run, governed, engine, tmp_path):
    files, node, _, place, _ = ENGINES[engine]
    options = governed(files, node)
    name = [*files][-1]
    (tmp_path / name).write_text("\n\n" + files[name].replace("model_size", "size"))
    recorded, _, again = words(run(*options, width=200)).partition("asked again")
    assert "the policies have changed since" in recorded
    file, _, line = place.rpartition(":")
    assert f"{file}:" not in recorded
    assert f"{file}:{int(line) + 2}" in again
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    assert "places" not in told["answers"][0]
    assert [reason["places"] for reason in told["reasons"]] == [[]]


def test_of_two_engines_of_one_name_the_one_that_answered_tells(run, governed):
    other = "// another tenant's\n" * 3 + CEDAR.replace('"small"', '"tiny"')
    cases = (
        "{pro: {cedar: {policies: pro.cedar, stages: [model_selection]}},"
        " free: {cedar: {policies: free.cedar, stages: [model_selection]}}}"
    )
    node = f"by: {{key: subject.properties.tier, cases: {cases}}}"
    options = governed({"pro.cedar": CEDAR, "free.cedar": other}, node)
    said = words(run(*options))
    assert said.count("policies no_large free.cedar:9") == 2
    assert "have changed" not in said


def test_a_server_s_answer_has_no_places_and_nothing_is_said_of_them(run, logged, settings):
    _, _, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    record["answers"][0] |= {"engine": "opa", "policy_ids": ["data.checkrein.pre_prompt.decision"]}
    text = 'version: 1\nengine: {opa: {url: "http://127.0.0.1:1"}}\ndecision_log: {to: decisions.jsonl}\n'
    path = settings(text)
    said = words(run("explain", "-", "-c", path, stdin=json.dumps(record)))
    assert "policies data.checkrein.pre_prompt.decision revision r7" in said
    assert "begins at" not in said
    result = run("explain", "-", "-c", path, "--json", stdin=json.dumps(record))
    (told,) = json.loads(result.stdout)["decisions"]
    assert told["answers"][0]["places"] == {}
    assert "places_are" not in told["answers"][0]


def test_a_word_that_no_policy_wrote_as_a_reason_leads_nowhere(run, governed):
    module = """package checkrein.model_selection
deny contains sprintf("size %s", [input.resource.properties.size]) if input.resource.properties.size in {
	"denied", "large"
}
"""
    node = "rego: {bundle: b, entrypoints: {model_selection: data.checkrein.model_selection.deny}}"
    options = governed({"b/x.rego": module}, node)
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    assert [(one["code"], one["message"], one["places"]) for one in told["reasons"]] == [
        ("denied", "size large", [])
    ]


def test_a_word_that_stands_everywhere_is_shown_in_a_few_places(run, governed):
    module = REGO + '\nother := "not in this plan"\n' * 4
    options = governed({"r/x.rego": module}, "rego: {bundle: r}")
    said = words(run(*options, width=200))
    assert "tier.model_size not in this plan x.rego:7 x.rego:12 x.rego:14 and 2 more asked" in said
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    assert len(told["reasons"][0]["places"]) == 5


def test_a_reason_of_any_shape_leads_nowhere(run, governed):
    options = governed({"r/x.rego": REGO}, "rego: {bundle: r}")
    (record,) = [
        json.loads(line) for line in options[2].read_text().splitlines() if "policy_decision" in line
    ]
    odd = [{"code": ["tier"]}, {"code": {}, "message": 5}, {"message": ""}, {"code": "x" * 10**6}, {}]
    record["reasons"] = odd
    for answers in (record["answers"], [{"engine": "rego", "effect": "deny", "policy_ids": [[], {}, 5]}]):
        record["answers"] = answers
        result = run("explain", "-", *options[5:], "--json", stdin=json.dumps(record))
        (told,) = json.loads(result.stdout)["decisions"]
        assert [reason["places"] for reason in told["reasons"]] == [[]] * len(odd)


def test_an_engine_that_can_locate_its_policies_is_asked_for_file_and_line(run, logged, monkeypatch):
    from desk_plugin import Desk  # noqa: PLC0415 -- on the path only now

    path, log, _ = logged(asked(Stage.PRE_PROMPT, SECRET))
    monkeypatch.setattr(Desk, "locate", lambda _, policy: (f"{policy}.txt", 12), raising=False)
    said = words(run("explain", "--log", log, "--id", "call-1", "-c", path))
    assert "policies desk.pre_prompt desk.pre_prompt.txt:12" in said
    monkeypatch.setattr(Desk, "locate", lambda *_: None)
    assert run("explain", "--log", log, "--id", "call-1", "-c", path).exit_code == 0
