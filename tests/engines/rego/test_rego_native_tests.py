"""The tests that a Rego bundle brings along: found, run with their inputs and data, kept out of answers."""

import pytest

from checkrein.errors import PolicyLoadError
from checkrein.vocabulary import Effect

TESTS = """
import data.checkrein.pre_prompt
import data.fixtures

test_permits if pre_prompt.decision with input as {"tier": "pro"}

test_denies if {
	not pre_prompt.decision with input as {"tier": "free"}
}

test_two_inputs if {
	pre_prompt.decision with input as {"tier": "pro"}
	not pre_prompt.decision with input as {}
}

test_parts_of_an_input if pre_prompt.decision with input.tier as "pro"

test_calls_under_with if pre_prompt.long with input as {"words": ["a", "b", "c"]}

test_data if {
	pre_prompt.decision with input as {"tier": "gold"} with data.limits.tier as "gold"
}

test_the_datas_own_value if data.limits.tier == "pro"

test_a_rule_as_input if pre_prompt.decision with input as fixture

test_another_packages_rule_as_input if pre_prompt.decision with input as fixtures.pro

test_a_rule_as_data if pre_prompt.decision with input as {"tier": "x"} with data.limits.tier as letter

test_cases if {
	every case in cases {
		pre_prompt.answer == case.want with input as case.given
	}
}

test_some_case if {
	some case in cases
	case.want == "no"
	pre_prompt.answer == "no" with input as case.given
}

test_a_case_by_its_number if pre_prompt.answer == "no" with input as cases[number].given

number := 1

test_without_input if not pre_prompt.decision

test_text if "with input as {" == `with input as {`

test_false := false

test_undefined if pre_prompt.decision with input as {"tier": "none"}

test_value := 1

test_error if 1 / count(cases[5]) == 1 / count(cases) - 0.5 / count([])

fixture := {"tier": "pro"}

letter := "x"

cases := [{"given": {"tier": "pro"}, "want": "yes"}, {"given": {"tier": "free"}, "want": "no"}]

todo_test_later if false
"""


def test_native_tests_run_with_their_inputs_and_data(write, load):
    engine = load(
        write(
            **{
                "policy.rego": """package checkrein.pre_prompt

decision if input.tier == data.limits.tier

default answer := "no"

answer := "yes" if decision

long if {
	every word in input.words { count(word) == 1 }
	count(input.words) > 2
}

test_beside_the_policy := true
""",
                "policy_test.rego": f"package checkrein.pre_prompt_test\n{TESTS}",
                "fixtures_test.rego": 'package fixtures\n\npro := {"tier": "pro"}\n',
                "data.json": '{"limits": {"tier": "pro"}}',
            }
        )
    )
    results = {result.name.rpartition(".")[2]: result for result in engine.run_native_tests()}
    failed = {name for name, result in results.items() if not result.passed}
    assert failed == {"test_false", "test_undefined", "test_value", "test_error"}
    assert len(results) == 20
    assert all(bool(result.detail) is not result.passed for result in results.values())
    assert results["test_false"].detail == "is `false`, not `true`"
    assert results["test_undefined"].detail == "is undefined: a line of it does not hold"
    assert {result.name.rpartition(".")[0] for result in results.values()} == {
        "data.checkrein.pre_prompt",
        "data.checkrein.pre_prompt_test",
    }


def test_tests_do_not_change_what_is_evaluated(policy, ask):
    tests = "package checkrein.pre_prompt\n\ndecision if input.x == 2\n\ntest_x := true\n"
    engine = policy("decision if input.x == 1", files={"policy_test.rego": tests})
    engine.run_native_tests()
    assert ask(engine, {"x": 2}).effect is Effect.NOT_APPLICABLE
    assert ask(engine, {"x": 1}).effect is Effect.PERMIT


def test_a_bundle_without_tests_has_none(policy):
    assert policy("decision := true").run_native_tests() == []


@pytest.mark.parametrize(
    "test", ["test_x if missing(1)", "test_x if opa.runtime()", "test_x if {", "test_x if http.send({})"]
)
def test_a_test_that_does_not_load_is_an_error(policy, test):
    engine = policy("decision := true", files={"x_test.rego": f"package x_test\n\n{test}\n"})
    with pytest.raises(PolicyLoadError, match=r"x_test\.rego"):
        engine.run_native_tests()
