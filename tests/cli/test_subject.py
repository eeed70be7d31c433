"""`--as`: one line that says who asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein.cli.subject import EXAMPLE, parse_subject
from checkrein.vocabulary import ANONYMOUS, Entity


def test_nobody_is_anonymous():
    assert parse_subject(None) is ANONYMOUS


@pytest.mark.parametrize(
    ("written", "properties"),
    [
        ("user:alice", {}),
        ("user:alice,tier=free", {"tier": "free"}),
        ("user:alice,admin=true,suspended=false", {"admin": True, "suspended": False}),
        ("user:alice,level=3,debt=-2,none=0", {"level": 3, "debt": -2, "none": 0}),
        ("user:alice,roles=a|b|3", {"roles": ["a", "b", 3]}),
        ("user:alice,roles=a|", {"roles": ["a"]}),
        ("user:alice,key=a=b,empty=", {"key": "a=b", "empty": ""}),
        ("user:alice,agent=007,card=4111111111111111111,price=1.5", {
            "agent": "007", "card": "4111111111111111111", "price": "1.5"
        }),
    ],
)  # fmt: skip
def test_values_are_read_as_what_they_look_like(written, properties):
    subject = parse_subject(written)
    assert subject == Entity(type="user", id="alice", properties=properties)
    for key, value in properties.items():
        assert type(subject.properties[key]) is type(value)


def test_an_id_may_hold_colons():
    assert parse_subject("user:arn:aws:iam").id == "arn:aws:iam"


@pytest.mark.parametrize(
    "written",
    ["", "alice", "user:", ":alice", "user:a,", "user:a,tier", "user:a,=free", "user:a,tier=x,tier=y", "a=b"],
)
def test_another_shape_is_an_error_with_an_example(written):
    with pytest.raises(ValueError, match="write for instance") as raised:
        parse_subject(written)
    assert EXAMPLE in str(raised.value)


@given(st.text())
def test_any_text_is_a_subject_or_an_error(written):
    try:
        subject = parse_subject(written)
    except ValueError:
        return
    assert subject.type
    assert subject.id
