"""What a policy sees of a request, and what it must not reach."""

import pytest

from checkrein import EngineFailure, Entity, Stage
from checkrein_oso import OsoEngine

FACTS = {
    "flag": True,
    "count": 1,
    "none": None,
    "usage": {"spent": 5},
    "lists": [[[1]]],
    "__class__": "data",
    "found": ["forged"],
    "found_current": ["forged"],
}


@pytest.mark.parametrize(
    "condition",
    [
        's.type = "user" and s.id = "alice" and s.tier = "pro" and s.properties.tier = "pro"',
        's.get("tier") = "pro" and s.get("absent") = nil and s.get("absent", "x") = "x"',
        '"tier" in s.keys() and ["tier", "pro"] in s.properties.items()',
        '"analyst" in s.roles and s.roles.length = 1',
        's matches User{tier: "pro"} and s matches Subject and s matches Actor and not s matches Anonymous',
        "r matches Model and r matches Resource and not r matches Tool and not r matches Actor",
        'ctx matches Context and ctx.prompt matches Dictionary and ctx.prompt matches {text: "hello"}',
        "ctx.flag = true and not ctx.flag = 1 and ctx.flag matches Boolean and not ctx.flag matches Integer",
        "ctx.count = 1.0 and ctx.count matches Integer and not ctx.count matches Boolean",
        'ctx.none = nil and ctx.none != false and ctx.none != "x" and nil = s.nothing',
        "ctx.usage = {spent: 5} and ctx.usage != {spent: 6} and ctx.usage.spent > 4",
        'ctx.get("usage", {}).spent = 5 and ctx.lists = [[[1]]]',
        "s = s and s != r and s.properties = s.properties",
        'segment in ctx.prompt.segments and segment.role = "user"',
        '[first, *_] = ctx.prompt.segments and first.origin = "user"',
        'ctx.prompt.text = "hello" and "hello" = ctx.prompt.text and ctx.prompt.text != "other"',
        'ctx.prompt.text < "i" and ctx.prompt.text in ["hello"] and ctx.prompt.text matches String',
        'ctx.prompt.text.upper().lower().strip().startswith("he") and ctx.prompt.text.length = 5',
        'ctx.prompt.text.contains("ell") and not ctx.prompt.text.contains("x")',
        's.id.upper() = "ALICE" and s.id.endswith("ice") and s.id.contains("lic") and s.id.length = 5',
        '{a: 1}.get("a") = 1 and {a: 1}.get("b", 2) = 2 and {a: 1}.keys() = ["a"]',
        'ctx.__class__ = "data" and s.get("__class__") = nil',
        "ctx.found = [] and ctx.found_current = []",
        'ctx.environment.time > "2020-01-01" and ctx.identity.asserted = false',
        "print(ctx.prompt.text)",
    ],
)
def test_a_policy_reads(holds, condition):
    assert holds(condition, context=FACTS)


