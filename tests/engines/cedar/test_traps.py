"""What callers and models can write must stay data; what Cedar has no value for is refused."""

import threading

import pytest

from checkrein.errors import EngineFailure
from checkrein.vocabulary import Effect, Entity, Stage

ALICE_ALONE = '@id("alice") permit(principal == User::"alice", action, resource);'
OPEN = "permit(principal, action, resource);"
IDS = [
    'alice" || true || "',
    'alice"); permit(principal, action, resource); //',
    "alice\\",
    'alice\\"',
    "\\",
    '"',
    "alice\n",
    "alice\r\n//",
    "alice\x00",
    "\x00",
    "",
    "\u202ealice",
    "alice\u0301",
    "ALICE",
    " alice",
    "🎉",
    'User::"alice"',
    '{"type":"User","id":"alice"}',
    "x" * 100_000,
]


@pytest.mark.parametrize("name", IDS)
def test_an_id_is_itself_whatever_is_in_it(load, asked, name):
    engine = load(ALICE_ALONE)
    other = Entity(type="user", id=name)
    assert engine.evaluate(asked(other)).effect is Effect.NOT_APPLICABLE
    assert engine.evaluate(asked(resource=Entity(type="model", id=name))).effect is Effect.PERMIT
    assert (
        load('permit(principal, action, resource in Group::"data");')
        .evaluate(asked(other, Entity(type="model", id="m", properties={"groups": [name, "data"]})))
        .effect
        is Effect.PERMIT
    )


@pytest.mark.parametrize("name", IDS)
def test_a_group_is_itself_whatever_is_in_its_name(load, asked, name):
    engine = load('permit(principal in Group::"admins", action, resource);')
    member = Entity(type="user", id="bob", properties={"groups": [name]})
    assert engine.evaluate(asked(member)).effect is Effect.NOT_APPLICABLE


@pytest.mark.parametrize("action", ["", 'submit_prompt" || "', "Action", "submit_prompt\x00"])
def test_an_action_is_itself_whatever_is_in_its_name(load, raw, action):
    engine = load('permit(principal, action == Action::"submit_prompt", resource);')
    assert engine.evaluate(raw(action=action)).effect is Effect.NOT_APPLICABLE


@pytest.mark.parametrize(
    "kind",
    [
        'User::"x"',
        "User",
        "a b",
        "",
        "a-b",
        "_x",
        "__cedar",
        "a::b",
        "é",
        "group",
        "role",
        "model_family",
        "action",
    ],
)
def test_a_type_that_is_no_name_or_that_of_a_group_is_rejected(load, asked, kind):
    engine = load(OPEN)
    for question in (asked(Entity(type=kind, id="x")), asked(resource=Entity(type=kind, id="x"))):
        with pytest.raises(EngineFailure) as failure:
            engine.evaluate(question)
        assert failure.value.cause == "request_rejected"


def test_a_user_named_as_a_group_is_not_in_it(load, asked):
    engine = load('permit(principal in Group::"admins", action, resource);')
    assert engine.evaluate(asked(Entity(type="user", id="admins"))).effect is Effect.NOT_APPLICABLE


def test_a_type_of_its_own_cannot_take_anothers_name(load, asked):
    engine = load('permit(principal == Person::"x", action, resource);', types={"user": "Person"})
    assert engine.evaluate(asked(Entity(type="user", id="x"))).effect is Effect.PERMIT
    with pytest.raises(EngineFailure, match="request_rejected"):
        engine.evaluate(asked(Entity(type="person", id="x")))


SYNTAX = [
    {"__entity": {"type": "Admin", "id": "x"}},
    {"__extn": {"fn": "decimal", "arg": "1.0"}},
    {"__expr": "principal"},
    {"__other": 1},
    {"__": 1},
    [{"a": [{"__entity": {"type": "Admin", "id": "x"}}]}],
]


@pytest.mark.parametrize("value", SYNTAX)
def test_a_key_that_could_be_syntax_is_rejected_anywhere(load, asked, value):
    # No policy looks at any of it: the answer must not hang on which facts are needed.
    engine = load(OPEN)
    for question in (
        asked(Entity(type="user", id="a", properties={"x": value})),
        asked(resource=Entity(type="model", id="a", properties={"x": value})),
        asked(stage=Stage.TOOL_CALL, tool={"arguments": {"who": value}}),
        asked(environment={"x": value}),
    ):
        with pytest.raises(EngineFailure) as failure:
            engine.evaluate(question)
        assert failure.value.cause == "request_rejected"
        assert "Admin" not in str(failure.value)


def test_an_entity_in_tool_arguments_never_becomes_one(load, asked):
    engine = load('permit(principal, action, resource) when { context.tool.arguments.who == Admin::"x" };')
    told = {"type": "Admin", "id": "x"}
    with pytest.raises(EngineFailure, match="request_rejected"):
        engine.evaluate(asked(stage=Stage.TOOL_CALL, tool={"arguments": {"who": {"__entity": told}}}))
    # Without a schema, nothing but the escape can be an entity.
    harmless = engine.evaluate(asked(stage=Stage.TOOL_CALL, tool={"arguments": {"who": told}}))
    assert harmless.effect is Effect.NOT_APPLICABLE


def test_a_value_may_start_with_underscores(load, asked):
    engine = load('permit(principal, action, resource) when { context.word == "__entity" };')
    assert engine.evaluate(asked(word="__entity")).effect is Effect.PERMIT
    assert engine.evaluate(asked(word="__entity", odd={'a"__b': 1, "a__": 1, "_": 1})).effect is Effect.PERMIT


def test_a_hosts_own_key_cannot_stand_in_for_a_derived_fact(load, asked):
    engine = load('permit(principal, action, resource) when { context.found.contains("us_ssn") };')
    assert engine.evaluate(asked(found=["us_ssn"])).effect is Effect.NOT_APPLICABLE


