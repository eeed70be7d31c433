"""Tools that are used in both ways, and forget what they ran with before."""

import pytest
from used_tools import call, ran


@pytest.fixture(autouse=True)
def forget():
    ran.clear()


@pytest.fixture(params=["invoke", "ainvoke"])
def use(request):
    return call(request.param)
