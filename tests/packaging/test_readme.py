"""The README tells no lies: its files are used, its Python runs, its commands print what it says."""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Settings, Stage
from checkrein.loading import load
from checkrein.testing import StaticEngine, Upstream, permit

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"(?:^`([\w./-]+)`:\n)?^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language):
    return [text for _, kind, text in BLOCKS if kind == language]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that holds every file that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    for name, _, text in BLOCKS:
        if name:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
    return folder


def test_every_kind_of_block_is_one_that_is_tested():
    assert {kind for _, kind, _ in BLOCKS} == {"console", "json", "mermaid", "python", "rego", "yaml"}
    assert all(name for name, kind, _ in BLOCKS if kind in {"yaml", "rego"})


def test_the_python_of_the_readme_does_what_its_comments_say(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    # LiteLLM asks the network for prices when it is imported.
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    said = io.StringIO()
    with Upstream(reply="Here you are.") as upstream, contextlib.redirect_stdout(said):
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
        names = {}
        for text in blocks("python"):
            exec(compile(text, "README.md", "exec"), names)
    prompts = [request.body["messages"][-1]["content"] for request in upstream.requests]
    assert prompts == ["My SSN is [REDACTED:us_ssn].", "What does this do?\n```\nprint(1)\n```", "Hello"]
    assert [request.body["model"] for request in upstream.requests[1:]] == ["gpt-4o", "gpt-4o-mini"]
    first, second, denied, third, fourth, last = said.getvalue().splitlines()
    assert denied == "pii.us_ssn"
    assert re.fullmatch(r"pii\.us_ssn [0-9a-f-]{36}", first)
    assert (second, third, fourth) == ("secret.password", "gpt-4o", "gpt-4o-mini")
    assert last in ("{'pii.us_ssn', 'secret.password'}", "{'secret.password', 'pii.us_ssn'}")


def commands():
    for text in blocks("console"):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield pytest.param(command, output, id=command)


@pytest.mark.parametrize(("command", "output"), [*commands()])
def test_a_command_of_the_readme_prints_what_it_says(place, command, output):
    program, *arguments = shlex.split(command)
    ran = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=place,
        env={
            **os.environ,
            "OPENAI_API_KEY": "none",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "COLUMNS": "120",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    words = " ".join(ran.stdout.split())
    for line in output.splitlines():
        assert " ".join(line.split()) in words


def test_the_input_of_the_readme_is_what_a_policy_sees():
    (shown,) = map(json.loads, blocks("json"))
    segment = Segment(path=(), role="user", origin=Origin.USER, text="Mail jo@example.com")
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="pia", properties={"tier": "pro"}),
        resource=Entity(type="model", id="gpt-4o"),
        segments=(segment,),
        supports=frozenset({"redact"}),
        identity={"source": "context", "asserted": False},
    )
    engine = StaticEngine(permit())
    settings = {"detectors": {"pre_prompt": ["email"]}}
    pep = EnforcementPoint(engine, Settings.model_validate(settings), record=lambda _: None)
    pep.decide(request)
    (seen,) = engine.asked
    seen["context"]["environment"] = shown["context"]["environment"]
    assert seen == shown


def test_the_whole_settings_file_of_the_readme_loads_and_names_every_key(place):
    loaded = load(place / "all.yaml")
    missing = set(type(loaded.settings).model_fields) - loaded.settings.model_fields_set
    assert not missing


def test_every_folder_and_file_that_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []
