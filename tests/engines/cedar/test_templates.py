"""Templates decide through their links alone, and each link is held against the schema."""

import pytest

from checkrein.errors import PolicyLoadError
from checkrein.vocabulary import Effect, Entity

OPEN = "permit(principal, action, resource);"
SCHEMA = """
entity Group, ModelFamily, Role;
entity Model in [ModelFamily];
entity User in [Group, Role];
action submit_prompt appliesTo { principal: [User], resource: [Model] };
"""
GRANT = '@id("grant") @code("granted") permit(principal == ?principal, action, resource in ?resource);'
VALUES = {"?principal": 'User::"alice"', "?resource": {"type": "ModelFamily", "id": "gpt"}}


def test_a_template_permits_what_its_links_say(load, asked):
    engine = load(GRANT, links=[{"templateId": "grant", "newId": "alice-gpt", "values": VALUES}])
    verdict = engine.evaluate(asked())
    assert verdict.policy_ids == ("alice-gpt",)
    assert [reason.code for reason in verdict.reasons] == ["granted"]
    assert engine.locate("alice-gpt") == ("access.cedar", 1)
    assert engine.locate("grant") is None  # a template decides nothing, and no verdict names it
    bob = Entity(type="user", id="bob")
    assert engine.evaluate(asked(bob)).effect is Effect.NOT_APPLICABLE


def test_a_template_without_an_id_is_linked_by_file_and_line(load, asked):
    other = "forbid(principal == ?principal, action, resource);"
    link = {"templateId": "access.cedar:2", "newId": "policy0", "values": {"?principal": 'User::"alice"'}}
    assert load(f"{OPEN}\n{other}", links=[link]).evaluate(asked()).policy_ids == ("policy0",)


def test_a_template_alone_permits_nothing(load):
    with pytest.raises(PolicyLoadError, match="name no stage's action"):
        load(GRANT)


@pytest.mark.parametrize(
    ("links", "told"),
    [
        ("{", "json"),
        ({}, "should be"),
        ([{"templateId": "grant", "newId": "x"}], "`0.values`"),
        ([{"templateId": "grant", "newId": "x", "values": VALUES, "slots": {}}], "`0.slots`"),
        ([{"templateId": "grant", "newId": "", "values": VALUES}], "`0.newId`"),
        ([{"templateId": "none", "newId": "x", "values": VALUES}], "`none` is no template's"),
        ([{"templateId": "grant", "newId": "grant", "values": VALUES}], "the id `grant` is that of"),
        ([{"templateId": "grant", "newId": "x", "values": VALUES}] * 2, "the id `x` is that of"),
        (
            [{"templateId": "grant", "newId": "x", "values": {"?principal": 'User::"a"'}}],
            "does not fill the slots of `grant` (access.cedar:1)",
        ),
        (
            [{"templateId": "grant", "newId": "x", "values": {**VALUES, "?principal": "User:a"}}],
            "does not fill",
        ),
        ([{"templateId": "grant", "newId": "x", "values": {**VALUES, "?action": "x"}}], "link"),
    ],
)
def test_a_link_that_does_not_fit_is_named(load, links, told):
    with pytest.raises(PolicyLoadError) as error:
        load(GRANT, links=links)
    assert told in str(error.value)


def test_a_link_is_held_against_the_schema(load):
    values = {"?principal": 'Usr::"alice"', "?resource": 'ModelFamily::"gpt"'}
    with pytest.raises(PolicyLoadError, match=r"link `x`: .*Usr"):
        load(GRANT, links=[{"templateId": "grant", "newId": "x", "values": values}], schema=SCHEMA)


def test_a_quote_in_a_link_breaks_out_of_nothing(load, asked):
    name = 'bob" || true || "'
    values = {"?principal": {"type": "User", "id": name}, "?resource": {"type": "ModelFamily", "id": "gpt"}}
    engine = load(GRANT, links=[{"templateId": "grant", "newId": "x", "values": values}], schema=SCHEMA)
    assert engine.evaluate(asked()).effect is Effect.NOT_APPLICABLE
    assert engine.evaluate(asked(Entity(type="user", id=name))).effect is Effect.PERMIT
