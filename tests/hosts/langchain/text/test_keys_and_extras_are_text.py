"""Text stands in numbers that are keys, and in what a pydantic object holds besides its fields, too."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from checkrein_langchain.text.tool_outputs import Output, read_output, rewritten_output

CARD = 4111111111111111
SECRET = "a secret"


class Open(BaseModel):
    """A class that takes more than it names."""

    model_config = ConfigDict(extra="allow")
    name: str = "ann"


class Private(BaseModel):
    """A class that keeps something to itself."""

    name: str = "ann"
    _kept: str | None = PrivateAttr(None)


def texts(output):
    return [slot.segment.text for slot in read_output(output, 100).slots]


@pytest.mark.parametrize("place", ["content", "artifact", "streamed"])
@pytest.mark.parametrize("key", [CARD, float(CARD)], ids=["int", "float"])
def test_a_number_that_is_a_key_is_read_and_changed(place, key):
    given = {"cards": {key: "hers", 1: "short"}}
    output = Output(**{"content": None, place: given})
    surface = read_output(output, 100)
    (path,) = [one.segment.path for one in surface.slots if one.segment.text == str(key)]

    changed = rewritten_output(output, surface, {path: "[gone]"})

    assert getattr(changed, place) == {"cards": {"[gone]": "hers", 1: "short"}}
    assert given == {"cards": {key: "hers", 1: "short"}}


def test_a_number_and_its_text_as_keys_of_one_object_are_two_places():
    output = Output({CARD: "one", str(CARD): "other"})
    surface = read_output(output, 100)
    paths = [one.segment.path for one in surface.slots if one.segment.text == str(CARD)]
    assert len({*paths}) == len(paths) == 2


@pytest.mark.parametrize("key", [(SECRET,), frozenset({SECRET}), SECRET.encode()])
def test_a_key_that_cannot_be_read_is_told_of(key):
    assert read_output(Output(None, {"at": {key: 1}}), 100).uninspected


@pytest.mark.parametrize("place", ["content", "artifact", "streamed"])
def test_what_an_object_was_given_besides_its_fields_is_read_and_changed(place):
    given = Open(more={"deep": [SECRET]})
    output = Output(**{"content": None, place: {"one": given}})
    surface = read_output(output, 100)
    (path,) = [one.segment.path for one in surface.slots if one.segment.text == SECRET]

    changed = rewritten_output(output, surface, {path: "[gone]"})

    assert getattr(changed, place)["one"] == Open(more={"deep": ["[gone]"]})
    assert given == Open(more={"deep": [SECRET]})


def test_the_name_of_what_an_object_was_given_is_read():
    assert "a secret name" in texts(Output(None, Open(**{"a secret name": 1})))


def test_what_an_object_keeps_to_itself_is_told_of():
    kept = Private()
    assert not read_output(Output(None, kept), 100).uninspected
    kept._kept = SECRET
    assert read_output(Output(None, kept), 100).uninspected
