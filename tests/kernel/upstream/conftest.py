"""A provider that counts."""

import sys
from pathlib import Path

import pytest

from checkrein.testing import Upstream

sys.path.append(str(Path(__file__).parent))

from asking import ELSEWHERE, threads_of_upstreams


@pytest.fixture(autouse=True)
def upstreams_elsewhere():
    """Other test files may keep an upstream for as long as they run."""
    ELSEWHERE.clear()
    ELSEWHERE.update(threads_of_upstreams())


@pytest.fixture
def upstream(upstreams_elsewhere):
    with Upstream("a reply that is long enough") as running:
        yield running
    assert threads_of_upstreams() == []
