"""Reading costs time by the value, so that there is a most of them; tokens cost next to none."""

from __future__ import annotations

import pytest

from checkrein.errors import RequestError
from checkrein_litellm.text.surfaces import answer_surfaces, content_of, request_surfaces

MANY = 60
MOST = 50
TOO_MUCH = {
    "objects": {"house": [{}] * MANY},
    "words": {"house": ["ab"] * MANY},
    "lists": {"house": [[]] * MANY},
    "names": {"house": {f"k k{number}": 1 for number in range(MANY)}},
    "turns": {"messages": [{"role": "user"}] * MANY},
    "parameters": {f"house{number}": "ab" for number in range(MANY)},
    "notes": {"metadata": {f"house{number}": "ab" for number in range(MANY)}},
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_too_many_values_are_refused(what):
    data = TOO_MUCH[what]
    with pytest.raises(RequestError) as error:
        request_surfaces(data, list(data), 32, nodes=MOST)
    assert error.value.code == "limit.nodes"


def test_an_answer_and_a_prompt_have_the_same_limit():
    with pytest.raises(RequestError):
        answer_surfaces({"output": [{}] * MANY}, 32, nodes=MOST)
    with pytest.raises(RequestError):
        content_of({"messages": [{}] * MANY}, ["messages"], 32, nodes=MOST)


def test_tokens_numbers_and_nothing_are_not_counted():
    data = {
        "input": [[7] * MANY, [None] * MANY, [0.5] * MANY],
        "prompt": [7] * MANY,
        "messages": [None] * MANY,
    }
    found = request_surfaces(data, list(data), 32, nodes=MOST)
    assert found.segments == []
    assert [one["kind"] for one in found.uninspected] == ["tokens", "tokens"]


def test_what_many_tools_gave_back_in_one_turn_is_told_apart():
    results = [
        part
        for number in range(3_000)
        for part in ({"type": "tool_result", "content": f"found {number}"}, {"type": "text", "text": "go on"})
    ]
    found = request_surfaces({"messages": [{"role": "user", "content": results}]}, (), 32)
    assert [one.origin.value for one in found.segments] == ["tool", "user"] * 3_000
