"""The enforcement points of shipped packs, in every language of theirs."""

from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

import checkrein_policies
from checkrein.building import build_engine
from checkrein.enforcement import EnforcementPoint
from checkrein.loading import load

ROOT = Path(checkrein_policies.__file__).parent


@pytest.fixture(scope="module")
def languages_of():
    """The enforcement points of a pack, one for each language and both backends of Rego."""
    with ExitStack() as opened:
        yield lambda pack: dict(_points(ROOT / pack, opened))


def _points(pack, opened):
    options = load(pack / "settings.yaml").settings
    for kind, node in yaml.safe_load((pack / "pack.yaml").read_text())["engines"].items():
        if kind == "opa":
            continue
        for backend in ({"backend": "regorus"}, {"backend": "regopy"}) if kind == "rego" else ({},):
            engine = build_engine({kind: {**node, **backend}}, base=pack)
            point = EnforcementPoint(engine, options, record=lambda _: None)
            opened.callback(point.close)
            yield backend.get("backend", kind), point
