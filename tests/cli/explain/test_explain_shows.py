"""`checkrein explain`: what it shows of a record, whatever stands there, and never the text."""

import json

import pytest
from explained import ALICE, CEDAR, CEDAR_SETTINGS, ENGINES, SECRET, asked, asked_of_a_tool, words

from checkrein.enforcement import EnforcementPoint
from checkrein.vocabulary import AccessRequest, Entity, Stage


def test_a_recorded_decision_is_found_by_its_id_and_shown_with_everything_but_the_text(run, logged):
    _, log, (first, second) = logged(asked(Stage.PRE_PROMPT, SECRET), asked(Stage.PRE_PROMPT, "call 55 now"))
    said = words(run("explain", "--log", log, "--id", second["decision_id"]))
    for part in (
        f"pre_prompt permitted decision {second['decision_id']} call call-1",
        "subject user:alice tier=free",
        "resource model:small size=small",
        "prompt 11 code points, 3 words; user x1, 1 current",
        "found digit user, the current turn",
        "desk permit",
        "policies desk.pre_prompt",
        "revision r7",
        "reasons digits.taken_out",
        "obligations redact types=digit done",
        "changes texts=1",
    ):
        assert part in said
    assert first["decision_id"] not in said
    assert "call 55" not in said


def test_a_call_shows_all_of_its_decisions_in_order(run, logged):
    _, log, records = logged(asked(Stage.MODEL_SELECTION, "hi"), asked(Stage.PRE_PROMPT, SECRET))
    result = run("explain", "--log", log, "--id", "call-1", "--json")
    assert [one["decision_id"] for one in json.loads(result.stdout)["decisions"]] == [
        record["decision_id"] for record in records
    ]
    said = words(run("explain", "--log", log, "--id", "call-1"))
    assert said.index("model_selection permitted") < said.index("pre_prompt denied")


@pytest.mark.parametrize("content", ["facts", "full"])
def test_no_content_of_a_log_brings_the_text_onto_the_screen(run, logged, content):
    request = asked(Stage.PRE_PROMPT, f"{SECRET} 4711", context={"notes": "forbidden fruit in a note"})
    path, log, (record,) = logged(
        request, **{"{to: decisions.jsonl}": f"{{to: decisions.jsonl, content: {content}}}"}
    )
    if content == "full":
        assert SECRET in json.dumps(record)  # so that the test can fail
        assert SECRET in record["reasons"][0]["message"]
    for options in ((), ("--json",), ("-c", path), ("-c", path, "--json")):
        result = run("explain", "--log", log, "--id", "call-1", *options, width=300)
        assert result.exit_code == 0
        assert "prompt.forbidden" in result.stdout
        for text in ("fruit", "spoke of", "4711"):
            assert text not in result.output


def test_a_short_finding_that_a_message_repeats_is_hidden_too(run, logged):
    _, log, (record,) = logged(
        asked(Stage.PRE_PROMPT, "forbidden 987"),
        **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"},
    )
    assert "987" in record["reasons"][0]["message"]
    result = run("explain", "--log", log, "--id", "call-1")
    assert "987" not in result.stdout
    assert "hidden: it repeats the text" in words(result)


def test_masked_text_stays_off_the_screen_as_well(run, logged):
    _, log, (record,) = logged(
        asked(Stage.PRE_PROMPT, "harmless words 42"),
        text="""
version: 1
engine: {desk: {stages: [pre_prompt]}}
detectors: {pre_prompt: [digit]}
decision_log: {to: decisions.jsonl, content: masked}
""",
    )
    assert "harmless words" in json.dumps(record)
    assert "harmless" not in run("explain", "--log", log, "--id", "call-1").stdout


def test_arguments_of_a_tool_are_told_by_their_names_alone(run, logged):
    request = asked_of_a_tool(body="the secret words", to="bob")
    for content in ("facts", "full"):
        _, log, _ = logged(
            request, **{"{to: decisions.jsonl}": f"{{to: decisions.jsonl, content: {content}}}"}
        )
        result = run("explain", "--log", log, "--id", "call-1")
        assert "tool arguments=body, to" in words(result)
        assert "secret words" not in result.stdout
        log.unlink()


def test_one_record_from_standard_input_needs_no_settings(run, logged):
    _, _, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    result = run("explain", "-", stdin=json.dumps(record))
    assert result.exit_code == 0
    assert "pre_prompt denied" in words(result)
    assert "asked again" not in result.stdout


