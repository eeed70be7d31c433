"""Several requests at once have the answers that each alone has."""

import itertools

import pytest

from checkrein.errors import EngineFailure
from checkrein.vocabulary import Effect, Entity, Stage

POLICIES = """
@id("open") permit(principal, action, resource);
@id("small") @code("size") forbid(principal, action, resource)
when { principal.tier == "free" && resource.size != "small" };
@id("flag") @code("flag") forbid(principal, action, resource) when { principal.flag == 1 };
@id("count") forbid(principal, action, resource) when { context has count && context.count > 5 };
"""


def alone(engine, request):
    try:
        return engine.evaluate(request)
    except EngineFailure as failure:
        return failure.cause, failure.detail


def told(answer):
    return (answer.cause, answer.detail) if isinstance(answer, EngineFailure) else answer


def user(name="alice", **properties):
    return Entity(type="user", id=name, properties={"tier": "free", "flag": 0, **properties})


def models(*sizes):
    return [
        Entity(type="model", id=f"model{index}", properties={"size": size})
        for index, size in enumerate(sizes)
    ]


@pytest.fixture
def requests(asked):
    small, large, odd = models("small", "large", 5.5)
    bare = Entity(type="model", id="bare")
    return [
        asked(user(), small),
        asked(user(), large),
        asked(user(), bare),
        asked(user(tier="pro"), large),
        asked(user(flag=True), small),
        asked(user(flag=1), small),
        asked(user(flag=1.0), small),
        asked(user(), odd),
        asked(user(), Entity(type="model", id="model0", properties={"size": "large"})),
        asked(user(), small, count=6),
        asked(user(), small, count="6"),
        asked(user(), small, odd={"__entity": 1}),
        asked(user(groups=5), small),
        asked(user("bob", size="x"), Entity(type="user", id="alice", properties={"size": "small"})),
        asked(Entity(type="Odd", id="x"), small),
        asked(user(), small, stage=Stage.MODEL_SELECTION, text=""),
    ]


def test_the_answers_are_those_of_each_alone(load, requests):
    engine = load(POLICIES)
    expected = [alone(engine, request) for request in requests]
    assert [told(one) for one in engine.evaluate_many(requests)] == expected
    assert len({*map(repr, expected)}) > 5


def test_their_order_changes_nothing(load, requests):
    engine = load(POLICIES)
    for shift in range(len(requests)):
        turned = requests[shift:] + requests[:shift]
        assert [told(one) for one in engine.evaluate_many(turned)] == [alone(engine, one) for one in turned]


def test_true_and_one_are_two_values_of_one_user(load, asked):
    engine = load(POLICIES)
    small = models("small")[0]
    for flags in itertools.permutations((1, True, 1.0)):
        questions = [asked(user(flag=flag), small) for flag in flags]
        effects = {
            str(flag): answer.effect
            for flag, answer in zip(flags, engine.evaluate_many(questions), strict=True)
        }
        assert effects == {"1": Effect.DENY, "True": Effect.PERMIT, "1.0": Effect.PERMIT}


def test_candidates_do_not_see_one_another(load, asked):
    # A policy that looks at an entity by name would find the other candidate there.
    policies = (
        'permit(principal, action, resource) when { Model::"model0" has size && resource.size == "large" };'
    )
    engine = load(policies)
    small, large = models("small", "large")
    answers = engine.evaluate_many([asked(user(), small), asked(user(), large)])
    assert [answer.effect for answer in answers] == [Effect.NOT_APPLICABLE, Effect.NOT_APPLICABLE]


def test_nothing_asked_is_nothing_answered(load):
    assert load(POLICIES).evaluate_many([]) == []
