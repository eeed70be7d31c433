"""A point that permits everything, and a model that it guards."""

import pytest

from checkrein_langchain import guard


@pytest.fixture
def point(lab):
    return lab.govern()


@pytest.fixture
def model(lab, point):
    return guard(lab.chat(), point.pep)
