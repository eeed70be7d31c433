"""`not` over what is undefined, in both backends as in OPA (every line below was asked of OPA 1.20)."""

import pytest

from checkrein.vocabulary import Effect
from checkrein_rego.rewriting import as_in_opa
from checkrein_rego.source import read_module

RULES = """
f(x) := "found" if x == "a"

holds(x) if x < 3

never if input.n == 0

no := false

deny contains "d1" if input.n == 3
"""
DOCUMENT = {
    "n": 3,
    "k": "x",
    "xs": ["a", "b"],
    "o": {"x": {"n": 1}},
    "f": [{"n": 1, "c": True}, {"n": 2, "c": False}],
}
TRUE = [
    "not input.nope",
    "not input.nope.x.y",
    "not input.f[0].zz",
    "not input.n.x",
    "not input.nope == 1",
    'not "y" == input.nope',
    "not input.nope == input.nope2",
    "not input.n == input.nope",
    "not data.nope.x",
    "not never",
    "not never == true",
    "not no",
    "not holds(5)",
    'not deny["d9"]',
    'not "d9" in deny',
    "not input.n == 4; not input.n == 5",
    "not input.n > 5; not input.n < 2",
    'not startswith(input.k, "a"); not contains(input.k, "b")',
    'not input.k in {"a", "b"}',
    "not input.o[input.k].zz",
    'not object.get(input, "nope", 1) == 2',
    "not is_null(input.k)",
    "not count([x | some x in input.nope]) == 3",
    "not [1 | input.nope] == [1]",
    "some x in input.f; not x.zz; x.n == 1",
    "some x in input.f; not x.zz == 1; x.n == 1",
    "some x in input.f; not x.c; x.n == 2",
    "count([x | some x in input.f; not x.n > 1]) == 1",
    "count([x | some x in input.f; not x.zz > 1]) == 0",
    "every x in input.f { not x.n > 5 }",
    "not (input.n > 5)",
]
UNDEFINED = [
    "not input.nope != 1",
    "not input.n != input.nope",
    "not input.nope > 1",
    "not input.nope in [1]",
    "not input.n in [input.nope]",
    "not 1 in input.nope",
    "not input.k in {input.nope}",
    "not count(input.nope) > 0",
    'not startswith(input.nope, "a")',
    'not contains(input.nope, "a")',
    "not holds(input.nope)",
    'not f("z") == "found"',
    'not f(input.nope) == "found"',
    "not holds(count(input.nope))",
    'not {"a": input.nope} == {"a": 1}',
    "not [input.nope] == [1]",
    "not input.n + input.nope > 1",
    "not input.o[input.nope].n",
    "not deny[input.nope]",
    "not data.nope.x > 9",
    'not object.get(input.nope, "x", 1) == 2',
    "not is_null(input.nope)",
    'not type_name(input.nope) == "x"',
    "some x in input.f; not x.zz > 1; x.n == 1",
    "every x in input.f { not x.zz > 5 }",
    "not (input.nope > 1)",
    "not never != true",
    "not input.n == 3",
    "not input.n",
]


@pytest.mark.parametrize(
    ("body", "effect"),
    [*((body, Effect.PERMIT) for body in TRUE), *((body, Effect.NOT_APPLICABLE) for body in UNDEFINED)],
)
@pytest.mark.parametrize("braces", ["decision if {{ {} }}", "decision if {{\n\t{}\n}}"])
def test_a_negation_is_what_it_is_in_opa(policy, ask, body, effect, braces):
    assert ask(policy(braces.format(body) + "\n" + RULES), DOCUMENT).effect is effect


@pytest.mark.parametrize(
    ("body", "effect"),
    [
        ("decision if not input.nope in [1]", Effect.NOT_APPLICABLE),
        ("decision if not input.nope", Effect.PERMIT),
        ("decision := true if not input.n in [1]", Effect.PERMIT),
        ("decision := 1 if never else := true if not input.n in [1]", Effect.PERMIT),
        ("decision := false if never else := true if not input.nope in [1]", Effect.NOT_APPLICABLE),
        ("decision if not input.n in [1] # not input.nope > 1 }", Effect.PERMIT),
        ('decision if {\n\tnot input.n in\n\t[1]\n\tnot input.k ==\n\t"y"\n}', Effect.PERMIT),
        (
            'decision if {\n\tnot startswith(\n\t\tinput.nope, # absent\n\t\t"a",\n\t)\n}',
            Effect.NOT_APPLICABLE,
        ),
    ],
)
def test_it_is_so_however_the_body_is_written(policy, ask, body, effect):
    assert ask(policy(body + "\n" + RULES), DOCUMENT).effect is effect


def test_a_native_test_sees_the_same(policy):
    tests = """package checkrein.pre_prompt_test

import data.checkrein.pre_prompt

test_with_a_role if pre_prompt.decision with input as {"role": "user"}

test_without_one if not pre_prompt.decision with input as {}

test_in_place if not pre_prompt.decision == true with input as {"role": "admin"}

test_negated_under_with if {
	not count(pre_prompt.roles) == 2 with input as {"roles": ["a"]}
}
"""
    body = 'decision if not input.role in ["admin"]\n\nroles := input.roles'
    results = policy(body, files={"p_test.rego": tests}).run_native_tests()
    assert [(result.name, result.detail) for result in results if not result.passed] == []
    assert len(results) == 4


def test_no_line_moves():
    source = """package a

p if {
	not startswith(
		input.x, # a comment
		"a",
	)
	not input.y in [
		1,
	] with input as {}
}

q if not input.z
else := 2 if not input.w > 1
"""
    written = as_in_opa(read_module("p.rego", source)).source
    assert written.count("\n") == source.count("\n")
    assert written.splitlines()[3] == "\ttype_name(input.x); not startswith("
    assert written.splitlines()[7] == "\ttype_name(input.y) with input as {}; not input.y in ["
    assert written.splitlines()[12:] == [
        "q if { not input.z }",
        "else := 2 if { type_name(input.w); not input.w > 1 }",
    ]
