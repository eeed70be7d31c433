"""Leaving out what no policy looks at changes no answer: held against handing everything over."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkrein.errors import EngineFailure
from checkrein.vocabulary import Entity
from checkrein_cedar.entities import EntityStore, StableEntities
from checkrein_cedar.needs import Need, Needs, needs_of
from checkrein_cedar.policies import load_policies


class Everything(frozenset):
    def __contains__(self, _):
        return True


ALL = Needs(context=Need(whole=True), attributes=Everything(), others=True)
FILE = """[
  {"uid": {"type": "User", "id": "alice"},
   "attrs": {"peer": {"__entity": {"type": "User", "id": "bob"}}},
   "parents": [{"type": "Group", "id": "g"}]},
  {"uid": {"type": "User", "id": "bob"},
   "attrs": {"a": 1, "b": {"Var": "x"}, "peer": {"__entity": {"type": "User", "id": "alice"}}},
   "parents": [{"type": "Group", "id": "h"}], "tags": {"a": 1}},
  {"uid": {"type": "Model", "id": "gpt-4o"},
   "attrs": {"peer": {"__entity": {"type": "User", "id": "bob"}}},
   "parents": []},
  {"uid": {"type": "Group", "id": "g"},
   "attrs": {"a": 1, "b": {"Var": 1}, "peer": {"__entity": {"type": "User", "id": "bob"}}},
   "parents": [{"type": "Group", "id": "h"}]},
  {"uid": {"type": "Group", "id": "h"}, "attrs": {"a": 2}, "parents": []}
]"""

NAMES = st.sampled_from(["a", "b", "Var"])
ENTITIES = st.sampled_from(
    ["principal", "resource", 'User::"bob"', 'User::"alice"', 'Group::"g"', 'Group::"h"', "principal.peer"]
)
RECORDS = st.sampled_from(
    ["context", "context.a", "context.b.a", '{"Var": "context", "a": 1, "b": 1}', "principal.b"]
)


def conditions(entities, records):
    values = st.one_of(
        st.sampled_from(["1", '"x"', "true"]),
        st.builds("{}.{}".format, records, NAMES),
        st.builds("{}.a".format, entities),
        records,
        entities,
    )
    return st.one_of(
        st.builds("({} has {})".format, st.one_of(records, entities), NAMES),
        st.builds("({} == {})".format, values, values),
        st.builds("([{}].contains({}))".format, values, values),
        st.builds("({} in {})".format, entities, entities),
        st.builds("({} is User in {})".format, entities, entities),
        st.builds('({}.hasTag("a"))'.format, entities),
    )


def deeper(entities, records):
    """The same a level deeper: behind a condition, in a record, as an attribute."""
    asked = conditions(entities, records)
    return (
        st.one_of(
            entities,
            st.builds("(if {} then {} else {})".format, asked, entities, entities),
            st.builds('{{"a": {}}}.a'.format, entities),
            st.builds("{}.peer".format, entities),
        ),
        st.one_of(
            records,
            st.builds("(if {} then {} else {})".format, asked, records, records),
            st.builds("{{a: {}}}.a".format, records),
            st.builds("({}).b".format, entities),
        ),
    )


SIMPLE = conditions(*deeper(*deeper(ENTITIES, RECORDS)))
CONDITIONS = st.one_of(
    SIMPLE,
    st.builds("({} && {})".format, SIMPLE, SIMPLE),
    st.builds("({} || {})".format, SIMPLE, SIMPLE),
    st.builds("(!{})".format, SIMPLE),
)
PLAIN = st.sampled_from([1, 2, "x", True, None])
BELOW = st.fixed_dictionaries({"a": PLAIN, "b": PLAIN, "Var": PLAIN})
QUESTIONS = st.fixed_dictionaries(
    {
        "context": st.fixed_dictionaries(
            {"a": BELOW, "b": st.fixed_dictionaries({"a": BELOW, "b": PLAIN}), "Var": PLAIN, "c": PLAIN}
        ),
        "own": st.fixed_dictionaries({"a": PLAIN, "b": BELOW, "c": PLAIN}),
        "who": st.sampled_from(["alice", "bob", "eve"]),
    }
)


def answer(engine, request):
    try:
        return engine.evaluate(request)
    except EngineFailure as failure:
        return failure.cause


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conditions=st.lists(CONDITIONS, min_size=1, max_size=3), question=QUESTIONS)
def test_what_is_left_out_changes_no_answer(load, raw, conditions, question):
    effects = itertools.cycle(["permit", "forbid"])
    policies = "".join(
        f"{next(effects)}(principal, action, resource) when {{ {condition} }};" for condition in conditions
    )
    engine = load(policies, entities=FILE, stages=["pre_prompt"])
    full = load(policies, entities=FILE, stages=["pre_prompt"])
    full._needs = ALL
    full._store = EntityStore(StableEntities(FILE, "entities", None), full._names, ALL)
    request = raw(
        subject={"id": question["who"], "properties": question["own"]},
        resource={"properties": question["own"]},
        context={**question["context"], "findings": []},
    )
    assert answer(engine, request) == answer(full, request)


def needed(need):
    return True if need.whole else {key: needed(below) for key, below in need.keys.items()}


@pytest.mark.parametrize(
    ("condition", "context"),
    [
        ("context.a.b > 5", {"a": {"b": True}}),
        ("context has a", {"a": {}}),
        ("context has a.b && context.a.c == 1", {"a": {"b": {}, "c": True}}),
        ("context.a == 5 && context.a.b == 5", {"a": True}),
        ('context.a.b like "*x*"', {"a": {"b": True}}),
        ("context.a.b.lessThan(context.c)", {"a": {"b": True}, "c": True}),
        ("context.a.contains(context.b)", {"a": True, "b": True}),
        ("(if context.a then context.b else context.c).d == 1", {"a": True, "b": True, "c": True}),
        ("{a: context.b}.a.c == 1", {"b": True}),
        ('{"Var": "context"} == 1', {}),
        ('"context" == "x"', {}),
        ("context == 1", True),
        ("[context].contains(1)", True),
        ("{a: context}.a.b == 1", True),
        ("(if true then context else {}) has a", True),
        ("true", {}),
    ],
)
def test_what_a_policy_needs_of_the_context(tmp_path, condition, context):
    file = tmp_path / "a.cedar"
    file.write_text(f"permit(principal, action, resource) when {{ {condition} }};")
    assert needed(needs_of(load_policies(file, None, None).forms).context) == context


@pytest.mark.parametrize(
    ("condition", "others"),
    [
        ('principal in Group::"g" && principal.a == resource.b', False),
        ('resource in [Group::"g"] && principal is User in Group::"g"', False),
        ('principal == User::"bob" && action in Action::"x"', False),
        ("context.a.b.c == 1 && context.a has b", False),
        ('[User::"bob"].contains(principal)', False),
        ("principal.a.b == 1", True),
        ("principal.a has b", True),
        ('principal.a in Group::"g"', True),
        ('principal.a is User in Group::"g"', True),
        ("principal.a is User", False),
        ('User::"bob".a == 1', True),
        ('User::"bob" in Group::"g"', True),
        ('User::"bob" has a', True),
        ('principal.a.hasTag("x")', True),
        ('principal.hasTag("x")', False),
        ("(if true then principal else resource).a == 1", True),
        ("{a: principal}.a.b == 1", True),
    ],
)
def test_whether_a_policy_looks_at_other_entities(tmp_path, condition, others):
    file = tmp_path / "a.cedar"
    file.write_text(f"permit(principal, action, resource) unless {{ {condition} }};")
    assert needs_of(load_policies(file, None, None).forms).others is others


def test_large_hierarchies_are_not_copied_for_each_request(load, asked):
    groups = [
        {
            "uid": {"type": "Group", "id": f"g{index}"},
            "attrs": {},
            "parents": [{"type": "Group", "id": f"g{index // 10}"}] if index else [],
        }
        for index in range(2000)
    ]
    engine = load('permit(principal in Group::"g0", action, resource);', entities=groups)
    _, entities = engine._question(
        asked(Entity(type="user", id="a", properties={"groups": ["g1999"]})).document
    )
    assert len(engine._store.entities(entities)) == 2
