"""Documents as they are built of questions."""

import json
import sys
from pathlib import Path

import pytest

from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Limits

sys.path.append(str(Path(__file__).parent))

from described import DETECTORS, asked


@pytest.fixture(scope="module")
def detectors():
    return Detectors.load(DETECTORS)


@pytest.fixture
def document(detectors):
    def make(stage, **options):
        request = asked(stage, **options)
        built = build(request, detectors=detectors, models={}, limits=Limits())
        return json.loads(built.json())

    return make
