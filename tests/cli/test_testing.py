"""`checkrein test`: scenarios and native tests, counted, explained, and never silently none."""

import json
from xml.etree import ElementTree as ET

import pytest

GOOD = {"name": "good: it passes", "prompt": "hi", "expect": {"permitted": True}}
BAD = {
    "name": "bad <&> [red] it fails",
    "prompt": "forbidden",
    "expect": {"permitted": True, "reasons": []},
}


def words(result):
    return " ".join(result.stdout.split())


@pytest.fixture
def scenarios(tmp_path):
    def write(*items, name="scenarios.yaml"):
        path = tmp_path / name
        path.write_text(json.dumps({"scenarios": items}))
        return path

    return write


def native(**tests):
    engine = json.dumps({"desk": {"own_tests": tests}})
    return f"version: 1\nengine: {engine}\ndetectors: {{pre_prompt: [digit]}}\n"


def test_the_file_beside_the_settings_runs_by_itself(run, settings, scenarios):
    path = scenarios(GOOD)
    result = run("test", "-c", settings(), width=300)
    assert result.exit_code == 0
    assert f"1 passed 0 failed {path}" in words(result)
    assert "all 1 passed" in words(result)


def test_native_tests_run_too(run, settings):
    result = run("test", "-c", settings(native(one=True, two=True)))
    assert result.exit_code == 0
    assert "2 passed 0 failed desk, its own tests" in words(result)


def test_a_failure_tells_what_was_expected_what_came_and_why(run, settings, scenarios):
    path = scenarios(GOOD, BAD)
    result = run("test", "-c", settings(native(one=False, two=True)), path, width=300)
    assert result.exit_code == 4
    said = words(result)
    for part in (
        f"1 passed 1 failed {path}",
        "1 passed 1 failed desk, its own tests",
        "FAILED bad <&> [red] it fails",
        f"{path.name}:1",
        'permitted: expected true, got false reasons: expected [], got ["prompt.forbidden"]',
        "reason: prompt.forbidden: said: forbidden policy: desk.pre_prompt",
        "FAILED one desk, its own tests the desk said no",
        "2 of 4 failed",
    ):
        assert part in said


def test_files_that_are_named_run_instead_of_the_one_beside(run, settings, scenarios):
    scenarios(BAD)
    one, two = scenarios(GOOD, name="one.yaml"), scenarios(GOOD, name="two.yaml")
    result = run("test", "-c", settings(), one, two)
    assert result.exit_code == 0
    assert "all 2 passed" in words(result)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_run_of_no_test_is_no_success(run, settings, scenarios, as_json):
    options = ["--json"] if as_json else []
    assert run("test", "-c", settings(), *options).exit_code == 4
    scenarios()
    result = run("test", "-c", settings(), *options)
    assert result.exit_code == 4
    assert "nothing was tested" in result.stderr


def test_policies_are_tested_and_not_the_way_they_are_rolled_out(run, settings, scenarios):
    scenarios(
        {
            "name": "redacts",
            "prompt": "call 1",
            "expect": {"permitted": True, "text": "call [REDACTED:digit]"},
        }
    )
    assert run("test", "-c", settings(native() + "enforcement: {default: monitor}\n")).exit_code == 0


def test_an_engine_that_is_away_passes_no_scenario(run, settings, scenarios):
    scenarios(GOOD, {"name": "refused", "prompt": "forbidden", "expect": {"permitted": False}})
    path = settings(
        "version: 1\n"
        "engine: {desk: {remote: true, fails: timeout}}\n"
        "failure: {open_on: {pre_prompt: [timeout]}}\n"
    )
    result = run("test", "-c", path)
    assert result.exit_code == 4
    assert "2 of 2 failed" in words(result)
    assert "engine desk: timeout: as told" in words(result)


@pytest.mark.parametrize(("late", "code"), [(2, 0), (3, 4)])
def test_an_engine_that_is_late_is_asked_again_a_few_times(run, settings, scenarios, late, code):
    scenarios(GOOD)
    result = run("test", "-c", settings(f"version: 1\nengine: {{desk: {{late: {late}}}}}\n"))
    assert result.exit_code == code


def test_native_tests_that_cannot_run_have_failed(run, settings):
    result = run("test", "-c", settings(native(**{"cannot run": True})))
    assert result.exit_code == 4
    assert "RuntimeError: the desk is closed" in words(result)


def test_a_scenario_file_that_does_not_load_says_where(run, settings, scenarios):
    scenarios(GOOD)
    result = run("test", "-c", settings(), scenarios({**GOOD, "promt": "x"}, name="broken.yaml"))
    assert result.exit_code == 3
    assert "broken.yaml:1" in result.stderr
    assert "did you mean `prompt`" in result.stderr
    assert result.stdout == ""


def test_test_decisions_do_not_stand_in_the_decision_log(run, settings, scenarios, tmp_path):
    scenarios(GOOD)
    run("test", "-c", settings())
    assert not (tmp_path / "decisions.jsonl").exists()


def test_junit_is_well_formed_whatever_stands_in_it(run, settings, scenarios, tmp_path):
    nasty = {**BAD, "name": 'a "quote" <tag> & \x01\x1b\x7f\ufffe ü ]]>', "prompt": "forbidden \x02"}
    path, out = scenarios(GOOD, nasty), tmp_path / "out.xml"
    result = run("test", "-c", settings(native(one=False)), path, "--junit", out)
    assert result.exit_code == 4
    root = ET.parse(out).getroot()
    assert [suite.attrib["name"] for suite in root] == [str(path), "desk, its own tests"]
    assert [(suite.attrib["tests"], suite.attrib["failures"]) for suite in root] == [("2", "1"), ("1", "1")]
    good, bad = root[0]
    assert good.attrib["name"] == GOOD["name"]
    assert list(good) == []
    assert bad.attrib["name"] == 'a "quote" <tag> &  ü ]]>'
    assert bad.attrib["line"] == "1"
    assert "permitted: expected true, got false" in bad[0].text
    assert float(bad.attrib["time"]) > 0


def test_a_report_that_cannot_be_written_is_a_usage_error(run, settings, scenarios, tmp_path):
    scenarios(GOOD)
    result = run("test", "-c", settings(), "--junit", tmp_path / "none" / "out.xml")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_json_counts_and_lists(run, settings, scenarios):
    scenarios(GOOD, BAD)
    told = json.loads(run("test", "-c", settings(), "--json").stdout)
    assert (told["passed"], told["failed"]) == (1, 1)
    assert [test["passed"] for test in told["suites"][0]["tests"]] == [True, False]
