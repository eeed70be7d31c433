"""The Rego engine: what its rules answer, what is a failure, and which stages it has."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiers import DATA, DECISION, codes

from checkrein import engine as kernel
from checkrein.building import build_engine
from checkrein.combining import EngineNode
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError
from checkrein.vocabulary import Effect, Obligation, Reason, Stage
from checkrein_rego import RegoEngine, regorus_backend


def test_it_is_an_engine_that_can_be_tested_and_explained(policy):
    engine = policy("decision := true")
    assert isinstance(engine, kernel.TestableEngine)
    assert isinstance(engine, kernel.ExplainingEngine)
    assert (engine.name, engine.remote, engine.stages) == ("rego", False, {Stage.PRE_PROMPT})


def test_it_is_built_from_settings(write, backend, tmp_path):
    write(**{"policy.rego": "package checkrein.pre_prompt\n\ndecision := true\n"})
    node = build_engine({"rego": {"bundle": "bundle", "backend": backend, "name": "house"}}, base=tmp_path)
    assert isinstance(node, EngineNode)
    assert node.engine.name == "house"
    node.engine.close()


def test_a_policy_answers_with_its_rule_and_revision(policy, ask):
    engine = policy(DECISION, files={"data.json": DATA, ".manifest": '{"revision": "v3"}'})
    verdict = ask(
        engine, {"tier": "pro", "findings": [{"type": "iban"}, {"type": "email"}, {"type": "iban"}]}
    )
    assert verdict.effect is Effect.PERMIT
    assert verdict.obligations == (
        Obligation(type="redact", properties={"types": ["email"]}),
        Obligation(type="redact", properties={"types": ["iban"]}),
    )
    assert verdict.policy_ids == ("data.checkrein.pre_prompt.decision",)
    assert verdict.revision == engine.revision == "v3"


def test_a_policy_denies_with_its_reasons(policy, ask):
    verdict = ask(policy(DECISION, files={"data.json": DATA}), {"tier": "other"})
    assert verdict.effect is Effect.DENY
    assert verdict.reasons == (Reason(code="tier.unknown", message="no tier"),)


@pytest.mark.parametrize(
    ("body", "document", "effect"),
    [
        ("decision := true", {}, Effect.PERMIT),
        ("decision := false", {}, Effect.DENY),
        ("default decision := false\n\ndecision if input.x == 1", {"x": 1}, Effect.PERMIT),
        ("default decision := false\n\ndecision if input.x == 1", {"x": 2}, Effect.DENY),
        ("default decision := false\n\ndecision if input.x == 1", {}, Effect.DENY),
        ("decision if input.x == 1", {"x": 2}, Effect.NOT_APPLICABLE),
        ("decision := input.x", {}, Effect.NOT_APPLICABLE),
        ('decision := {"allow": input.x}', {}, Effect.NOT_APPLICABLE),
        ('decision := {"allow": input.x}', {"x": False}, Effect.DENY),
        ("decision := input.x", {"x": {"allow": True}}, Effect.PERMIT),
        ('decision := input["if"]', {"if": True}, Effect.PERMIT),
        ("decision if input.x == 1 else := false", {"x": 2}, Effect.DENY),
        ("decision := true if input.x == 1 else := false if input.x == 2", {"x": 2}, Effect.DENY),
        ("decision := true if input.x == 1\nelse := false if {\n\tinput.x == 2\n}", {"x": 1}, Effect.PERMIT),
        ("decision if every x in input.xs { x > 0 }", {"xs": [1, 2]}, Effect.PERMIT),
        ("decision if {1, 2} == {x | some x in input.xs}", {"xs": [1, 2]}, Effect.PERMIT),
        ("decision if some x in input.xs # { comment", {"xs": [1]}, Effect.PERMIT),
    ],
)
def test_false_and_undefined_are_told_apart(policy, ask, body, document, effect):
    assert ask(policy(body), document).effect is effect


@pytest.mark.parametrize("rule", ["deny", "violation", "deny_models"])
@pytest.mark.parametrize(
    "body", ["{rule} contains input.x", '{rule} := {{input.x, "b"}}', '{rule} := [input.x, "b"]']
)
def test_rules_of_conftest_deny_by_their_members(policy, ask, rule, body):
    engine = policy(body.format(rule=rule), entrypoints={"pre_prompt": f"data.checkrein.pre_prompt.{rule}"})
    assert ask(engine, {"x": "no"}).effect is Effect.DENY
    assert ask(engine, {"x": {"code": "a.b", "msg": "m"}}).reasons[-1] in (
        Reason(code="a.b", message="m"),
        Reason(code="denied", message="b"),
    )


def test_an_empty_set_of_a_deny_rule_permits(policy, ask):
    engine = policy(
        "deny contains input.x if input.x != 1", entrypoints={"pre_prompt": "data.checkrein.pre_prompt.deny"}
    )
    assert ask(engine, {"x": 1}).effect is Effect.PERMIT
    assert ask(engine, {}).effect is Effect.PERMIT
    assert ask(engine, {"x": "y"}).effect is Effect.DENY


def test_sets_are_sorted_as_rego_orders_values(policy, ask):
    body = """