def test_a_call_that_may_not_be_stored_hides_its_reasons_for_that(run, governed):
    policies = CEDAR + '@obligation("[{\\"type\\": \\"no_store\\"}]") forbid (principal, action, resource);'
    options = governed(
        {"x.cedar": policies.replace("@code", '@reason("too large") @code')}, ENGINES["cedar"][1]
    )
    said = words(run(*options))
    assert "tier.model_size hidden: nothing of the call is stored" in said
    assert "too large" not in said


def test_an_id_that_is_not_in_the_log_is_a_usage_error(run, logged):
    _, log, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    for wanted in ("none", record["decision_id"][:-1], "user", ""):
        result = run("explain", "--log", log, "--id", wanted)
        assert result.exit_code == 2
        assert "holds no decision and no call" in " ".join(result.stderr.split())


def test_lines_that_are_no_records_are_passed_over(run, logged):
    _, log, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    name = record["decision_id"]
    log.write_text(f'{name} is no json\n{{"decision_id": "{name}"}}\n["{name}"]\n' + log.read_text())
    result = run("explain", "--log", log, "--id", name, "--json")
    assert len(json.loads(result.stdout)["decisions"]) == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"input": None},
        {"input": {"context": {"prompt": {"segments": "x", "text": SECRET}}}},
        {"input": {"context": {"prompt": {"segments": [1, {"text": SECRET}], "text": SECRET}}}},
        {"input": {"context": {"prompt": {"segments": [{"text": SECRET, "origin": "user"}]}}}},
        {"input": {"stage": "pre_prompt", "subject": 1, "action": 2, "resource": 3, "context": {}}},
        {"input": {"context": {"tool": {"arguments": SECRET}, "findings": [{"start": "x"}]}}},
        {"input": {"context": {"notes": SECRET, "prompt": SECRET}}},
        {"answers": "x", "reasons": [1], "obligations": {"a": 1}, "changes": []},
        {"answers": [{"engine": "desk", "policy_ids": 3, "revision": 5}]},
        {"reasons": [{"code": 1, "message": {"a": [1]}}], "obligations": [{"properties": 3}]},
        {"reasons": [{"code": ["a"]}], "answers": [{"engine": {}, "policy_ids": [{}]}]},
        {"input": {"context": {"prompt": {"segments": [{"text": f"\ud800{SECRET}"}]}}}},
        {"attempt": [], "call_id": {}, "stage": 5, "timestamp": []},
    ],
)
def test_a_record_of_any_shape_is_shown_as_far_as_it_goes_and_without_text(run, logged, damage):
    path, _, (record,) = logged(asked(Stage.PRE_PROMPT, "hello"))
    for options in ((), ("--json",), ("-c", path)):
        result = run("explain", "-", *options, stdin=json.dumps({**record, **damage}))
        assert result.exit_code == 0, result.output
        assert "fruit" not in result.output


def test_no_record_steers_the_terminal(run, logged):
    _, _, (record,) = logged(asked(Stage.PRE_PROMPT, "hello"))
    nasty = "\x1b[31m[red]\u202e"
    record["input"]["subject"]["id"] = nasty
    record["reasons"] = [{"code": nasty, "message": nasty}]
    result = run("explain", "-", stdin=json.dumps(record))
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "[red]" in result.stdout


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(run, logged, width):
    path, log, _ = logged(asked(Stage.PRE_PROMPT, "call 55"), asked(Stage.MODEL_SELECTION, "hi"))
    result = run("explain", "--log", log, "--id", "call-1", "-c", path, width=width)
    assert max(map(len, result.stdout.splitlines())) <= width


def test_of_several_candidates_each_is_told_and_none_is_asked_again(run, tmp_path):
    (tmp_path / "policies.cedar").write_text(CEDAR)
    settings = tmp_path / "checkrein.yaml"
    settings.write_text(CEDAR_SETTINGS)
    pep = EnforcementPoint.from_settings(settings)
    models = [
        Entity(type="model", id=f"[red]{size}", properties={"size": size}) for size in ("small", "large")
    ]
    request = AccessRequest(
        stage=Stage.MODEL_SELECTION, subject=ALICE, resource=Entity(type="model", id="any")
    )
    decision = pep.filter_candidates(request, models)
    pep.close()
    arguments = ("--log", tmp_path / "decisions.jsonl", "--id", decision.decision_id, "--config", settings)

    shown = run("explain", *arguments).stdout
    assert "[red]small  permitted" in shown
    assert "[red]large  refused  tier.model_size" in shown
    assert "not asked: it judged several candidates" in shown

    (told,) = json.loads(run("explain", *arguments, "--json").stdout)["decisions"]
    assert told["candidates"] == [
        {"id": "[red]small", "permitted": True, "codes": []},
        {"id": "[red]large", "permitted": False, "codes": ["tier.model_size"]},
    ]
