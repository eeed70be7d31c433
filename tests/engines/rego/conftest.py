"""A Rego engine of a few files, on either backend."""

import sys
from pathlib import Path

import pytest

from checkrein.document import EvaluationRequest
from checkrein.vocabulary import AccessRequest, Entity, Stage
from checkrein_rego import RegoEngine

sys.path.append(str(Path(__file__).parent))

BACKENDS = ("regopy", "regorus")


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def write(tmp_path):
    """Write files of a bundle; a file without a package is of the package that the default rule needs."""

    def write(**files):
        folder = tmp_path / "bundle"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return write


@pytest.fixture
def load(backend):
    """Make an engine of a bundle; it is closed after the test."""
    engines = []

    def load(bundle, **options):
        checked = RegoEngine.Options.model_validate(
            {"name": "rego", "bundle": bundle, "backend": backend, **options}, context={"base": Path()}
        )
        engines.append(RegoEngine.from_options(checked))
        return engines[-1]

    yield load
    for engine in engines:
        engine.close()


@pytest.fixture
def policy(write, load):
    """An engine whose rule at pre_prompt is given."""

    def policy(body, *, files=None, **options):
        source = f"package checkrein.pre_prompt\n\n{body}\n"
        return load(write(**{"policy.rego": source, **(files or {})}), **options)

    return policy


@pytest.fixture
def ask():
    """Ask an engine; the document is what the policy reads as `input`."""

    def ask(engine, document=None, stage=Stage.PRE_PROMPT):
        request = AccessRequest(
            stage=stage, subject=Entity(type="user", id="alice"), resource=Entity(type="model", id="small")
        )
        return engine.evaluate(EvaluationRequest(request=request, document=document or {}))

    return ask
