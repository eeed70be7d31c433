"""What does not load is refused with file, line and policy; what loads is what was written."""

import pytest

from checkrein.errors import PolicyLoadError, SettingsError
from checkrein.vocabulary import Effect, Entity

OPEN = "permit(principal, action, resource);"
SCHEMA = """
entity Group in [Group];
entity Model in [ModelFamily] = { size: String };
entity ModelFamily, Role;
entity User in [Group, Role] = { tier: String, level?: Long };
action llm;
action submit_prompt in [llm] appliesTo {
  principal: [User], resource: [Model], context: { found: Set<String>, usage?: { spent: Long } }
};
"""


@pytest.mark.parametrize(
    ("policies", "told"),
    [
        ("permit(principal, action resource);", "access.cedar:1"),
        (
            f'{OPEN}\n\n// x\n@id("b")\npermit(principal, action, resource)\nwhen {{ 0.5 > 1 }};',
            "access.cedar:4",
        ),
        (f"{OPEN}\npermit(principal, action, resource)", "access.cedar:2"),
        (f'{OPEN}\npermit(principal, action, resource) when {{ "a }};', "access.cedar:2"),
        (f'@id("a") @id("b") {OPEN}', "duplicate annotation"),
        (f'@id("a") {OPEN}\n@id("a") {OPEN}', "the id `a` is that of `access.cedar:1` too"),
        (f'@id("") {OPEN}', "`@id` is empty"),
        (f"@id {OPEN}", "`@id` is empty"),
        (f'@code("") {OPEN}', "`@code` is empty"),
        (f'@id("access.cedar:2") {OPEN}\n{OPEN}', "the id `access.cedar:2`"),
        ("", "hold no policy"),
        ("// nothing\n", "hold no policy"),
        (f"// a\r{OPEN}\n{OPEN}", "`access.cedar:1`: character `U+000D` hides code"),
        (f"{OPEN}\n// \u202e", "`access.cedar:2`: character `U+202E`"),
        (f"permit(principal, action, resource) when {{ {'(' * 1000}true{')' * 1000} }};", "nests over"),
        (
            f"permit(principal, action, resource) when {{ {'if true then ' * 70}true{' else true' * 70} }};",
            "nests over",
        ),
        (
            f"permit(principal, action, resource) when {{ {' || '.join(['true'] * 3000)} }};",
            "nests too deeply",
        ),
    ],
)
def test_a_policy_that_does_not_load_is_named(load, policies, told):
    with pytest.raises(PolicyLoadError) as error:
        load(policies)
    assert told in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "redact",
        "{}",
        '{"type": "redact"}',
        "[1]",
        "[{}]",
        '[{"type": ""}]',
        '[{"type": 5}]',
        '[{"type": "redact", "types": ["a"]}]',
        '[{"type": "redact", "properties": []}]',
        '[{"type": "redact", "id": 5}]',
        '[{"type": "redact", "type": "no_store"}]',
        '[{"type": "set_parameters", "properties": {"a": NaN}}]',
        '[{"type": "set_parameters", "properties": {"a": 1e999}}]',
        '[{"type": "redact"}',
        "[" * 2000,
    ],
)
def test_a_malformed_obligation_does_not_load(load, text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    with pytest.raises(PolicyLoadError, match=r"`access.cedar:2`: `@obligation` is malformed"):
        load(f'{OPEN}\n@obligation("{escaped}") {OPEN}')


@pytest.mark.parametrize("name", ["obligations", "Obligation", "obligaton", "obligate"])
def test_a_misspelt_obligation_does_not_permit_without_it(load, name):
    with pytest.raises(PolicyLoadError, match=f"`@{name}` is unknown; write `@obligation`"):
        load(f'@{name}("[]") {OPEN}')


def test_other_annotations_are_their_authors(load, asked):
    engine = load(f'@owner("security") @description("x") @advice("y") {OPEN}')
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_a_long_list_of_words_loads(load, asked):
    words = " || ".join(f'context.prompt.text like "*word{index}*"' for index in range(400))
    engine = load(f"{OPEN} forbid(principal, action, resource) when {{ {words} }};")
    assert engine.evaluate(asked(text="word399")).effect is Effect.DENY
    assert engine.evaluate(asked(text="word")).effect is Effect.PERMIT


def test_strings_and_comments_do_not_end_a_policy(load, asked):
    policies = (
        '@id("a;b") permit(principal, action, resource) // ; forbid\n when { context.word == "};\\"; //" };\n'
        '@id("c") forbid(principal == User::"//", action, resource);'
    )
    engine = load(policies)
    assert engine.evaluate(asked(word='};"; //')).policy_ids == ("a;b",)
    assert engine.locate("a;b") == ("access.cedar", 1)
    assert engine.locate("c") == ("access.cedar", 3)


def test_a_folder_is_read_in_the_order_of_its_names(load, write, asked):
    write("rules/b/two.cedar", f"\n{OPEN} // no line end")
    write("rules/a.cedar", "// only words")
    write("rules/c.cedar", OPEN)
    write("rules/.hidden/x.cedar", "nonsense")
    write("rules/.y.cedar", "nonsense")
    write("rules/notes.txt", "nonsense")
    engine = load({"in": "rules"})
    assert engine.evaluate(asked()).policy_ids == ("b/two.cedar:2", "c.cedar:1")


def test_a_file_that_is_no_utf8_is_refused(load, tmp_path):
    (tmp_path / "bad.cedar").write_bytes(b"\xff")
    with pytest.raises(PolicyLoadError, match=r"`bad\.cedar` is not UTF-8"):
        load({"in": "bad.cedar"})


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (
            'permit(principal, action, resource) when { principal.teir == "x" };',
            "attribute `teir` on entity type `User`",
        ),
        (
            "permit(principal, action, resource) when { context.usage.spent > 3 };",
            "optional attribute `usage`",
        ),
        ("permit(principal, action, resource) when { context.found == 3 };", "Long and Set<String>"),
        ('permit(principal == Usr::"a", action, resource);', "Usr"),
        ('permit(principal, action == Action::"submit_promt", resource);', "unrecognized action"),
    ],
)
def test_a_schema_refuses_what_does_not_fit_and_says_where(load, policy, told):
    with pytest.raises(PolicyLoadError) as error:
        load(f'{OPEN}\n\n@id("typo") {policy}', schema=SCHEMA)
    assert str(error.value).startswith("`access.cedar:3` (`typo`): ")
    assert told in str(error.value)
    assert "policy1" not in str(error.value)


