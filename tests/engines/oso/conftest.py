"""Engines made of a few lines of Polar, and requests to ask them."""

import contextlib

import pytest

from checkrein import AccessRequest, Entity, Origin, Segment, Stage
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Limits
from checkrein_oso import OsoEngine, OsoOptions

ALICE = Entity(type="user", id="alice", properties={"tier": "pro", "roles": ["analyst"], "nothing": None})
GPT = Entity(type="model", id="gpt-4o", properties={"size": "large", "input_price": 2_500_000})


@pytest.fixture
def opened():
    """Closes what a test opened, in the end."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def engine_of(opened, tmp_path):
    """Makes an engine as the settings would: of one file, or of files by name."""

    def make(policy, **options):
        files = policy if isinstance(policy, dict) else {"policy.polar": policy}
        for name, text in files.items():
            file = tmp_path / "policies" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        checked = OsoOptions.model_validate(
            {"name": "oso", "policies": "policies", **options}, context={"base": tmp_path}
        )
        engine = OsoEngine.from_options(checked)
        opened.callback(engine.close)
        return engine

    return make


@pytest.fixture
def request_of():
    """Lays out a request, with detectors if a test names them."""

    def lay_out(text="hello", *, subject=ALICE, resource=GPT, stage=Stage.PRE_PROMPT, detect=(), **rest):
        request = AccessRequest(
            stage=stage,
            subject=subject,
            resource=resource,
            segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),),
            **rest,
        )
        return build(request, detectors=Detectors.load({stage: list(detect)}), models={}, limits=Limits())

    return lay_out


@pytest.fixture
def holds(engine_of, request_of):
    """Whether a condition over `s`, `a`, `r` and `ctx` permits the usual request, or whatever it raises."""

    def ask(condition, **request):
        everything = "s = s and a = a and r = r and ctx = ctx"
        engine = engine_of(f"permit(s, a, r, ctx) if {everything} and ({condition});")
        return engine.evaluate(request_of(**request)).effect == "permit"

    return ask
