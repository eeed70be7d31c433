"""Expressions of matchers: what holds, what is no answer, and what does not even load."""

import builtins

import casbin
import pytest
from subject_properties import PROPERTIES

from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError
from checkrein.vocabulary import Effect


@pytest.fixture
def judge(load, asked, rules):
    """Whether an expression holds, as a rule of a row, for a subject with `PROPERTIES`."""

    def judged(expression, **question):
        engine = load(rules, f"p, ask, {expression}, allow,\n")
        question = {"act": "ask", "properties": PROPERTIES, **question}
        return engine.evaluate(asked(**question)).effect is Effect.PERMIT

    return judged


@pytest.mark.parametrize(
    "expression",
    [
        "r.subject.tier == 'pro'",
        "r.subject.tier != 'free' && !(r.subject.level < 3)",
        "r.subject.level >= 3 and 2 <= r.subject.level < 4",
        "r.subject.level + 1 * 2 - 1 == 4 || False",
        "r.subject.level / 2 == 1.5 && -r.subject.level == -3",
        "'analyst' in r.subject.roles && 'admin' not in r.subject.roles",
        "r.subject.tier in ('free', 'pro') and r.subject.tier in ['pro']",
        "r.subject.admin && !r.subject.guest",
        "r.subject.admin == True",
        "r.subject.deep.er.x == 1 && r.subject['odd-name'] == 'x'",
        "has(r.subject.deep.er.x) && !has(r.subject.deep.er.y) && !has(r.subject.tier.x)",
        "!has(r.subject.nothing) && has(r.subject.zero) && has(r.subject.empty)",
        "has(r.subject.nope) && r.subject.nope == 1 || True",
        "r.subject.id == 'alice' && r.subject.type == 'user' && r.subject.properties.id == 'not the id'",
        "r.sub == 'user:alice' && r.obj == 'model:gpt-4o' && r.act == 'ask' && r.resource.id == 'gpt-4o'",
        "contains(lower('ABC'), 'b') && startsWith('abc', 'ab') && endsWith('abc', 'bc')",
        "size(r.subject.roles) == 2 && size(r.subject.tier) == 3",
        "overlaps(r.subject.roles, ['staff', 'x']) && !overlaps(r.subject.roles, ['x'])",
        "contains(r.ctx.prompt.text, 'hello') && r.ctx.prompt.length == 5",
        "r.subject.tier == 'a && b || !c # d' || 'x # y' == 'x # y'",
        "keyMatch(r.obj, 'model:gpt-*') && globMatch('a/b', 'a/?') && ipMatch('10.1.2.3', '10.0.0.0/8')",
    ],
)
def test_an_expression_holds(judge, expression, load, asked, matching):
    if "#" in expression:  # a file takes it for a comment: such a text stands in a matcher
        engine = load(matching(f"r.act == p.act && ({expression})", columns="act, eft"), "p, ask, allow")
        assert engine.evaluate(asked(act="ask", properties=PROPERTIES)).effect is Effect.PERMIT
    else:
        assert judge(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "r.subject.one == True",
        "r.subject.zero == False",
        "r.subject.text == True",
        "True in [1, 2]",
        "1 in r.subject.flags",
        "r.subject.level == '3'",
        "r.subject.roles == 'analyst'",
        "r.subject.text == 'pro'",
        "overlaps([], r.subject.roles)",
    ],
)
def test_values_of_two_kinds_are_not_equal(judge, expression):
    assert not judge(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "r.subject.tier",
        "r.subject.roles && True",
        "!r.subject.empty",
        "!r.subject.zero",
        "True && r.subject.one",
        "False || r.subject.text",
        "r.subject.level",
        "'pro'",
        "r.subject.nope == 'x'",
        "r.subject.nope != 'x'",
        "r.subject.nope in ['x']",
        "!(r.subject.nope == 'x')",
        "r.subject.nothing != 'free'",
        "r.subject.tier.level == 1",
        "r.subject.nope < 3",
        "r.subject.tier < 3",
        "r.subject.admin < 3",
        "r.subject.roles < ['x']",
        "'pr' in r.subject.tier",
        "'x' in r.subject.deep",
        "r.subject.level in r.subject.level",
        "r.subject.tier + 'x' == 'prox'",
        "r.subject.tier * 1000000000 == 'x'",
        "r.subject.roles * 100000000 == []",
        "r.subject.admin + 1 == 2",
        "r.subject.level / 0 == 1",
        "1 / (r.subject.level - 3) > 0",
        "18e18 * 18e18 * 18e18 * 18e18 * 18e18 * 18e18 * 18e18 * 18e18"
        + " * 18e18" * 10
        + " > r.subject.level",
        "9223372036854775807" + " * 9223372036854775807" * 20 + " > 1",
        "contains(r.subject.level, 'x')",
        "lower(r.subject.roles) == 'x'",
        "size(r.subject.level) == 1",
        "overlaps(r.subject.tier, r.subject.roles)",
        "overlaps(r.subject.flags, r.subject.roles)",
        "startsWith(r.subject.tier, 1)",
        "keyMatch(r.subject.level, 'x*')",
        "ipMatch(r.subject.tier, '10.0.0.0/8')",
    ],
)
def test_what_is_no_answer_is_never_a_permit(judge, expression):
    with pytest.raises(EngineFailure) as failure:
        judge(expression)
    if failure.value.cause is not FailureCause.ENGINE_ERROR:
        pytest.fail(f"{failure.value.cause}")


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("r.subject.tier.upper() == 'PRO'", "only a function's plain name"),
        ("r.subject.__class__.__mro__[1].__subclasses__()", "only a function's plain name"),
        ("().__class__ == 1", "a matcher reads"),
        ("''.format == 1", "a matcher reads"),
        ("__import__('os').system('x') == 0", "only a function's plain name"),
        ("open('/etc/passwd') == 1", "there is no function `open`"),
        ("print == 1", "not allowed"),
        ("True if r.act else False", "not allowed"),
        ("[x for x in r.subject.roles] == []", "not allowed"),
        ("(lambda: True)()", "only a function's plain name"),
        ("{'a': 1} == 1", "not allowed"),
        ("(x := True)", "not allowed"),
        ("f'{r.sub}' == 'x'", "not allowed"),
        ("b'x' == r.sub", "not allowed"),
        ("None == r.subject.tier", "not allowed"),
        ("... == 1", "not allowed"),
        ("1j == 1", "not allowed"),
        ("2 ** 4000000 == 1", r"\+ - \* /"),
        ("r.subject.level << 9999 == 1", r"\+ - \* /"),
        ("r.subject.level % 2 == 1", r"\+ - \* /"),
        ("~r.subject.level == 1", "not allowed"),
        ("r.subject.tier is 'pro'", "compares by"),
        ("99999999999999999999999 == 1", "not allowed"),
        ("1e999 > r.subject.level", "not allowed"),
        ("r.subject == 1; True", "no single expression"),
        ("r.act = 'x'", "no single expression"),
        ("", "no single expression"),
        ("import os", "no single expression"),
        ("'a" + chr(92) + "n' == r.sub", "backslash"),
        ("(" * 300 + "True" + ")" * 300, "no single expression"),
        ("not " * 60 + "True", "nested deeper"),
        ("not " * 3000 + "True", "no single expression|nested deeper"),
        ("True" + " || True" * 3000, "characters"),
        ("eval(p.rule)", "stands in the matcher alone"),
        ("eval(r.subject.tier)", "stands in the matcher alone"),
        ("has(p.act)", "a matcher reads"),
        ("has('x')", "a matcher reads"),
        ("has(r.sub, r.act)", "takes `1`"),
        ("lower(*r.subject.roles) == 'x'", "plain arguments"),
        ("lower(text=r.sub) == 'x'", "plain arguments"),
        ("r.sub.x == 1", "has no attributes"),
        ("r.ctx.found.x == 1", "has no attributes"),
        ("r.user == 1", "`r` has no `user`"),
        ("r == 1", "not allowed"),
        ("r2.sub == 'x'", "a matcher reads"),
        ("p.nope == 1", "no column `nope`"),
        ("p2.act == 1", "a matcher reads"),
        ("r.subject[0] == 1", "a matcher reads"),
        ("r.subject[r.sub] == 1", "a matcher reads"),
        ("regexMatch(r.obj, 'a')", "`regexMatch` is a backtracking"),
        ("keyMatch2(r.obj, 'a')", "`keyMatch2` takes `:name`"),
        ("keyMatch4(r.obj, 'a')", "`keyMatch4` is a backtracking"),
        ("keyMatch5(r.obj, 'a')", "`keyMatch5` is a backtracking"),
        ("timeMatch('_', '_')", "`timeMatch` reads this host's"),
        ("keyMatch('model:*', r.obj)", "a pattern is a column or a constant"),
        ("globMatch(r.obj, r.subject.tier)", "a pattern is a column or a constant"),
        ("keyMatch(r.obj, 'a*b')", "ignores what follows"),
        ("ipMatch(r.subject.ip, '10.0.0.0/99')", "10.0.0.0/99"),
    ],
)
def test_what_could_do_harm_does_not_load(judge, expression, problem):
    with pytest.raises(PolicyLoadError, match=problem) as error:
        judge(expression)
    assert str(error.value).startswith("`policy.csv`, line 1: ")


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("g(r.subject.id, p.sub) && g2(r.obj, p.obj) && r.act == p.act", "what has a role is `r.sub`"),
        ("g(r.subject.team, p.sub) && g2(r.obj, p.obj) && r.act == p.act", "what has a role is `r.sub`"),
        ("g(p.sub, r.sub) && g2(r.obj, p.obj) && r.act == p.act", "what has a role is `r.sub`"),
        ("g(r.sub, r.subject.role) && p.sub == p.obj && r.act == p.act", "a role is named by a column"),
        ("g(r.sub, p.sub, r.dom) && g2(r.obj, p.obj) && r.act == p.act", "has `3` arguments; it takes `2`"),
        ("g3(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act", "there is no function `g3`"),
        (
            "(g(r.sub, p.sub) || r.subject.id == p.sub) && g2(r.obj, p.obj) && r.act == p.act",
            "can be a role's name",
        ),
        (
            "g(r.sub, p.sub) && (g2(r.obj, p.obj) || p.obj == r.resource.id) && r.act == p.act",
            "can be a role's name",
        ),
        ("g(r.sub, p.sub) && r.act == p.act", "nothing reads the column `obj`"),
        (
            "eval(r.subject.tier) && g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act",
            "`eval` takes a column",
        ),
        ("eval('True') && g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act", "`eval` takes a column"),
        ("eval(p.nope) && g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act", "`eval` takes a column"),
    ],
)
def test_a_matcher_that_would_not_mean_what_it_says_does_not_load(load, matching, expression, problem):
    with pytest.raises(PolicyLoadError, match=problem) as error:
        load(matching(expression), "p, staff, x, invoke, allow,\n")
    assert "`model.conf`, line 12: " in str(error.value)


