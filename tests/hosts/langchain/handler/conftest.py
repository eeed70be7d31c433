"""Handlers that are everywhere until the test ends."""

import pytest

from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler


@pytest.fixture
def trip(lab):
    """Makes an enforcement point, and puts its handler everywhere until the test ends."""
    installed = []

    def make(answers=None, *, subject=None, **options):
        point = lab.govern(answers, **options)
        point.handler = PolicyCallbackHandler(point.pep, subject=subject)
        installed.append(point.handler.install())
        return point

    yield make
    for uninstall in installed:
        uninstall()


@pytest.fixture
def denying(trip):
    return trip({Stage.PRE_PROMPT: deny("no")})
