"""A value of the wrong kind opens no pack in any language.

Which code a refusal has differs: a language of types can say no more than that the request cannot be judged.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkrein.obligations import allowed_at
from checkrein.vocabulary import AccessRequest, Entity, Stage

NO_NUMBERS = (True, False, "", "0", "1", "100000", "\u00e9", [], [1], {}, {"a": 1})
NO_LISTS = (True, 1, "x", "", {}, {"x": "admin"}, {"admin": True}, {"x": "assistants"}, {"x": "analyst"})


@pytest.fixture(scope="module")
def answers(languages_of):
    """`answers(pack, request)`: whether each language permits, by its name."""
    points = {pack: languages_of(pack) for pack in ("access", "baseline", "tools", "usage")}
    return lambda pack, request: {
        name: point.decide(request).permitted for name, point in points[pack].items()
    }


def selected(*, usage=None, **properties):
    return AccessRequest(
        stage=Stage.MODEL_SELECTION,
        subject=Entity(type="user", id="ed", properties=properties),
        resource=Entity(type="model", id="gpt-4o-mini"),
        context={} if usage is None else {"usage": usage},
        supports=allowed_at(Stage.MODEL_SELECTION),
    )


def called(roles):
    return AccessRequest(
        stage=Stage.TOOL_CALL,
        subject=Entity(type="user", id="ed", properties={"roles": roles}),
        resource=Entity(type="tool", id="search_documents"),
        context={"tool": {"arguments": {"query": "x"}}},
        supports=allowed_at(Stage.TOOL_CALL),
    )


def refused(told):
    return len(told) == 5 and not any(told.values())


BUDGETS = [
    pair
    for value in NO_NUMBERS
    for pair in (
        {"spent_micros": value, "limit_micros": 20_000},
        {"spent_micros": 0, "limit_micros": value},
        {"spent_micros": value, "limit_micros": value},
    )
]


@pytest.mark.parametrize("budget", [*BUDGETS, {"spent_micros": "100000", "limit_micros": "20000"}], ids=repr)
def test_a_budget_that_is_no_number_permits_nothing(answers, budget):
    assert refused(answers("baseline", selected(usage=budget, tier="pro")))
    assert refused(answers("usage", selected(usage=budget)))
    assert refused(answers("usage", selected(usage={"team": budget})))


QUOTAS = [
    pair
    for value in NO_NUMBERS
    for pair in (
        {"requests": value, "quota": 20},
        {"requests": 0, "quota": value},
        {"requests": value, "quota": value},
    )
]


@pytest.mark.parametrize("quota", [*QUOTAS, {"requests": "100", "quota": "20"}], ids=repr)
def test_a_quota_that_is_no_number_permits_nothing(answers, quota):
    assert refused(answers("usage", selected(usage=quota)))


@pytest.mark.parametrize("names", NO_LISTS, ids=repr)
def test_what_is_no_list_names_no_role_and_no_group(answers, names):
    assert refused(answers("access", selected(roles=names)))
    assert refused(answers("access", selected(groups=names)))
    assert refused(answers("tools", called(names)))


def test_numbers_and_lists_still_permit(answers):
    budget = {"spent_micros": 0, "limit_micros": 20_000}
    assert all(answers("baseline", selected(usage=budget, tier="pro")).values())
    assert all(answers("usage", selected(usage={**budget, "requests": 0, "quota": 1})).values())
    assert all(answers("access", selected(roles=["admin"])).values())
    assert all(answers("tools", called(["admin"])).values())


NUMBERS = st.sampled_from([0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
ANY = st.none() | NUMBERS | st.sampled_from(NO_NUMBERS)
COUNTERS = {"spent_micros": ANY, "limit_micros": ANY, "requests": ANY, "quota": ANY}


def test_no_language_permits_by_counters_what_another_one_refuses_as_over_a_limit_or_unknown(answers):
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        usage=st.fixed_dictionaries(
            {}, optional={**COUNTERS, "team": st.fixed_dictionaries({}, optional=COUNTERS)}
        )
    )
    def agree(usage):
        told = answers("usage", selected(usage=usage))
        assert len(set(told.values())) == 1, told

    agree()
