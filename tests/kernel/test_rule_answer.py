"""What a Rego rule may answer, and what never permits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein.errors import EngineFailure, FailureCause
from checkrein.rule_answer import UNDEFINED, verdict_of
from checkrein.vocabulary import Effect, Obligation, Reason

RULE = "data.checkrein.pre_prompt.decision"
DENY = "data.main.deny"
REDACT = {"type": "redact", "properties": {"types": ["email"]}}


def permits(*obligations, reasons=()):
    return Effect.PERMIT, reasons, obligations


def denies(*reasons, obligations=()):
    return Effect.DENY, reasons, obligations


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (RULE, True, permits()),
        (RULE, False, denies()),
        (RULE, UNDEFINED, (Effect.NOT_APPLICABLE, (), ())),
        (DENY, UNDEFINED, (Effect.NOT_APPLICABLE, (), ())),
        (RULE, {"allow": True}, permits()),
        (RULE, {"allow": False}, denies()),
        (RULE, {"allow": True, "reasons": [], "obligations": []}, permits()),
        (RULE, {"allow": False, "reasons": ["no"]}, denies(Reason(code="denied", message="no"))),
        (
            RULE,
            {"allow": True, "reasons": ["yes"]},
            permits(reasons=(Reason(code="permitted", message="yes"),)),
        ),
        (RULE, {"allow": False, "reasons": [{"code": "a.b"}]}, denies(Reason(code="a.b"))),
        (RULE, {"allow": False, "reasons": [{"msg": "m"}]}, denies(Reason(code="denied", message="m"))),
        (
            RULE,
            {"allow": False, "reasons": [{"code": "b", "msg": "1"}, {"code": "a", "message": "2"}]},
            denies(Reason(code="b", message="1"), Reason(code="a", message="2")),
        ),
        (
            RULE,
            {"allow": True, "obligations": [REDACT, {"type": "no_store", "id": "n"}]},
            permits(
                Obligation(type="redact", properties={"types": ["email"]}),
                Obligation(type="no_store", id="n"),
            ),
        ),
        (
            RULE,
            {"allow": False, "obligations": [{"type": "no_store"}]},
            denies(obligations=(Obligation(type="no_store"),)),
        ),
        (DENY, [], permits()),
        (DENY, ["no"], denies(Reason(code="denied", message="no"))),
        (DENY, [{"code": "a.b", "msg": "m"}], denies(Reason(code="a.b", message="m"))),
        (DENY, [{"msg": "m", "details": {"x": 1}}], denies(Reason(code="denied", message="m"))),
        (DENY, [{}], denies(Reason(code="denied"))),
        (DENY, True, denies()),
        (DENY, False, permits()),
        ("data.main.violation", ["no"], denies(Reason(code="denied", message="no"))),
        ("data.main.deny_models", ["no"], denies(Reason(code="denied", message="no"))),
        ("data.main.deny_models", True, denies()),
    ],
)
def test_answers_that_count(rule, value, expected):
    verdict = verdict_of(rule, value, revision="r1")
    assert (verdict.effect, verdict.reasons, verdict.obligations) == expected
    assert verdict.policy_ids == (rule,)
    assert verdict.revision == "r1"


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (RULE, None),
        (RULE, 1),
        (RULE, "true"),
        (RULE, "<undefined> "),
        (RULE, []),
        (RULE, ["no"]),
        (RULE, {}),
        (RULE, {"reasons": []}),
        (RULE, {"allow": None}),
        (RULE, {"allow": 1}),
        (RULE, {"allow": "true"}),
        (RULE, {"allow": True, "obligation": [REDACT]}),
        (RULE, {"allow": True, "Obligations": [REDACT]}),
        (RULE, {"allow": True, "deny": []}),
        (RULE, {"allow": True, "reasons": None}),
        (RULE, {"allow": True, "reasons": "no"}),
        (RULE, {"allow": True, "reasons": {"code": "a"}}),
        (RULE, {"allow": False, "reasons": [1]}),
        (RULE, {"allow": False, "reasons": [None]}),
        (RULE, {"allow": False, "reasons": [["a"]]}),
        (RULE, {"allow": False, "reasons": [{"code": ""}]}),
        (RULE, {"allow": False, "reasons": [{"code": 1}]}),
        (RULE, {"allow": False, "reasons": [{"msg": 1}]}),
        (RULE, {"allow": False, "reasons": [{"msg": "a", "message": "b"}]}),
        (RULE, {"allow": False, "reasons": [{"code": "a", "text": "b"}]}),
        (RULE, {"allow": True, "obligations": None}),
        (RULE, {"allow": True, "obligations": REDACT}),
        (RULE, {"allow": True, "obligations": ["redact"]}),
        (RULE, {"allow": True, "obligations": [{}]}),
        (RULE, {"allow": True, "obligations": [{"type": ""}]}),
        (RULE, {"allow": True, "obligations": [{"type": 1}]}),
        (RULE, {"allow": True, "obligations": [{"type": "redact", "types": ["email"]}]}),
        (RULE, {"allow": True, "obligations": [{"type": "redact", "properties": None}]}),
        (RULE, {"allow": True, "obligations": [{"type": "redact", "properties": []}]}),
        (RULE, {"allow": True, "obligations": [{"type": "redact", "id": None}]}),
        (RULE, {"allow": True, "obligations": [{"type": "redact", "id": 1}]}),
        (DENY, None),
        (DENY, 0),
        (DENY, ""),
        (DENY, {}),
        (DENY, {"no": True}),
        (DENY, [1]),
        (DENY, [True]),
        (DENY, [None]),
        (DENY, [["no"]]),
        (DENY, [{"code": 1}]),
        (DENY, [{"msg": 1}]),
        ("data.main.denying", []),
        ("data.main.violations", []),
        ("data.main.allow_deny", []),
        ("data.deny.allow", []),
    ],
)
def test_answers_that_do_not_count(rule, value):
    with pytest.raises(EngineFailure) as caught:
        verdict_of(rule, value)
    assert caught.value.cause is FailureCause.INVALID_ANSWER
    assert rule in caught.value.detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["allow", "type"]), inner),
)


@given(st.sampled_from([RULE, DENY]), JSON)
def test_only_true_or_an_empty_set_of_reasons_ever_permits(rule, value):
    try:
        verdict = verdict_of(rule, value)
    except EngineFailure:
        return
    if verdict.effect is Effect.PERMIT:
        allowed = value.get("allow") if isinstance(value, dict) else value
        assert allowed is True if rule == RULE or isinstance(value, dict) else value is False or value == []


@given(st.dictionaries(st.text(min_size=4), st.just("prompt text"), min_size=1))
def test_no_text_of_an_answer_stands_in_the_failure(value):
    with pytest.raises(EngineFailure) as caught:
        verdict_of(RULE, {"allow": True, **{f"leak {key}": one for key, one in value.items()}})
    assert "leak" not in str(caught.value)
    assert "prompt text" not in str(caught.value)