@pytest.mark.parametrize(
    "groups", [5, 5.5, True, {"admins": True}, [["admins"]], ["admins", 1], [{}], ["x", None]]
)
def test_groups_that_are_no_names_are_rejected(load, asked, groups):
    with pytest.raises(EngineFailure) as failure:
        load(OPEN).evaluate(asked(Entity(type="user", id="a", properties={"groups": groups})))
    assert failure.value.cause == "request_rejected"
    assert failure.value.detail == "`groups` must be a name or a list of names"


@pytest.mark.parametrize("groups", [None, [], "", [""]])
def test_no_groups_are_no_groups(load, asked, groups):
    engine = load(f'{OPEN} forbid(principal in Group::"suspended", action, resource);')
    member = Entity(type="user", id="a", properties={"groups": groups})
    assert engine.evaluate(asked(member)).effect is Effect.PERMIT


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.1, "0.1"),
        (0.002, "0.002"),
        (0.00001, "0.0001"),
        (0.12341, "0.1235"),
        (1.0, "1.0"),
        (-0.12341, "-0.1234"),
        (-0.00001, "0.0"),
        (-0.0, "0.0"),
        (123456789.12345, "123456789.1235"),
        (5e-324, "0.0001"),
        (9.2e14, "920000000000000.0"),
        (2.5e-06, "0.0001"),
    ],
)
def test_a_float_is_a_decimal_rounded_up_to_four_places(load, asked, number, written):
    engine = load(f'permit(principal, action, resource) when {{ context.price == decimal("{written}") }};')
    assert engine.evaluate(asked(price=number)).effect is Effect.PERMIT


@pytest.mark.parametrize("number", [1e15, -1e15, 1e300, float("inf"), float("-inf"), float("nan")])
def test_a_float_that_is_no_decimal_is_rejected_where_a_policy_reads_it(load, raw, number):
    engine = load('permit(principal, action, resource) when { context.price.lessThan(decimal("1.0")) };')
    with pytest.raises(EngineFailure, match="request_rejected"):
        engine.evaluate(raw(context={"price": number}))


def test_the_largest_integers_are_themselves(holds):
    assert holds("context.n == 9223372036854775807", n=2**63 - 1)
    # The language has no literal for the smallest.
    assert holds("context.n < -9223372036854775807", n=-(2**63))


def test_null_is_absent(holds, asked):
    assert holds("!(context has a) && !(principal has b) && context.list == [1]", a=None, list=[None, 1])


@pytest.mark.parametrize(
    "context",
    [
        {"n": 2**63},
        {"n": "\ud800"},
        {"\ud800": 1},
        {"n": float("nan")},
        {"n": object()},
        {"n": {1, 2}},
    ],
)
def test_what_the_kernel_would_refuse_never_permits(load, raw, context):
    with pytest.raises(EngineFailure):
        load("permit(principal, action, resource) when { context.n == context.n };").evaluate(
            raw(context=context)
        )


@pytest.mark.parametrize("name", ["\ud800", "a\udfff"])
def test_a_lone_surrogate_in_an_id_is_rejected(load, raw, name):
    for question in (raw(subject={"id": name}), raw(resource={"id": name}), raw(action=name)):
        with pytest.raises(EngineFailure, match="request_rejected"):
            load(OPEN).evaluate(question)


@pytest.mark.parametrize("depth", [100, 130, 198, 300, 5000])
def test_deep_values_never_permit_what_a_policy_cannot_read(load, raw, depth):
    value = 1
    for _ in range(depth):
        value = [value]
    engine = load("permit(principal, action, resource) when { context.deep == context.deep };")
    if depth <= 100:
        assert engine.evaluate(raw(context={"deep": value})).effect is Effect.PERMIT
        return
    with pytest.raises(EngineFailure) as failure:
        engine.evaluate(raw(context={"deep": value}))
    assert failure.value.cause in ("engine_error", "request_rejected")


def test_a_deep_value_does_no_harm_to_a_small_stack(load, raw):
    engine = load("permit(principal, action, resource) when { context.deep == principal.deep };")
    deep = 1
    for _ in range(100):
        deep = {"a": [deep]}
    answers = []

    def ask():
        try:
            answers.append(
                engine.evaluate(raw(subject={"properties": {"deep": deep}}, context={"deep": deep}))
            )
        except EngineFailure as failure:
            answers.append(failure.cause)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert answers == ["engine_error"]


def test_subject_and_resource_cannot_be_one_entity(load, asked):
    same = Entity(type="tool", id="x")
    with pytest.raises(EngineFailure, match="request_rejected"):
        load(OPEN).evaluate(asked(same, same))


def test_a_prompt_that_no_policy_reads_is_not_handed_over(load, asked):
    engine = load(
        "permit(principal, action, resource) when { context.prompt.length == 5 && context has prompt };"
    )
    question, _ = engine._question(asked(text="Hello").document)
    assert question["context"] == '{"prompt":{"length":5}}'


def test_a_policy_can_read_the_text(holds):
    assert holds('context.prompt.text like "*secret*"', text="a secret.")
    assert not holds('context.prompt.text like "*secret*"', text="a SECRET.")


def test_a_computed_text_cannot_hide_syntax_either(load, raw):
    engine = load("permit(principal, action, resource) when { context.prompt == context.prompt };")
    prompt = {"text": '{"__entity": 1}', "segments": [{"__entity": {"type": "Admin", "id": "x"}}]}
    with pytest.raises(EngineFailure, match="request_rejected"):
        engine.evaluate(raw(context={"prompt": prompt}))
    assert engine.evaluate(raw(context={"prompt": {"text": '{"__entity": 1}'}})).effect is Effect.PERMIT
