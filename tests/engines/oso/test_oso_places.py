"""Where the rules of a verdict stand, and where the words of a reason are written."""

import pytest

from checkrein import engine as protocols

POLICY = r"""# permit(_, _, _, _); deny(_, _, _, _, "of a comment");
resource Tool {
    permissions = ["wave"]; roles = ["of a block"];
    "wave" if "of a block";
}
allow(a, "x; permit(", [{n: a}, "permit"]) if a = "permit(" and x = {deny: "in a }"} and x.deny = "in a }";
allow(_, b, c) if
    b = c and has_permission(b, "wave", c);

type helper(x: String);
helper("permit");
permit(_s, _a,
       _r, _ctx);
obligation(s, _, _, _, o) if
    s.get("tier") = "pro" and
    o = {type: "redact", properties: {types: ["email"]}};
deny(s, _, _, _, "hat.missing") if s.get("hat") = true;

deny(_, "submit_prompt", _, ctx, {code: "pii", message: "say \"please\"\tand \\ \go"}) if
    "pii" in ctx.found;
?= not deny(new User("u", {}), "y", new Model("m", {}), new Context({found: []}), "of a test");
"""
SECOND = """deny(s, _, _, _, "hat.missing") if s.get("hat") = "cap";
has_role(u: User, name: String, _: Tool) if u.get("role") = name;
"""


@pytest.fixture
def engine(engine_of):
    return engine_of({"b.polar": POLICY, "c/d.polar": SECOND})


def test_every_rule_that_a_verdict_names_is_located_where_it_is_first_defined(engine, engine_of, request_of):
    assert isinstance(engine, protocols.LocatingEngine)
    verdict = engine.evaluate(request_of())
    assert [*verdict.policy_ids] == ["permit", "obligation"]
    assert [engine.locate(one) for one in verdict.policy_ids] == [("b.polar", 12), ("b.polar", 14)]
    assert engine.locate("deny") == ("b.polar", 17)


def test_a_lone_allow_is_located_by_the_number_of_its_parameters(engine_of, request_of):
    text = "type allow(x, y);\nallow(x, [_, y]) if x = y;\n\nallow(_s, [_, _, _], _r);\nallow(_s, _a, _r);"
    engine = engine_of(text)
    (named,) = engine.evaluate(request_of()).policy_ids
    assert engine.locate(named) == ("policy.polar", 4)


def test_what_no_verdict_names_is_nowhere(engine):
    for name in ("helper", "Tool", "has_permission", "", "permit(", "b.polar"):
        assert engine.locate(name) is None
    assert engine.locate("allow") == ("b.polar", 6)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("hat.missing", [("b.polar", 17), ("c/d.polar", 1)]),
        ("pii", [("b.polar", 19), ("b.polar", 20)]),
        ('say "please"\tand \\ go', [("b.polar", 19)]),
        ("of a block", [("b.polar", 3), ("b.polar", 4)]),
        ("in a }", [("b.polar", 6)]),
        ("wave", [("b.polar", 3), ("b.polar", 4), ("b.polar", 8)]),
        ("of a comment", ()),
        ("of a test", ()),
        ("hat", [("b.polar", 17), ("c/d.polar", 1)]),
        ("missing", ()),
        ("", ()),
    ],
    ids=str,
)
def test_the_words_of_a_reason_are_found_where_the_policies_write_them(engine, text, places):
    assert isinstance(engine, protocols.SearchableEngine)
    assert engine.find_literal(text) == places


def test_the_words_of_a_real_reason_lead_to_its_rule(engine_of, request_of):
    engine = engine_of('permit(_, _, _, _);\ndeny(_, _, _, _, "a\\nb\\\nc\\q") if true;\n')
    (reason,) = engine.evaluate(request_of()).reasons
    assert reason.code == "a\nb\ncq"
    assert engine.find_literal(reason.code) == [("policy.polar", 2)]


def test_no_odd_ending_is_taken_for_a_rule(engine_of):
    engine = engine_of("permit(_, _, _, _); # deny(_, _, _, _, _)\n#")
    assert engine.locate("permit") == ("policy.polar", 1)
    assert engine.locate("deny") is None
