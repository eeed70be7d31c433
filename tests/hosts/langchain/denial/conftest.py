"""The stages that a denial comes at, and the ways of running a graph."""

import pytest

from checkrein.vocabulary import Stage

MODES = ["invoke", "ainvoke", "stream", "astream"]


@pytest.fixture(params=[Stage.PRE_PROMPT, Stage.POST_COMPLETION])
def denied_at(request):
    return request.param


@pytest.fixture(params=MODES)
def mode(request):
    return request.param
