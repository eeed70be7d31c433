"""`by` picks by what a request really says: what is no name picks nothing, and a wrong key does not load."""

from pathlib import Path

import pytest

from checkrein.building import build_engine
from checkrein.combining import By, EngineNode
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import SettingsError
from checkrein.settings import Settings
from checkrein.testing import StaticEngine, deny, permit
from checkrein.vocabulary import Entity

STRICT, LENIENT = EngineNode(StaticEngine(deny("strict"))), EngineNode(StaticEngine(permit()))


@pytest.fixture
def picked(drive):
    """`picked(properties, key)`: which member answers; None for none of them."""

    def codes(request, key):
        tree = By(key, {"acme": STRICT, "42": STRICT, "True": STRICT, "true": STRICT}, LENIENT)
        pep = EnforcementPoint(tree, Settings(), record=lambda _: None)
        decision = drive(pep, request)
        return "lenient" if decision.permitted else decision.reasons[0].code

    return codes


@pytest.mark.parametrize(
    ("properties", "member"),
    [
        ({"tenant": "acme"}, "strict"),
        ({"tenant": "bolt"}, "lenient"),
        ({"tenant": None}, "lenient"),
        ({}, "lenient"),
        ({"tenant": 42}, "not_applicable"),
        ({"tenant": True}, "not_applicable"),
        ({"tenant": False}, "not_applicable"),
        ({"tenant": 0}, "not_applicable"),
        ({"tenant": ["acme"]}, "not_applicable"),
        ({"tenant": []}, "not_applicable"),
        ({"tenant": {"id": "acme"}}, "not_applicable"),
    ],
)
def test_a_value_that_is_no_string_picks_no_member(question, picked, properties, member):
    subject = Entity(type="user", id="alice", properties=properties)
    assert picked(question(subject=subject), "subject.properties.tenant") == member


@pytest.mark.parametrize(
    ("org", "member"),
    [({"id": "acme"}, "strict"), ({}, "lenient"), (None, "lenient"), ("acme", "not_applicable")],
)
def test_a_path_through_what_has_no_parts_picks_no_member(question, picked, org, member):
    subject = Entity(type="user", id="alice", properties={"org": org})
    assert picked(question(subject=subject), "subject.properties.org.id") == member


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("subject.propertes.tenant", "did you mean `properties`"),
        ("subjct.properties.tenant", "did you mean `subject`"),
        ("tenant", "known are: action, context, resource, stage, subject"),
        ("subject.tenant", "known are: id, properties, type"),
        ("action.nam", "did you mean `name`"),
        ("subject.id.x", "end the path before it"),
        ("stage.x", "end the path before it"),
        ("subject..x", "no `` there"),
        ("subject.properties..x", "empty part"),
        ("context.", "empty part"),
        ("", "no `` there"),
        ("subject", "name one of its parts"),
        ("subject.properties", "name one of its parts"),
        ("context", "name one of its parts"),
    ],
)
def test_a_key_that_names_nothing_does_not_load(key, hint):
    with pytest.raises(SettingsError) as refused:
        build_engine({"by": {"key": key, "cases": {"acme": {}}}}, base=Path())
    assert f"`{key}`" in str(refused.value)
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        "stage",
        "action.name",
        "subject.id",
        "resource.type",
        "resource.properties.a.b",
        "context.environment.host",
    ],
)
def test_a_key_that_names_a_value_goes_on_to_the_cases(key):
    with pytest.raises(SettingsError, match="exactly one key"):
        build_engine({"by": {"key": key, "cases": {"acme": {}}}}, base=Path())