@pytest.mark.parametrize("wanted", ["r2.ob == p2.ob || ", "r2.act == p2.ob && ", ""])
def test_an_obligation_is_compared_in_every_case(load, rules, wanted):
    model = rules.replace("r2.ob == p2.ob && ", wanted)
    with pytest.raises(PolicyLoadError, match=r"must hold `r2.ob == p2.ob`"):
        load(model, "p, ask, True, allow,\n")


def test_nothing_of_a_request_is_ever_evaluated(load, asked, rules, monkeypatch):
    engine = load(rules, "p, ask, r.subject.tier == r.subject.text && 'x' in r.ctx.list, allow,\n")
    hostile = "True) or __import__('os').system('x') or (True"
    question = asked(
        hostile,
        hostile,
        "ask",
        text=hostile,
        properties={"tier": hostile, "text": hostile, hostile: hostile},
        context={"list": [hostile, "x"]},
    )

    def evaluated(*_, **__):
        pytest.fail("something was compiled while a request was answered")

    for name in ("compile", "eval", "exec"):
        monkeypatch.setattr(builtins, name, evaluated)
    verdict = engine.evaluate(question)
    monkeypatch.undo()
    assert verdict.effect is Effect.PERMIT


def test_a_rule_cannot_close_the_bracket_that_it_stands_in(listed, rules, asked):
    # Who may write rows for one action alone would have every action: the library pastes the rule as text.
    row = ["other", "True) || (True", "allow", ""]
    theirs = casbin.Enforcer(casbin.Enforcer.new_model(text=rules))
    theirs.model["p"]["p"].policy = [row]
    theirs.model["m"]["m"].value = "(r_act == p_act && eval(p_rule))"
    assert theirs.enforce("user:eve", "model:x", "ask", "", {}, {}, {})
    with pytest.raises(PolicyLoadError, match="row 1 of `p`: `rule`: it is no single expression"):
        listed(rules, {"p": [row]})


def test_a_failure_tells_the_policy_s_words_and_nothing_of_the_request(judge):
    secret = "my-secret-value"
    for expression in (
        "r.subject.secret < 1",
        "r.subject.secret && True",
        "ipMatch(r.subject.secret, '10.0.0.0/8')",
    ):
        with pytest.raises(EngineFailure) as failure:
            judge(expression, properties={"secret": secret})
        assert secret not in str(failure.value)
        assert secret not in repr(failure.value.__cause__)
