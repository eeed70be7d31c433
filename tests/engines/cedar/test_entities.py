"""Groups, roles and families are parents; the settings' entities are parsed once and outrank the host."""

import pytest

from checkrein.errors import EngineFailure
from checkrein.vocabulary import Effect, Entity

OPEN = "permit(principal, action, resource);"


def entity(kind, name, *parents, **attrs):
    return {
        "uid": {"type": kind, "id": name},
        "attrs": attrs,
        "parents": [{"type": of, "id": parent} for of, parent in parents],
    }


def user(name="alice", **properties):
    return Entity(type="user", id=name, properties=properties)


def model(name="gpt-4o", **properties):
    return Entity(type="model", id=name, properties=properties)


HIERARCHY = [
    entity("Group", "data", ("Group", "staff")),
    entity("Group", "staff", ("Group", "everyone")),
    entity("Group", "everyone"),
    entity("ModelFamily", "gpt", ("ModelFamily", "openai")),
    entity("ModelFamily", "openai"),
]


@pytest.mark.parametrize(
    "condition",
    [
        'principal in Group::"data"',
        'principal in Group::"staff" && principal in Group::"everyone"',
        'principal in Role::"analyst"',
        'resource in ModelFamily::"gpt" && resource in ModelFamily::"openai"',
        'resource in [ModelFamily::"x", ModelFamily::"openai"]',
        'resource in Group::"eu"',
        '!(principal in Group::"other") && !(principal in Group::"analyst") && !(principal in Role::"data")',
        '!(principal in Group::"gpt") && !(resource in Group::"staff")',
        'principal.groups.contains("data") && principal.roles == ["analyst"] && resource.family == "gpt"',
    ],
)
def test_properties_name_parents_and_theirs(holds, condition):
    who = user(groups=["data"], roles=["analyst"])
    what = model(family="gpt", groups=["eu"])
    assert holds(condition, who, what, entities=HIERARCHY)


def test_one_group_may_be_given_by_its_name(holds):
    assert holds('principal in Group::"staff"', user(groups="data"), entities=HIERARCHY)


def test_a_group_that_the_file_does_not_know_is_a_group(holds):
    assert holds('principal in Group::"new"', user(groups=["new", "new"]), entities=HIERARCHY)


def test_the_settings_say_which_properties_are_parents(load, asked):
    engine = load('permit(principal in Team::"red", action, resource);', parents={"team": "Team"})
    assert engine.evaluate(asked(user(team="red"))).effect is Effect.PERMIT
    assert engine.evaluate(asked(user(groups=["red"]))).effect is Effect.NOT_APPLICABLE
    alone = load("permit(principal, action, resource);", parents={})
    assert alone.evaluate(asked(user(groups=5))).effect is Effect.PERMIT


def test_what_the_file_says_of_a_user_or_a_model_outranks_the_host(holds):
    file = [
        entity("User", "alice", ("Group", "suspended"), tier="free"),
        entity(
            "Model",
            "gpt-4o",
            ("ModelFamily", "openai"),
            size="large",
            price={"__extn": {"fn": "decimal", "arg": "0.5"}},
        ),
    ]
    who, what = user(tier="enterprise", groups=["data"], team="red"), model(size="small", region="eu")
    for condition in (
        'principal.tier == "free" && principal.team == "red"',
        'principal in Group::"suspended" && principal in Group::"data"',
        'resource.size == "large" && resource.region == "eu" && resource in ModelFamily::"openai"',
        'resource.price == decimal("0.5")',
    ):
        assert holds(condition, who, what, entities=file)


def test_a_schema_tells_what_the_files_values_are(load, asked):
    schema = """
    entity User; entity Model = { price?: decimal, owner?: User };
    action submit_prompt appliesTo { principal: User, resource: Model };
    """
    file = [entity("Model", "gpt-4o", price="0.5", owner={"type": "User", "id": "alice"})]
    policy = """
    permit(principal, action, resource) when {
      resource has price && resource.price == decimal("0.5")
      && resource has owner && resource.owner == principal
    };
    """
    engine = load(policy, schema=schema, entities=file)
    assert engine.evaluate(asked(user(), model())).effect is Effect.PERMIT


