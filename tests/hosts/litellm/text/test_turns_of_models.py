"""Turns that are models of LiteLLM's, as answers are when an application hands them back."""

from __future__ import annotations

import pytest
from litellm.types.utils import Message
from pydantic import BaseModel

from checkrein import Origin
from checkrein_litellm.text.surfaces import content_of, request_surfaces

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")


class Item(BaseModel):
    type: str
    output: str


def origins(**data):
    return [(one.origin, one.text) for one in request_surfaces(data, list(data), 32).segments]


@pytest.mark.parametrize(
    ("role", "origin"), [("assistant", Origin.ASSISTANT), ("user", Origin.USER), ("tool", Origin.TOOL)]
)
def test_a_message_is_its_roles(role, origin):
    assert origins(messages=[Message(role=role, content="an earlier word")]) == [(origin, "an earlier word")]


def test_an_item_is_told_apart_by_its_type():
    item = Item(type="function_call_output", output="found it")
    assert (Origin.TOOL, "found it") in origins(input=[item])


def test_a_message_says_the_same_as_json_does():
    turns = [{"role": "user", "content": "first one"}, {"role": "assistant", "content": "an answer"}]
    models = [Message(**turn) for turn in turns]
    assert content_of({"messages": models}, ["messages"], 32) == content_of(
        {"messages": turns}, ["messages"], 32
    )