def test_a_schema_is_not_held_against_requests(load, asked):
    engine = load(
        'permit(principal in Group::"data", action, resource);', schema=SCHEMA, stages=["pre_prompt"]
    )
    assert engine.evaluate(asked(undeclared={"a": 1})).effect is Effect.PERMIT


def test_a_schema_may_be_json(load, write):
    applies = {"principalTypes": ["User"], "resourceTypes": ["Model"]}
    entities = {"User": {}, "Model": {}}
    write("s.json", {"": {"entityTypes": entities, "actions": {"submit_prompt": {"appliesTo": applies}}}})
    load(OPEN, schema={"in": "s.json"})
    with pytest.raises(PolicyLoadError, match="attribute `tier` on entity type `User`"):
        load("permit(principal, action, resource) when { principal.tier == 1 };", schema={"in": "s.json"})


@pytest.mark.parametrize("text", ["entity User in;", "{", "entity User; entity User;"])
def test_what_is_no_schema_does_not_load(load, text):
    with pytest.raises(PolicyLoadError, match=r"`access\.cedarschema` is no Cedar schema"):
        load(OPEN, schema=text)


@pytest.mark.parametrize(
    ("entities", "told"),
    [
        ("{", "is no JSON"),
        ("{}", "must be an array"),
        ("[1]", "must be an array"),
        ([{"uid": {"type": "Group", "id": "a"}, "attrs": {}}], 'entity `0`, `Group::"a"`, is malformed'),
        (
            [
                {"uid": {"type": "Group", "id": "a"}, "attrs": {}, "parents": []},
                {"uid": {"type": "User", "id": 'b"'}, "attrs": {"tier": None}, "parents": []},
            ],
            'entity `1`, `User::"b\\""`, is malformed',
        ),
        (
            [{"uid": {"type": "Group", "id": "a"}, "atrs": {}, "attrs": {}, "parents": []}],
            "unknown key `atrs`",
        ),
        (
            [
                {"uid": {"type": "Group", "id": "a"}, "attrs": {}, "parents": [{"type": "Group", "id": "b"}]},
                {"uid": {"type": "Group", "id": "b"}, "attrs": {}, "parents": [{"type": "Group", "id": "a"}]},
            ],
            "transitive closure",
        ),
        ("[" * 3000, "is no JSON"),
    ],
)
def test_entities_that_do_not_load_are_named(load, entities, told):
    with pytest.raises(PolicyLoadError) as error:
        load(OPEN, entities=entities)
    assert told in str(error.value)


