"""A Cedar engine of a few lines of policy, and questions to it."""

import json

import pytest

from checkrein.building import build_engine
from checkrein.detection import Detectors
from checkrein.document import EvaluationRequest, build
from checkrein.settings import Limits
from checkrein.vocabulary import AccessRequest, Effect, Entity, Origin, Segment, Stage

ALICE = Entity(type="user", id="alice", properties={"tier": "pro", "groups": ["data"]})
MODEL = Entity(type="model", id="gpt-4o", properties={"size": "large", "family": "gpt"})


@pytest.fixture
def write(tmp_path):
    """Write a file below the folder that paths are relative to; gives its name."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return name

    return write


@pytest.fixture
def load(tmp_path, write):
    """Make an engine of policies and options; it is closed after the test."""
    engines = []

    def load(policies, *, entities=None, links=None, schema=None, **options):
        options["policies"] = write("access.cedar", policies) if isinstance(policies, str) else policies["in"]
        if entities is not None:
            options["entities"] = write("entities.json", entities)
        if links is not None:
            options["links"] = write("links.json", links)
        if schema is not None:
            options["schema"] = (
                write("access.cedarschema", schema) if isinstance(schema, str) else schema["in"]
            )
        engines.append(build_engine({"cedar": options}, base=tmp_path).engine)
        return engines[-1]

    yield load
    for engine in engines:
        engine.close()


@pytest.fixture
def asked():
    """A request as engines see it, by the kernel's own builder."""

    def asked(subject=ALICE, resource=MODEL, *, stage=Stage.PRE_PROMPT, text="Hello", action="", **context):
        request = AccessRequest(
            stage=stage,
            subject=subject,
            resource=resource,
            action=action,
            context=context,
            segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),) if text else (),
        )
        return build(request, detectors=Detectors({}, {}), models={}, limits=Limits(depth=200))

    return asked


@pytest.fixture
def raw():
    """A request that no kernel has checked: whatever document is given reaches the engine."""

    def raw(*, subject=None, resource=None, action="submit_prompt", context=None):
        document = {
            "stage": "pre_prompt",
            "subject": {"type": "user", "id": "alice", "properties": {}, **(subject or {})},
            "action": {"name": action},
            "resource": {"type": "model", "id": "gpt-4o", "properties": {}, **(resource or {})},
            "context": context or {},
        }
        request = AccessRequest(stage=Stage.PRE_PROMPT, subject=ALICE, resource=MODEL)
        return EvaluationRequest(request=request, document=document)

    return raw


@pytest.fixture
def holds(load, asked):
    """Whether a condition is true of a request."""

    def holds(condition, *args, entities=None, **context):
        engine = load(f"permit(principal, action, resource) when {{ {condition} }};", entities=entities)
        return engine.evaluate(asked(*args, **context)).effect is Effect.PERMIT

    return holds
