"""The command as a process of its own: exit codes, streams, and what is missing."""

import json
import sys
from importlib.metadata import version

import pytest

import checkrein.cli


def test_every_exit_code_is_the_one_that_is_promised(run_for_real, settings, tmp_path):
    good = settings()
    assert run_for_real("check", "-c", good).returncode == 0
    assert run_for_real("try", "forbidden", "-c", good).returncode == 0
    assert run_for_real("check").returncode == 2
    assert run_for_real("test", "-c", good).returncode == 4
    broken = run_for_real("check", "-c", tmp_path / "none.yaml")
    assert broken.returncode == 3
    assert broken.stdout == b""
    assert broken.stderr.startswith(b"error: ")
    assert b"Traceback" not in broken.stderr


def test_a_pipe_gets_plain_text_and_a_prompt_of_any_bytes_is_only_a_denial(run_for_real, settings):
    done = run_for_real("try", "-", "-c", settings(), stdin=b"\x1b[31m\xff\x9b hi")
    assert done.returncode == 0
    assert b"limit.encoding" in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr
    surrogate = run_for_real("try", b"\xff".decode(errors="surrogateescape"), "-c", settings(), "--json")
    assert json.loads(surrogate.stdout)["denied"] is True


def test_an_ascii_terminal_is_no_obstacle(run_for_real, settings):
    done = run_for_real(
        "try", "naïve", "-c", settings(), PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0", LC_ALL="C.UTF-8"
    )
    assert done.returncode == 0
    assert b"na\\xefve" in done.stdout


def test_warnings_of_libraries_do_not_stand_in_the_way(run_for_real, settings):
    done = run_for_real("check", "-c", settings(), python=("-W", "error"))
    assert done.returncode == 0
    assert done.stderr == b""


def test_without_the_extra_one_line_names_it(monkeypatch, capsys):
    for module in [name for name in sys.modules if name.startswith("checkrein.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as stopped:
        checkrein.cli.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: `typer` is not installed; run: pip install 'checkrein[cli]'\n"


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("checkrein.cli.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "checkrein.enforcement", None)
    with pytest.raises(ModuleNotFoundError, match=r"checkrein\.enforcement"):
        checkrein.cli.main()


def test_the_version_is_the_distributions(run):
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout == f"checkrein {version('checkrein')}\n"


def test_no_command_shows_the_commands(run):
    result = run()
    assert result.exit_code == 2
    for command in ("check", "try", "test"):
        assert command in result.output


@pytest.mark.parametrize("arguments", [["chekc"], ["try"], ["check", "--colour"]])
def test_a_wrong_command_line_is_a_usage_error(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
