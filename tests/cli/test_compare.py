"""`checkrein compare`: every engine measured by itself, every difference shown, nothing claimed."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from checkrein.cli import comparing
from checkrein.cli.measuring import measure, percentile, timed
from checkrein.cli.packs import ENGINES, shipped_packs
from checkrein.errors import EngineFailure

sys.path.append(str(Path(__file__).parents[1] / "engines" / "opa"))

from opa_server import OpaServer

CEDAR = """
@id("small")
permit (principal, action == Action::"invoke_model", resource)
when { resource has size && resource.size == "small" };
"""
REGO = """package checkrein.model_selection

decision := {"allow": input.resource.properties.size == "small"}
"""
SETTINGS = """
version: 1
engine: {rego: {bundle: rego/}}
models: {tiny: {size: small}, huge: {size: large}}
"""
SCENARIOS = """
scenarios:
  - {name: small is fine, stage: model_selection, model: tiny, expect: {permitted: true}}
  - {name: large is not, stage: model_selection, model: huge, expect: {permitted: false}}
"""
PACK = """
title: Sizes
decides: [which models may be called]
entrypoints: {model_selection: data.checkrein.model_selection.decision}
"""


def words(result):
    return " ".join(result.stdout.split())


@pytest.fixture
def pack(tmp_path):
    """A pack in two languages that agree about everything but the reason of a refusal."""
    folder = tmp_path / "sizes"
    for name, text in {
        "cedar/sizes.cedar": CEDAR,
        "rego/sizes.rego": REGO,
        "pack.yaml": PACK,
        "settings.yaml": SETTINGS,
        "scenarios.yaml": SCENARIOS,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def here(monkeypatch):
    """Measures in this process: what a child would answer, without the half second that it takes to start."""

    def measured(job, seconds):
        if "skipped" in job:
            return {"missing": job["skipped"]}
        return json.loads(json.dumps(measure(job), default=str))

    monkeypatch.setattr(comparing, "_measured", measured)


def compared(run, *arguments, **options):
    return run("compare", *arguments, "--seconds", "0.02", **options)


def test_every_engine_of_a_shipped_pack_is_measured_and_agrees(run, here):
    result = compared(run, "access", "--json")
    told = json.loads(result.stdout)
    measured = {one["engine"]: one for one in told["engines"] if one["status"] == "measured"}
    assert set(measured) == {"casbin", "cedar", "oso", "rego (regopy)", "rego (regorus)"}
    for one in measured.values():
        assert one["failed"] == []
        assert one["passed"] == one["asked"] > 40
        for figures in (one["answers"], one["decisions"]):
            assert figures["count"] >= one["asked"]
            assert 0 < figures["p50_us"] <= figures["p99_us"]
            assert figures["per_second"] > 0
        assert one["load_ms"] > 0
        assert isinstance(one["memory_bytes"], int)
    assert told["differences"] == []
    assert result.exit_code == 0


@pytest.mark.parametrize("name", [pack.name for pack in shipped_packs()])
def test_no_shipped_pack_fails_or_differs_beyond_what_it_says(run, here, name):
    result = compared(run, name)
    assert result.exit_code == 0, result.output
    assert "answer alike" in words(result)


def test_by_default_it_is_the_pack_of_the_most_languages(run, here):
    told = json.loads(compared(run, "--engine", "casbin", "--json").stdout)
    best = max(len(pack.engines) for pack in shipped_packs())
    (chosen,) = (pack for pack in shipped_packs() if pack.name == told["pack"]["name"])
    assert len(chosen.engines) == best


def test_a_process_of_its_own_measures_each_engine(run, pack):
    result = compared(run, pack, "--engine", "cedar", "--json")
    told = json.loads(result.stdout)
    (one,) = told["engines"]
    assert result.exit_code == 0, result.output
    assert one["status"] == "measured"
    assert one["memory_bytes"] > 0
    assert one["passed"] == 2


def test_what_lies_in_the_working_directory_is_not_run(run, pack, tmp_path, monkeypatch):
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("checkrein", "json", "orjson", "cedarpy"):
        (trap / f"{name}.py").write_text("raise SystemExit('a trap')")
    monkeypatch.chdir(trap)
    result = compared(run, pack, "--engine", "cedar", "--json")
    assert json.loads(result.stdout)["engines"][0]["status"] == "measured"


def test_answers_that_differ_are_shown_and_are_a_failure(run, here, pack):
    # Rego says why it refuses; Cedar has no policy that applies.
    result = compared(run, pack)
    said = words(result)
    assert result.exit_code == 4
    assert "where answers differ large is not scenarios.yaml:4" in said
    assert "cedar: denied, not_applicable" in said
    assert "rego (regopy), rego (regorus): denied, denied" in said
    assert "1 scenario answered differently" in said


def test_a_difference_that_the_pack_declares_is_shown_and_is_none(run, here, pack):
    (pack / "pack.yaml").write_text(PACK + "not_in: {cedar: [why it refuses]}\n")
    result = compared(run, pack)
    assert result.exit_code == 0
    assert "the pack says so of its language" in words(result)
    assert "not: why it refuses" in words(result)


def test_no_declaration_covers_one_that_permits_and_one_that_does_not(run, here, pack):
    (pack / "pack.yaml").write_text(PACK + "not_in: {cedar: [anything at all]}\n")
    (pack / "cedar" / "sizes.cedar").write_text("permit (principal, action, resource);")
    result = compared(run, pack, "--json")
    assert result.exit_code == 4
    (difference,) = json.loads(result.stdout)["differences"]
    assert difference["declared"] is False


def test_a_scenario_that_fails_is_named_with_what_came(run, here, pack):
    (pack / "scenarios.yaml").write_text(SCENARIOS.replace("{permitted: false}", "{permitted: true}"))
    result = compared(run, pack, "--engine", "cedar")
    assert result.exit_code == 4
    said = words(result)
    assert "cedar 1 of 2 scenarios" in said
    assert "large is not scenarios.yaml:4 permitted: expected true, got false" in said
    assert "1 scenario failed" in said


def test_policies_that_do_not_load_are_told_and_the_others_are_measured(run, here, pack):
    (pack / "cedar" / "sizes.cedar").write_text("permit (nonsense")
    result = compared(run, pack)
    assert result.exit_code == 4
    assert "not measured cedar `sizes.cedar:1`: does not parse" in words(result)
    assert "1 engine could not be measured" in words(result)
    assert "rego (regopy)" in words(result)


def test_an_engine_that_is_not_installed_is_listed_with_its_next_step(run, here, pack, monkeypatch):
    monkeypatch.setitem(sys.modules, "checkrein_cedar", None)
    result = compared(run, pack, "--engine", "cedar")
    assert result.exit_code == 0
    assert "cedar engine `cedar` is not installed; run: pip install 'checkrein[cedar]'" in words(result)
    assert "nothing was measured" in words(result)


def test_a_process_that_dies_is_a_failure_in_one_line(run, pack, monkeypatch):
    monkeypatch.setattr(comparing, "_MODULE", "checkrein.cli.no_such_module")
    result = compared(run, pack, "--engine", "cedar", width=200)
    assert result.exit_code == 4
    assert "its process ended with `1`" in words(result)
    assert "Traceback" not in result.output


def test_an_engine_that_never_answers_is_given_up(run, pack, monkeypatch):
    monkeypatch.setattr(comparing, "_GRACE", 0.0)
    result = compared(run, pack, "--engine", "cedar")
    assert result.exit_code == 4
    assert "did not answer in time" in words(result)


def test_opa_is_asked_where_it_is_named_and_only_there(run, here, pack):
    assert "name one that has loaded the pack: --opa URL" in words(compared(run, pack, "--engine", "opa"))
    with OpaServer(bundle=pack / "rego") as server:
        result = compared(run, pack, "--engine", "opa", "--engine", "rego", "--opa", server.url, "--json")
    told = json.loads(result.stdout)
    opa = next(one for one in told["engines"] if one["engine"] == "opa")
    assert result.exit_code == 0, result.output
    assert opa["passed"] == 2
    assert opa["remote"] is True
    assert opa["memory_bytes"] is None


def test_an_opa_that_is_away_passes_no_scenario(run, here, pack):
    result = compared(run, pack, "--engine", "opa", "--opa", "http://127.0.0.1:9")
    assert result.exit_code == 4
    assert "opa 0 of 2 scenarios" in words(result)


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(run, here, pack, width):
    result = compared(run, pack, width=width)
    assert max(map(len, result.stdout.splitlines())) <= width
    for column in ("answers/s", "decisions/s", "p50 us", "p99 us", "memory MiB", "load ms"):
        assert column in result.stdout


def test_a_text_of_a_scenario_does_not_stand_in_the_report(run, here):
    result = compared(run, "content", "--engine", "cedar", "--engine", "oso", "--json")
    assert json.loads(result.stdout)["differences"]
    assert "536-90-4399" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("none",), 2, "is no shipped pack; there are: "),
        (("--engine", "prolog"), 2, "these are: casbin"),
        (("--seconds", "0"), 2, "--seconds"),
        (("--seconds", "61"), 2, "--seconds"),
        (("./none",), 3, "cannot be read"),
    ],
)
def test_what_cannot_be_compared_says_why(run, arguments, code, said):
    result = run("compare", *arguments, width=200)
    assert result.exit_code == code
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_an_engine_that_the_pack_is_not_written_for_is_a_usage_error(run, pack):
    result = compared(run, pack, "--engine", "oso", width=200)
    assert result.exit_code == 2
    assert "is not written for it; it is for: cedar, opa, rego" in " ".join(result.stderr.split())


def test_settings_of_a_pack_that_do_not_load_are_an_error(run, here, pack):
    (pack / "settings.yaml").write_text("[1]")
    result = compared(run, pack)
    assert result.exit_code == 3
    (pack / "settings.yaml").write_text(SETTINGS + "nonsense: 1\n")
    result = compared(run, pack, "--engine", "cedar", width=200)
    assert result.exit_code == 4
    assert "nonsense" in result.stdout


def test_every_scenario_is_asked_twice_and_the_first_round_does_not_count():
    asked = []
    figures = timed([lambda: lambda: asked.append("a"), lambda: lambda: asked.append("b")], 0.0)
    assert asked == ["a", "b", "a", "b"]
    assert figures["count"] == 2


def test_what_makes_a_call_ready_is_outside_the_time_and_a_failure_counts_as_an_answer():
    def fails():
        raise EngineFailure("engine_error", "as told")

    made = []
    figures = timed([lambda: made.append(1) or fails], 0.0)
    assert len(made) == 2
    assert figures["count"] == 1
    assert timed([], 1.0) is None


def test_percentiles_are_those_of_the_nearest_rank():
    ordered = list(range(1, 101))
    assert percentile(ordered, 0.50) == 50
    assert percentile(ordered, 0.99) == 99
    assert percentile(ordered, 1.0) == 100
    assert percentile([7], 0.5) == percentile([7], 0.99) == 7


def test_a_pack_without_entries_of_its_own_is_found_by_where_things_are(pack):
    (found,) = (comparing._chosen(str(pack)),)
    assert found.options("cedar") == {"policies": "cedar/"}
    assert found.options("rego") == {"bundle": "rego/"}
    assert found.options("oso") is None
    assert found.engines == ("cedar", "opa", "rego")
    assert set(found.engines) < set(ENGINES)


def test_a_copy_of_a_shipped_pack_measures_like_the_pack(run, here, tmp_path):
    shipped = next(one for one in shipped_packs() if one.name == "access")
    shutil.copytree(shipped.folder, tmp_path / "mine")
    result = compared(run, f"{tmp_path}{os.sep}mine", "--engine", "oso", "--json")
    told = json.loads(result.stdout)
    assert told["pack"]["name"] == "mine"
    assert told["engines"][0]["asked"] == len(
        yaml.safe_load((shipped.folder / "scenarios.yaml").read_text())["scenarios"]
    )
