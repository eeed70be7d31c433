"""`checkrein init`: what it writes works as it is, blocks nothing, and takes nobody's file away."""

import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from checkrein.cli.packs import ENGINES, shipped_packs
from checkrein.loading import load

sys.path.append(str(Path(__file__).parents[1] / "engines" / "opa"))

from opa_server import OpaServer

WRITTEN = [(pack.name, engine) for pack in shipped_packs() for engine in pack.engines]


def words(result):
    return " ".join(result.stdout.split())


@pytest.fixture
def served():
    """Serves what `init` wrote, as the command that it prints does."""
    with ExitStack() as stack:

        def serve(folder):
            (data,) = (folder / name for name in ("data.yaml", "routes.yaml") if (folder / name).exists())
            values = yaml.safe_load(data.read_text())
            server = stack.enter_context(OpaServer(bundle=folder / "rego", data=values))
            settings = folder / "checkrein.yaml"
            text = settings.read_text()
            assert "http://127.0.0.1:8181" in text
            # The deadline is far away: that a machine is busy is not what these tests are about.
            settings.write_text(text.replace("http://127.0.0.1:8181", f"{server.url}\n    timeout: 60"))

        yield serve


@pytest.mark.parametrize(("pack", "engine"), WRITTEN)
def test_what_is_written_passes_its_own_tests(run, tmp_path, served, pack, engine):
    folder = tmp_path / "start"
    result = run("init", folder, "--engine", engine, "--pack", pack)
    assert result.exit_code == 0, result.output
    if engine == "opa":
        served(folder)
    tested = run("test", "-c", folder / "checkrein.yaml")
    assert tested.exit_code == 0, tested.output
    assert "0 failed" in words(tested)
    assert f"{len(yaml.safe_load((folder / 'scenarios.yaml').read_text())['scenarios'])} passed" in words(
        tested
    )


def test_the_baseline_is_what_a_start_without_options_is_made_of(run, tmp_path):
    result = run("init", tmp_path)
    assert result.exit_code == 0
    assert "from the pack baseline" in words(result)
    assert (tmp_path / "rego" / "pre_prompt.rego").is_file()


def test_it_only_monitors_and_logs_to_a_file_beside_it(run, tmp_path):
    run("init", tmp_path)
    loaded = load(tmp_path / "checkrein.yaml")
    assert loaded.settings.enforcement.default == "monitor"
    assert loaded.settings.decision_log.to == tmp_path / "decisions.jsonl"
    assert loaded.settings.decision_log.content == "facts"
    assert loaded.settings.detectors
    assert loaded.settings.models
    checked = run("check", "-c", tmp_path / "checkrein.yaml")
    assert checked.exit_code == 0
    assert "nothing blocked" in words(checked)


def test_the_settings_say_how_to_enforce_and_enforce_when_told_to(run, tmp_path):
    run("init", tmp_path)
    path = tmp_path / "checkrein.yaml"
    text = path.read_text()
    assert "# To enforce all of it, write `default: enforce`." in text
    path.write_text(text.replace("  default: monitor", "  default: enforce"))
    tried = run("try", "The password is hunter2-Fence!", "-c", path)
    assert tried.exit_code == 0
    assert "caller sees" in tried.stdout


def test_the_comments_of_the_pack_stay_with_their_keys(run, tmp_path):
    run("init", tmp_path)
    lines = (tmp_path / "checkrein.yaml").read_text().splitlines()
    assert lines[lines.index("models:") - 1] == "# Prices in micro-USD per million tokens."


@pytest.mark.parametrize("there", ["checkrein.yaml", "scenarios.yaml", "rego", "routes.yaml"])
def test_what_is_there_is_named_and_left_alone_and_nothing_is_written(run, tmp_path, there):
    (tmp_path / there).write_text("mine")
    result = run("init", tmp_path)
    assert result.exit_code == 2
    assert f"already `{there}`" in " ".join(result.stderr.split())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {there: "mine"}


def test_a_link_that_leads_nowhere_is_somebodys_too(run, tmp_path):
    target = tmp_path / "elsewhere.yaml"
    start = tmp_path / "start"
    start.mkdir()
    (start / "checkrein.yaml").symlink_to(target)
    assert run("init", start).exit_code == 2
    assert not target.exists()
    assert [path.name for path in start.iterdir()] == ["checkrein.yaml"]


def test_a_second_start_in_the_same_folder_lists_all_that_is_there(run, tmp_path):
    run("init", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = run("init", tmp_path)
    assert result.exit_code == 2
    for name in ("checkrein.yaml", "rego", "routes.yaml", "scenarios.yaml"):
        assert f"`{name}`" in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_with_other_things_in_it_is_as_good_as_an_empty_one(run, tmp_path):
    (tmp_path / "app.py").write_text("mine")
    assert run("init", tmp_path).exit_code == 0
    assert (tmp_path / "app.py").read_text() == "mine"


def test_an_engine_that_nobody_knows_is_a_usage_error_that_lists_them(run, tmp_path):
    result = run("init", tmp_path, "--engine", "prolog", width=200)
    assert result.exit_code == 2
    for engine in ENGINES:
        assert engine in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_pack_or_a_language_that_is_not_there_lists_what_is(run, tmp_path, monkeypatch):
    result = run("init", tmp_path, "--pack", "none", width=200)
    assert result.exit_code == 2
    assert "`none` is no shipped pack; there are: " in " ".join(result.stderr.split())
    only_rego = [replace(pack, folder=tmp_path) for pack in shipped_packs()]
    (tmp_path / "rego").mkdir()
    monkeypatch.setattr("checkrein.cli.starting.shipped_packs", lambda: only_rego)
    result = run("init", tmp_path, "--engine", "cedar", width=200)
    assert result.exit_code == 2
    assert "written for `cedar`; there are: access (opa, rego)" in " ".join(result.stderr.split())


def test_a_file_where_the_folder_should_be_is_a_usage_error(run, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    for folder in (path, path / "below"):
        result = run("init", folder)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
    assert path.read_text() == "mine"


def test_what_is_written_can_be_changed_where_what_is_installed_cannot(run, tmp_path, monkeypatch):
    run("init", tmp_path)
    for path in tmp_path.rglob("*"):
        assert os.access(path, os.W_OK)
        assert not path.is_dir() or path.stat().st_mode & 0o700 == 0o700


def test_the_next_steps_are_commands_for_that_folder(run, tmp_path):
    folder = tmp_path / "my start"
    said = words(run("init", folder, width=300))
    assert f"cd '{folder}'" in said
    assert "checkrein test -c checkrein.yaml" in said
    opa = words(run("init", tmp_path / "opa", "--engine", "opa", width=300))
    assert "opa run --server --addr 127.0.0.1:8181 rego" in opa


def test_an_engine_that_is_not_installed_is_named_with_its_next_step(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "checkrein_rego", None)
    result = run("init", tmp_path)
    assert result.exit_code == 0
    assert "pip install 'checkrein[rego]'" in words(result)