deny contains reason if some reason in input.reasons
"""
    engine = policy(body, entrypoints={"pre_prompt": "data.checkrein.pre_prompt.deny"})
    reasons = [
        {"code": "b", "msg": "1"},
        "z",
        "é",
        'a"b',
        "a\nb",
        "a b",
        "Z",
        {"code": "a", "msg": "2"},
        {"code": "a", "msg": "10"},
        "😀",
        {"code": "a"},
    ]
    expected = ["Z", "a\nb", "a b", 'a"b', "z", "é", "😀"]
    verdict = ask(engine, {"reasons": reasons})
    assert [reason.message for reason in verdict.reasons if reason.code == "denied"] == expected
    assert [(reason.code, reason.message) for reason in verdict.reasons if reason.code != "denied"] == [
        ("a", ""),
        ("a", "10"),
        ("a", "2"),
        ("b", "1"),
    ]


def test_an_array_of_reasons_keeps_the_order_of_its_author(policy, ask):
    engine = policy('decision := {"allow": false, "reasons": [{"code": "b"}, {"code": "a"}]}')
    assert codes(ask(engine)) == ["b", "a"]


@pytest.mark.parametrize(
    "body",
    [
        "decision if abs(input.x) > 3",
        "decision if not abs(input.x) > 3",
        "decision if not count(input.n) > 3",
        "decision if 1 / input.zero == 1",
        "decision if not broken\n\nbroken if 1 / input.zero > 1",
        "decision := 1 if input.x\n\ndecision := 2 if input.n",
        "decision if f(1)\n\nf(x) := 1 if x > 0\n\nf(x) := 2 if x < 2",
        "decision if object.get(input.n, 1, 2)",
    ],
)
def test_what_goes_wrong_in_a_policy_is_a_failure_and_never_undefined(policy, ask, body):
    engine = policy(body)
    document = {"x": "secret words", "n": 5, "zero": 0}
    with pytest.raises(EngineFailure) as caught:
        ask(engine, document)
    assert caught.value.cause is FailureCause.ENGINE_ERROR
    assert "data.checkrein.pre_prompt.decision" in caught.value.detail
    assert "secret" not in str(caught.value)


def test_the_engine_answers_again_after_a_failure(policy, ask):
    engine = policy("default decision := false\n\ndecision if abs(input.x) > 3")
    for _ in range(3):
        with pytest.raises(EngineFailure):
            ask(engine, {"x": "no number"})
        assert ask(engine, {"x": 5}).effect is Effect.PERMIT
        assert ask(engine, {"x": 2}).effect is Effect.DENY
        assert ask(engine, {}).effect is Effect.DENY


@pytest.mark.parametrize(
    "body",
    [
        'decision := "true"',
        "decision := 1",
        "decision := null",
        "decision := {}",
        'decision := {"Allow": true}',
    ],
)
def test_an_answer_of_another_shape_is_invalid(policy, ask, body):
    with pytest.raises(EngineFailure) as caught:
        ask(policy(body))
    assert caught.value.cause is FailureCause.INVALID_ANSWER


STAGES = {
    "a.rego": "package checkrein.model_selection\n\ndecision := true\n",
    "b.rego": "package checkrein.pre_prompt\n\ndecision := false\n",
    "c.rego": "package main\n\nallow := true\n\nf(x) := x\n",
}


def test_the_stages_are_those_whose_rule_is_there(write, load, ask):
    engine = load(write(**STAGES))
    assert engine.stages == {Stage.MODEL_SELECTION, Stage.PRE_PROMPT}
    assert ask(engine, stage=Stage.MODEL_SELECTION).effect is Effect.PERMIT
    assert ask(engine, stage=Stage.PRE_PROMPT).effect is Effect.DENY
    assert engine.entrypoint(Stage.PRE_PROMPT) == "data.checkrein.pre_prompt.decision"
    assert engine.entrypoint(Stage.TOOL_CALL) is None
    with pytest.raises(EngineFailure):
        ask(engine, stage=Stage.TOOL_CALL)


def test_named_rules_are_asked_beside_the_default_ones(write, load, ask):
    engine = load(
        write(**STAGES), entrypoints={"tool_call": "data.main.allow", "pre_prompt": "data.main.allow"}
    )
    assert engine.stages == {Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.TOOL_CALL}
    assert ask(engine, stage=Stage.PRE_PROMPT).effect is Effect.PERMIT
    assert ask(engine, stage=Stage.TOOL_CALL).policy_ids == ("data.main.allow",)


def test_stages_can_be_fewer(write, load):
    assert load(write(**STAGES), stages=["pre_prompt"]).stages == {Stage.PRE_PROMPT}


@pytest.mark.parametrize(
    "options",
    [
        {"entrypoints": {"tool_call": "data.main.missing"}},
        {"entrypoints": {"tool_call": "data.main.f"}},
        {"entrypoints": {"tool_call": "data.main.allow.x"}},
        {"entrypoints": {"tool_call": "data.checkrein.main"}},
        {"stages": ["tool_call"]},
        {"stages": ["pre_prompt", "tool_call"]},
        {"stages": ["pre_prompt"], "entrypoints": {"tool_call": "data.main.allow"}},
    ],
)
def test_a_rule_that_is_not_there_is_a_load_error(write, load, options):
    with pytest.raises(PolicyLoadError, match=r"entrypoints"):
        load(write(**STAGES), **options)


def test_a_bundle_without_any_rule_to_ask_is_a_load_error(write, load):
    with pytest.raises(PolicyLoadError, match="name its own rules in `entrypoints`"):
        load(write(**{"c.rego": STAGES["c.rego"]}))


def test_data_of_another_file_changes_the_answer(policy, ask, tmp_path):
    extra = tmp_path / "tiers.yaml"
    extra.write_text("limits: {tiers: [gold]}")
    engine = policy(DECISION, files={"data.json": DATA}, data=[str(extra)])
    assert ask(engine, {"tier": "gold", "findings": []}).effect is Effect.PERMIT
    assert ask(engine, {"tier": "pro", "findings": []}).effect is Effect.DENY


@pytest.mark.parametrize("value", [1e30, 1e-7, 0.1, -1.5, 1e300, 2**53 + 1, -(2**63), 2**63 - 1])
def test_numbers_of_data_are_kept(policy, ask, value):
    engine = policy(
        "default decision := false\n\ndecision if data.number == input.number",
        files={"data.json": json.dumps({"number": value})},
    )
    assert ask(engine, {"number": value}).effect is Effect.PERMIT


def test_a_panic_of_regorus_is_a_failure(write, ask, monkeypatch):
    options = RegoEngine.Options.model_validate(
        {
            "name": "rego",
            "bundle": str(write(**{"policy.rego": "package checkrein.pre_prompt\n\ndecision := true\n"})),
            "backend": "regorus",
        }
    )
    engine = RegoEngine.from_options(options)
    # An engine panics in every thread but its own: hand this one's to another.
    mine = regorus_backend._engines()
    kept = dict(mine)
    monkeypatch.setattr(regorus_backend, "_engines", lambda: mine)
    with ThreadPoolExecutor(1) as pool, pytest.raises(EngineFailure, match="panic of regorus"):
        pool.submit(ask, engine).result()
    monkeypatch.undo()
    assert kept
    assert ask(engine).effect is Effect.PERMIT
    engine.close()