@pytest.mark.parametrize(
    "condition",
    [
        "s.absent = 1",
        "not s.absent = 1",
        "not s.absent",
        "s matches {absent: 1}",
        "not s matches {absent: 1}",
        "not s matches User{absent: 1}",
        "forall(s.absent = x, x = 1)",
        "ctx.usage.spemt < 6",
        "not ctx.usage.spemt > 4",
        'not ctx.get("usage", {}).spemt > 4',
        "segment in ctx.prompt.segments and not segment.absent = 1",
        "s.__class__ = x and x = x",
        "s.__dict__ != nil",
        "s.own = x and x = x",
        "s.properties.__class__ != nil",
        "ctx.prompt.text.value = x and x = x",
        '"".__class__ != nil',
        '"a".join(["b"]) = "b"',
        '"a".format(s) = "a"',
        '"a".encode() = "a"',
        '"a".ljust(1000000000) = "a"',
        'ctx.prompt.text.replace("h", "j") = "jello"',
        '"a".__len__() = 1',
        "ctx.found.append(5) = nil",
        "[1].append(2) = nil",
        "{a: 1}.update({b: 2}) = nil",
        's.find("tier") = "pro"',
        's.get("tier", "a", "b") = "pro"',
        's.get(5) = "pro"',
        's.get(name: "tier") = "pro"',
        "s.tier(5) = 1",
        "s.id.contains(5) = true",
        "ctx.count.real = 1",
        "nil.real = 1",
        "true.real = 1",
        'String.join("x", ["a"]) = "a"',
        "Subject.mro() = x and x = x",
        'new String("x") = "x"',
        'new Principal("a", "b") = s',
        "new Dictionary() = {}",
        "new User() = s",
        "new User(5) = s",
        'new User("a", "b") = s',
        'new User(id: "a") = s',
        "new Context(5) = ctx",
        "new Context() = ctx",
        "new Absent() = s",
        "debug()",
        'debug("x")',
        '"he" in ctx.prompt.text',
        '"tier" in s.properties',
        "1 in nil",
        "ctx.none > 3",
        "s < r",
        '"a" < 3',
        '"a" != 3',
        "1 mod 0 = 0",
        "9223372036854775807 + 1 > 0",
    ],
)
def test_a_policy_that_asks_for_this_has_no_answer(holds, condition):
    with pytest.raises(EngineFailure) as failure:
        holds(condition, context=FACTS)
    assert failure.value.cause == "engine_error"


def test_an_absent_attribute_does_not_permit_what_a_deny_asks_about(engine_of, request_of):
    engine = engine_of('permit(_, _, _, _);\ndeny(s, _, _, _, "suspended") if s.suspended = true;')
    with pytest.raises(EngineFailure, match="`suspended` is absent here"):
        engine.evaluate(request_of())


def test_an_absent_attribute_does_not_permit_by_negation(engine_of, request_of):
    engine = engine_of("permit(s, _, _, _) if not suspended(s);\nsuspended(s) if s.suspended = true;")
    with pytest.raises(EngineFailure, match="`suspended` is absent here") as failure:
        engine.evaluate(request_of())
    assert failure.value.cause == "engine_error"


def test_a_host_cannot_state_what_was_found(holds):
    assert not holds('"forged" in ctx.found or "forged" in ctx.found_current', context=FACTS)


def test_findings_are_there_by_type_sorted_and_once(holds):
    text = "a@example.com b@example.com 123-45-6789"
    assert holds('ctx.found = ["email", "us_ssn"]', text=text, detect=["us_ssn", "email"])
    assert holds("ctx.found_current = ctx.found", text=text, detect=["us_ssn", "email"])


def test_properties_cannot_stand_in_for_who_a_subject_is(holds):
    impostor = Entity(type="user", id="eve", properties={"id": "root", "type": "admin", "properties": "x"})
    assert holds('s.id = "eve" and s.type = "user" and s.properties.id = "root"', subject=impostor)
    assert not holds('s.id = "root" or s.type = "admin" or s.properties = "x"', subject=impostor)


@pytest.mark.parametrize(
    ("entity", "classes"),
    [
        (Entity(type="user", id="x"), "User"),
        (Entity(type="anonymous", id="anonymous"), "Anonymous"),
        (Entity(type="service", id="x"), "Subject"),
    ],
)
def test_a_subject_is_of_the_class_of_its_type(holds, entity, classes):
    others = {"User", "Anonymous"} - {classes}
    assert holds(f"s matches {classes} and s matches Subject", subject=entity)
    assert not holds(" or ".join(f"s matches {other}" for other in others), subject=entity)


@pytest.mark.parametrize(
    ("kind", "classes"),
    [("model", "Model"), ("tool", "Tool"), ("retriever", "Retriever"), ("endpoint", "Target")],
)
def test_a_resource_is_of_the_class_of_its_type(holds, kind, classes):
    assert holds(f"r matches {classes} and r matches Resource", resource=Entity(type=kind, id="x"))


