"""Numbers that somebody says are read like text; numbers that count something are not."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from checkrein import Origin
from checkrein.errors import RequestError
from checkrein_litellm.text.leaves import leaves
from checkrein_litellm.text.surfaces import Surfaces, UnwritableError, answer_surfaces, request_surfaces

CARD = 4111111111111111


def read(**data):
    return request_surfaces(data, list(data), 32)


def said(found):
    return [(one.origin, one.text) for one in found.segments]


PROMPTS = {
    "a tool's input": (
        "messages",
        {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {"card": CARD}}]},
        Origin.ASSISTANT,
    ),
    "a function's arguments": (
        "contents",
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"cards": [[CARD]]}}}]},
        Origin.ASSISTANT,
    ),
    "a function's answer": (
        "contents",
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"card": CARD}}}]},
        Origin.TOOL,
    ),
    "an output": (
        "input",
        {"type": "function_call_output", "call_id": "call_1234", "output": CARD},
        Origin.TOOL,
    ),
    "a tool's message": ("messages", {"role": "tool", "content": CARD}, Origin.TOOL),
    "a document": ("documents", {"title": "x", "card": CARD}, Origin.RETRIEVED),
}


@pytest.mark.parametrize("where", PROMPTS)
def test_a_number_of_a_prompt_is_read_and_written(where):
    key, turn, origin = PROMPTS[where]
    found = read(**{key: [turn]})
    assert (origin, str(CARD)) in said(found)
    found.write({one.path: "gone" for one in found.segments if one.text == str(CARD)})
    assert str(CARD) not in str(turn)
    assert "gone" in str(turn)


@pytest.mark.parametrize("number", [CARD, float(CARD), -CARD, 123456, 12345.6])
def test_a_number_is_read_as_it_is_told(number):
    content = [{"type": "tool_use", "id": "toolu_1234", "name": "f", "input": {"card": number}}]
    (segment,) = answer_surfaces({"content": content}, 32).segments
    assert segment.text == (str(int(number)) if number == int(number) else str(number))


def test_the_arguments_of_a_tool_server_are_read():
    surfaces = Surfaces()
    box = {"arguments": {"card": CARD, "how": ["x", CARD + 1]}}
    surfaces.read(leaves(box, "arguments", ("arguments",), 32), "tool", Origin.ASSISTANT)
    assert [one.text for one in surfaces.segments] == [str(CARD), "x", str(CARD + 1)]


@pytest.mark.parametrize(
    "data",
    [
        {"input": [[100_001, 200_002]]},
        {"input": [123_456]},
        {"prompt": [123_456]},
        {"seed": 123_456_789},
        {"max_tokens": 100_000},
        {"messages": [{"role": "assistant", "content": "hi", "created_at": 1_764_000_000}]},
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"n": 12345}}]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"yes": True}}]}]},
    ],
)
def test_tokens_and_counts_are_no_text(data):
    assert [one.text for one in read(**data).segments if one.text != "hi"] == []


def test_the_book_keeping_of_an_answer_is_no_text():
    answer = {
        "created_at": 1_764_000_000,
        "completed_at": 1_764_000_001,
        "max_output_tokens": 100_000,
        "usage": {"input_tokens": 123_456, "output_tokens": 123_456},
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi there"}]}],
        "data": [{"embedding": [0.123456789], "index": 123_456}],
        "results": [{"relevance_score": 0.123456789, "index": 0}],
    }
    assert [one.text for one in answer_surfaces(answer, 32).segments] == ["hi there"]


def test_a_number_of_a_model_cannot_be_written():
    class Arguments(BaseModel):
        card: int

    found = read(messages=[{"role": "assistant", "tool_calls": [{"arguments": Arguments(card=CARD)}]}])
    (segment,) = found.segments
    with pytest.raises(UnwritableError):
        found.write({segment.path: "gone"})


def test_a_number_that_nobody_can_write_down_is_refused():
    with pytest.raises(RequestError) as error:
        read(messages=[{"role": "tool", "content": 10**5000}])
    assert error.value.code == "limit.text"
