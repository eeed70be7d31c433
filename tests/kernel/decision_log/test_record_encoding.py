"""A record as a line: strict JSON of a bounded length whatever the values."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein.decision_log.encoding import MAX_RECORD, encode

JSONISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(st.characters()), inner, max_size=4)
    ),
)


@given(st.dictionaries(st.text(st.characters(), max_size=5), JSONISH, max_size=5))
def test_any_event_encodes_to_one_line_of_strict_json(event):
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.decode().splitlines() == [line[:-1].decode()]

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(line, parse_constant=refuse)


def test_what_json_has_no_place_for_is_replaced_and_marked():
    looped: list = []
    looped.append(looped)
    odd = {
        "id": "kept",
        "set": {"a"},
        "loop": looped,
        "big": 1 << 70,
        "odd": object(),
        5: "five",
        "half": "\ud800",
    }
    shown = json.loads(encode(odd))
    assert shown["id"] == "kept"
    assert shown["set"] == ["a"]
    assert (shown["big"], shown["odd"], shown["5"], shown["half"]) == ("<int>", "<object>", "five", "?")
    assert shown["replaced"] is True


@pytest.mark.parametrize("char", ["a", "\x00", "é", "\U0001f600", "\u2028", "\ud800"])
def test_the_bound_holds_whatever_the_characters(char):
    event = {"id": "kept", "texts": [char * 1000] * 1000, "names": {f"{n}{char * 50}": n for n in range(900)}}
    line = encode(event)
    assert len(line) <= MAX_RECORD
    assert json.loads(line)["id"] == "kept"


@pytest.mark.parametrize("value", [-(2**63), -1.2345678901234567e-300, True, [], {}, object()])
def test_the_bound_holds_whatever_the_values(value):
    line = encode({"id": "kept", "values": [value] * 200_000})
    assert len(line) <= MAX_RECORD
    assert json.loads(line)["id"] == "kept"
