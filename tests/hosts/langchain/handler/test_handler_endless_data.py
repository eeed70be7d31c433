"""Data that is shared so often that it is endless stops no handler: it is denied."""

import pytest
from langchain_core.tools import tool

from checkrein_langchain import PolicyCallbackHandler, PolicyDenied


def _endless():
    data = [1, 2]
    for _ in range(40):
        data = [data] * 5
    return data


@tool
def fetch(url: str) -> dict:
    """Fetch a page that somebody else wrote."""
    return {"page": _endless()}


def test_an_endless_result_is_denied(lab):
    with pytest.raises(PolicyDenied) as caught:
        fetch.invoke({"url": "x"}, {"callbacks": [PolicyCallbackHandler(lab.govern().pep)]})

    assert [one.code for one in caught.value.decision.reasons] == ["result_unreadable"]