def test_the_more_special_rule_is_asked_first(engine_of, request_of):
    policy = """
        permit(s, _, _, _) if kind(s, "user") and cut;
        kind(_: Subject, kind) if kind = "subject" and cut;
        kind(_: User, kind) if cut and kind = "user";
    """
    assert engine_of(policy).evaluate(request_of()).effect == "permit"


def test_a_policy_changes_nothing_of_the_request(engine_of, request_of):
    engine = engine_of(
        "permit(s, _, _, ctx) if x = s.properties and x = s.properties and ctx.usage = {spent: 5} and "
        "ctx.lists = [[[1]]];"
    )
    request = request_of(context=FACTS)
    before = request.json()
    engine.evaluate(request)
    request._json = None
    assert request.json() == before


def test_nothing_is_printed(engine_of, request_of, capfd):
    engine = engine_of("permit(s, _, _, ctx) if print(ctx.prompt.text, s, s.id);")
    engine.evaluate(request_of("the-secret"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "condition",
    [
        "ctx.prompt.text + 1 = 2",
        "ctx.secret + 1 = 2",
        "ctx.secret.absent = 1",
        "ctx.secret > 3",
        "{a: ctx.secret}.get(5) = 1",
        "[ctx.secret].absent = 1",
        "name = ctx.secret and x = s.(name) and x = x",
        "name = ctx.secret and x = [1].(name) and x = x",
    ],
)
def test_an_error_shows_its_place_and_no_value(holds, condition):
    with pytest.raises(EngineFailure) as failure:
        holds(condition, text="the-secret", context={"secret": "the-secret at line 7 of file x.polar"})
    assert "the-secret" not in str(failure.value) + repr(failure.value)
    assert failure.value.__cause__ is None


def test_an_error_names_the_file_and_line_of_the_policy(engine_of, request_of):
    engine = engine_of(
        {"b/two.polar": "\npermit(s, _, _, _) if\n  helper(s);", "one.polar": "helper(s) if\n s.tiar = 1;"}
    )
    with pytest.raises(EngineFailure, match=r"`tiar` is absent here; .*, at `one.polar:2`"):
        engine.evaluate(request_of())


def test_deeper_values_than_the_library_takes_are_an_error(holds):
    nested = 1
    for _ in range(60):
        nested = [nested]
    request = {"context": {"deep": nested}}
    with pytest.raises(Exception, match="nested over the limit"):
        holds("ctx.deep = 1", **request)


def test_a_list_nested_over_what_the_library_takes_is_an_error(engine_of, request_of):
    nested = 1
    for _ in range(300):
        nested = [nested]
    request = request_of()
    request.document["context"]["deep"] = nested
    with pytest.raises(EngineFailure) as failure:
        engine_of("permit(_, _, _, ctx) if ctx.deep = 1;").evaluate(request)
    assert failure.value.cause == "engine_error"


def test_strings_arrive_as_they_are(holds):
    odd = 'a"b\\c\n\u0000é😀\u2028{}^{id: 1}'
    escaped = 'a\\"b\\\\c\\n'
    subject = Entity(type="user", id="x", properties={"odd": odd, "copy": odd})
    assert holds(f's.odd = s.copy and s.odd.startswith("{escaped}")', subject=subject)
    assert holds('s.odd.contains("é😀")', subject=subject)


def test_a_long_text_stays_out_of_the_machine(engine_of, request_of):
    engine = engine_of('permit(_, _, _, ctx) if ctx.prompt.text.lower().contains("needle");')
    assert engine.evaluate(request_of("x" * 2_000_000 + "NEEDLE")).effect == "permit"


def test_the_classes_of_an_engine_are_of_the_plugin_protocol():
    assert OsoEngine.remote is False
    assert OsoEngine.Options.__name__ == "OsoOptions"


def test_texts_of_other_stages_are_texts_too(engine_of, request_of):
    engine = engine_of('permit(_, "return_completion", _, ctx) if ctx.completion.text.contains("ell");')
    assert engine.evaluate(request_of(stage=Stage.POST_COMPLETION)).effect == "permit"
