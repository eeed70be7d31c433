"""Decisions as a host would have them, and the log that they leave."""

import json
import sys
from pathlib import Path

import pytest

from checkrein.enforcement import EnforcementPoint
from checkrein.vocabulary import Stage

sys.path.append(str(Path(__file__).parent))

from explained import CEDAR, CEDAR_SETTINGS, asked

LARGE = {"size": "large"}


@pytest.fixture
def logged(settings, tmp_path):
    """Decides requests as a host would and gives the settings, the log, and the records in it."""

    def decide(*requests, text=None, **replaced):
        path = settings(text, **replaced) if text else settings(**replaced)
        pep = EnforcementPoint.from_settings(path)
        for request in requests:
            pep.decide(request)
        pep.close()
        log = tmp_path / "decisions.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return path, log, [line for line in lines if line["event"] == "policy_decision"]

    return decide


@pytest.fixture
def cedar(logged, tmp_path):
    (tmp_path / "policies.cedar").write_text(CEDAR)
    return lambda *requests: logged(*requests, text=CEDAR_SETTINGS)


@pytest.fixture
def governed(logged, tmp_path):
    """A decision at model selection by policies in files; gives what explains it."""

    def decide(files, node, *requests):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        node = node if node.startswith("by") else f"{node[:-1]}, stages: [model_selection]}}"
        text = f"version: 1\nengine: {{{node}}}\ndecision_log: {{to: decisions.jsonl}}\n"
        path, log, _ = logged(*(requests or [asked(Stage.MODEL_SELECTION, properties=LARGE)]), text=text)
        return ("explain", "--log", log, "--id", "call-1", "-c", path)

    return decide
