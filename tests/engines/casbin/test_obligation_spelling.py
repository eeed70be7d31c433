"""An obligation in a row has one spelling, and any other does not load."""

import pytest

from checkrein.errors import PolicyLoadError
from checkrein.vocabulary import Obligation
from checkrein_casbin.obligations import read_obligation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redact types=us_ssn|email", Obligation(type="redact", properties={"types": ["us_ssn", "email"]})),
        ("redact types=email", Obligation(type="redact", properties={"types": ["email"]})),
        ("no_store", Obligation(type="no_store")),
        ("route model=gpt-4o-mini", Obligation(type="route", properties={"model": "gpt-4o-mini"})),
        ("limit_tokens max_tokens=256", Obligation(type="limit_tokens", properties={"max_tokens": 256})),
        ("remove_tools names=a|b", Obligation(type="remove_tools", properties={"names": ["a", "b"]})),
        (
            "require_approval approvers=role:lead",
            Obligation(type="require_approval", properties={"approvers": ["role:lead"]}),
        ),
        (
            "set_parameters temperature=0.2 seed=-7 logprobs=false user=x",
            Obligation(
                type="set_parameters",
                properties={"temperature": 0.2, "seed": -7, "logprobs": False, "user": "x"},
            ),
        ),
        ("replace text=Not this = a|b.", Obligation(type="replace", properties={"text": "Not this = a|b."})),
    ],
)
def test_an_obligation_has_one_spelling(text, expected):
    assert read_obligation(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "redact",
        "redact ",
        "redact types",
        "redact types=",
        "redact types=a||b",
        "redact types=a|a",
        "redact  types=a",
        "redact types=a ",
        "redact types=a types=b",
        "redact types=a more=b",
        "redact names=a",
        "Redact types=a",
        "redact:us_ssn,email",
        '{"type": "no_store"}',
        "no_store x=1",
        "limit_tokens max_tokens=0",
        "limit_tokens max_tokens=many",
        "limit_tokens max_tokens=1.5",
        "limit_tokens max_tokens=99999999999999999999",
        "route model=1",
        "replace text=",
        "set_parameters model=x",
        "set_parameters api_base=x",
        "unknown x=1",
        "*",
    ],
)
def test_any_other_spelling_of_an_obligation_does_not_load(listed, rules, text):
    with pytest.raises(ValueError, match="`"):
        read_obligation(text)
    with pytest.raises(PolicyLoadError, match="row 1 of `p2`: "):
        listed(rules, {"p2": [["ask", "True", text]]})
