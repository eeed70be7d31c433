"""A real OPA, a server of faults, engines of both, and both ways to ask."""

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

from checkrein import AccessRequest, Entity, Origin, Segment, Stage
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Limits
from checkrein_opa import OpaEngine

sys.path.append(str(Path(__file__).parent))

from opa_server import OpaServer
from scripted import ScriptedServer

PERMITTING = """package checkrein.pre_prompt

decision := {"allow": true}
"""


@pytest.fixture
def opened():
    """Closes what a test opened, in the end."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def opa(opened):
    """Starts OPA."""

    def start(*policies, **options):
        named = {f"policy{number}.rego": source for number, source in enumerate(policies)}
        return opened.enter_context(OpaServer(policies=named, **options))

    return start


@pytest.fixture
def scripted(opened):
    """Starts a server of faults."""

    def start(script, greet=None):
        return opened.enter_context(ScriptedServer(script, greet))

    return start


@pytest.fixture
def engine_of(opened):
    """Makes an engine as the settings would; its deadline is far away unless a test is about it."""

    def make(server, **options):
        url = server if isinstance(server, str) else server.url
        checked = OpaEngine.Options.model_validate(
            {"name": "opa", "url": url, "timeout": 20, **options}, context={"base": Path()}
        )
        engine = OpaEngine.from_options(checked)
        opened.callback(engine.close)
        return engine

    return make


@pytest.fixture(params=["blocking", "awaiting"])
def ask(request):
    """Asks an engine, in both ways."""

    def blocking(engine, question):
        return engine.evaluate(question)

    def awaiting(engine, question):
        return asyncio.run(engine.aevaluate(question))

    return {"blocking": blocking, "awaiting": awaiting}[request.param]


@pytest.fixture
def question():
    """A request as engines see it."""

    def make(text="Hello", stage=Stage.PRE_PROMPT, *, tier="pro", context=None, model="gpt-4o"):
        asked = AccessRequest(
            stage=stage,
            subject=Entity(type="user", id="alice", properties={"tier": tier}),
            resource=Entity(type="model", id=model),
            context=context or {},
            segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),),
            call_id="call",
        )
        return build(asked, detectors=Detectors({}, {}), models={}, limits=Limits())

    return make


@pytest.fixture
def permitting():
    """A policy that permits every prompt."""
    return PERMITTING