def test_entities_must_conform_to_the_schema(load):
    bob = {"uid": {"type": "User", "id": "bob"}, "attrs": {"teir": "pro"}, "parents": []}
    with pytest.raises(
        PolicyLoadError, match=r'`User::"bob"`, is malformed or does not conform to the schema'
    ):
        load(OPEN, schema=SCHEMA, entities=[bob], stages=["pre_prompt"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"types": {"user": "a b"}}, "`a b` is no name of Cedar"),
        ({"types": {"service": "User"}}, "`service` would be one with `user`: `User`"),
        (
            {"types": {"service": "A::User"}, "namespace": "A"},
            "`service` would be one with `user`: `A::User`",
        ),
        ({"types": {"team": "Group"}}, "`team` would be one with parents or actions"),
        ({"types": {"verb": "Action"}}, "`verb` would be one with parents or actions"),
        ({"parents": {"groups": "User"}}, "`user` would be one with parents or actions"),
        ({"namespace": "A::"}, "`A::` is no name of Cedar"),
        ({"policy": "x"}, "policy"),
        ({"schema": {"in": "none.cedarschema"}}, "does not exist"),
    ],
)
def test_options_that_cannot_hold_are_refused(load, options, told):
    with pytest.raises(SettingsError) as error:
        load(OPEN, **options)
    assert told in str(error.value)


def test_a_name_that_cedar_keeps_for_itself_is_refused(load):
    with pytest.raises(PolicyLoadError, match="`in`"):
        load(OPEN, types={"user": "in"})


GRANT = '@id("grant") permit(principal == ?principal, action, resource in ?resource);'
LINK = {
    "templateId": "grant",
    "newId": "x",
    "values": {"?principal": 'User::"alice"', "?resource": 'ModelFamily::"gpt"'},
}


def test_the_revision_is_that_of_everything_that_decides(load):
    group = {"uid": {"type": "Group", "id": "a"}, "attrs": {}, "parents": []}
    both = f"{OPEN} {GRANT}"
    engines = [
        load(both),
        load(both + " "),
        load(f"{OPEN} {GRANT} {OPEN}"),
        load(both, links=[LINK]),
        load(both, entities=[group]),
        load(both, types={"user": "Person"}),
        load(both, parents={"teams": "Team"}),
        load(both, namespace="A"),
    ]
    revisions = [engine.revision for engine in engines]
    assert revisions[0] == revisions[1]
    assert len({*revisions}) == len(revisions) - 1
    assert all(len(revision) == 16 for revision in revisions)


def test_a_thousand_and_one_policies(load, asked):
    others = "".join(
        f'@id("no{index}") forbid(principal == User::"user{index}", action, resource);\n'
        for index in range(1000)
    )
    engine = load(f'{others}@id("open") {OPEN}')
    assert engine.evaluate(asked()).policy_ids == ("open",)
    assert engine.evaluate(asked(Entity(type="user", id="user777"))).policy_ids == ("no777",)
