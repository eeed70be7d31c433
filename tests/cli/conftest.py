"""A third-party plug-in on the path, settings that use it, and the command run in-process or for real."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from checkrein.cli.app import app
from checkrein.plugins import available

DESK = Path(__file__).parent / "desk"
ENTRY_POINTS = """
[checkrein.engines]
desk = desk_plugin:Desk

[checkrein.detectors]
digit = desk_plugin:digits
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder that holds the plug-in as an installer leaves it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "desk_plugin.py").write_text((DESK / "desk_plugin.py").read_text())
    info = folder / "desk_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: desk-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture(autouse=True)
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv("CHECKREIN_CONFIG", raising=False)
    available.cache_clear()
    yield
    available.cache_clear()


SETTINGS = """
version: 1
engine: {desk: {}}
detectors: {pre_prompt: [digit], post_completion: [digit]}
decision_log: {to: decisions.jsonl}
models: {large: {size: large}, small: {size: small}}
denials: {messages: {prompt.forbidden: {en: "Ask something else. Ref {decision_id}"}}}
"""


@pytest.fixture
def settings(tmp_path):
    def write(text=SETTINGS, **replaced):
        for old, new in replaced.items():
            text = text.replace(old, new)
        path = tmp_path / "checkrein.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def run(monkeypatch):
    """The command in this process, at a width."""

    def invoke(*arguments, width=80, stdin=None, **variables):
        monkeypatch.setenv("COLUMNS", str(width))
        return CliRunner().invoke(app, [*map(str, arguments)], input=stdin, env=variables)

    return invoke


@pytest.fixture
def run_for_real(site):
    """The command as a process of its own, its output piped."""

    def start(*arguments, stdin=b"", python=(), **variables):
        environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "80", **variables}
        command = [sys.executable, *python, "-m", "checkrein.cli", *map(str, arguments)]
        return subprocess.run(
            command, input=stdin, capture_output=True, env=environment, timeout=60, check=False
        )

    return start