def test_entities_that_others_name_can_be_looked_into(holds):
    file = [
        entity("Model", "gpt-4o", owner={"__entity": {"type": "User", "id": "bob"}}),
        entity("User", "bob", ("Group", "staff"), level=5),
        entity("Group", "staff", motto="x"),
    ]
    for condition in (
        "resource.owner.level == 5",
        'resource.owner in Group::"staff"',
        'resource.owner has level && resource.owner is User in Group::"staff"',
        'User::"bob".level == 5 && Group::"staff".motto == "x"',
        '(if principal.tier == "x" then resource else Model::"gpt-4o").owner.level == 5',
        "{o: resource.owner}.o.level == 5",
    ):
        assert holds(condition, user(tier="pro"), model(), entities=file)


def test_an_owner_is_an_owner_as_subject_too(holds):
    file = [
        entity("Model", "gpt-4o", owner={"__entity": {"type": "User", "id": "bob"}}),
        entity("User", "bob", level=5),
    ]
    for condition in (
        "resource.owner == principal",
        "resource.owner.level == 5 && resource.owner.tier == principal.tier",
    ):
        assert holds(condition, user("bob", tier="pro", level=1), model(), entities=file)
        assert not holds("resource.owner == principal", user("alice", tier="pro"), model(), entities=file)


def test_a_groups_own_attributes_are_seen_by_name(holds):
    file = [*HIERARCHY[:2], entity("Group", "everyone", open=True)]
    assert holds('Group::"everyone".open', entities=file)


def test_tags_of_the_file_are_seen(load, asked):
    file = [{**entity("User", "alice"), "tags": {"clearance": "high"}}]
    policy = """
    permit(principal, action, resource)
    when { principal.hasTag("clearance") && principal.getTag("clearance") == "high" };
    """
    engine = load(policy, entities=file)
    assert engine.evaluate(asked(user())).effect is Effect.PERMIT
    assert engine.evaluate(asked(user("bob"))).effect is Effect.NOT_APPLICABLE


def test_a_host_cannot_give_tags(load, asked):
    engine = load('permit(principal, action, resource) when { principal.hasTag("a") };')
    assert engine.evaluate(asked(user(tags={"a": 1}))).effect is Effect.NOT_APPLICABLE


def test_a_cycle_through_a_users_group_is_no_permit(load, asked):
    engine = load(OPEN, entities=[entity("Group", "odd", ("User", "alice"))])
    with pytest.raises(EngineFailure) as failure:
        engine.evaluate(asked(user(groups=["odd"])))
    assert failure.value.cause == "engine_error"
    assert engine.evaluate(asked(user("bob", groups=["odd"]))).effect is Effect.PERMIT


def test_one_users_properties_are_never_anothers(load, asked):
    engine = load('permit(principal in Group::"admins", action, resource) when { principal.level == 1 };')
    for level, groups, permitted in (
        (1, ["admins"], True),
        (True, ["admins"], None),
        (2, ["admins"], False),
        (1, [], False),
    ):
        for _ in range(2):
            verdict = engine.evaluate(asked(user(level=level, groups=groups)))
            assert (verdict.effect is Effect.PERMIT) is bool(permitted)


def test_what_is_remembered_of_requests_is_bounded(load, asked):
    engine = load("permit(principal, action, resource) when { principal.note != resource.note };")
    for index in range(1100):
        engine.evaluate(asked(user(f"user{index}", note="x"), model(note="y")))
    assert engine._store._remembered.cache_info().currsize == 1024
    before = engine._store._remembered.cache_info().misses
    engine.evaluate(asked(user(note="x" * 5000), model(note="y")))
    assert engine._store._remembered.cache_info().misses == before
    engine.close()
    assert engine._store._remembered.cache_info().currsize == 0
