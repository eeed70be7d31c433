"""What `deny`, `permit` and `obligation` hand out, as one verdict."""

import pytest

from checkrein import EngineFailure, Obligation, Reason, Stage

PERMIT = "permit(_, _, _, _);\n"


def test_a_permit_names_its_rule_and_the_revision(engine_of, request_of):
    engine = engine_of(PERMIT)
    verdict = engine.evaluate(request_of())
    assert (verdict.effect, verdict.reasons, verdict.obligations) == ("permit", (), ())
    assert verdict.policy_ids == ("permit",)
    assert verdict.revision == engine.revision


def test_nothing_that_matches_is_not_applicable(engine_of, request_of):
    verdict = engine_of('permit(_: Subject{tier: "enterprise"}, _, _, _);').evaluate(request_of())
    assert verdict.effect == "not_applicable"
    assert verdict.policy_ids == ()


def test_a_deny_beats_a_permit(engine_of, request_of):
    verdict = engine_of(PERMIT + 'deny(_, _, _, _, "tier");').evaluate(request_of())
    assert verdict.effect == "deny"
    assert verdict.reasons == (Reason(code="tier"),)
    assert verdict.policy_ids == ("deny",)


def test_a_deny_that_does_not_match_leaves_the_permit(engine_of, request_of):
    policy = PERMIT + 'deny(_: Subject{tier: "free"}, _, _, _, "tier");'
    assert engine_of(policy).evaluate(request_of()).effect == "permit"


def test_a_lone_allow_counts_as_permit(engine_of, request_of):
    engine = engine_of('allow(s: Subject, "submit_prompt", _r: Model) if s.tier = "pro";')
    assert engine.evaluate(request_of()).policy_ids == ("allow",)
    assert engine.entrypoint(Stage.PRE_PROMPT) == "allow(s, a, r)"


def test_an_allow_beside_a_permit_is_a_rule_like_any_other(engine_of, request_of):
    engine = engine_of('allow(_, _, _);\npermit(_: Subject{tier: "free"}, _, _, _);')
    assert engine.evaluate(request_of()).effect == "not_applicable"


def test_roles_and_permissions_of_resource_blocks_decide(engine_of, request_of):
    engine = engine_of("""
        actor User {}
        resource Model {
            permissions = ["submit_prompt", "train"];
            roles = ["analyst"];
            "submit_prompt" if "analyst";
        }
        has_role(user: User, role: String, _: Model) if role in user.roles;
        allow(actor, action, resource) if has_permission(actor, action, resource);
    """)
    assert engine.evaluate(request_of()).effect == "permit"
    assert engine.evaluate(request_of(action="train")).effect == "not_applicable"


def test_reasons_are_codes_or_have_a_message_and_come_sorted_and_once(engine_of, request_of):
    policy = """
        permit(_, _, _, _);
        deny(_, _, _, _, "z");
        deny(_, _, _, _, {code: "b", message: "second"});
        deny(_, _, _, _, {code: "b", message: "first"});
        deny(_, _, _, _, reason) if reason in ["z", "a", "a"];
    """
    reasons = engine_of(policy).evaluate(request_of()).reasons
    assert [(reason.code, reason.message) for reason in reasons] == [
        ("a", ""),
        ("b", "first"),
        ("b", "second"),
        ("z", ""),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_rules_changes_nothing(engine_of, request_of, order):
    rules = [f'obligation(_, _, _, _, {{type: "redact", properties: {{types: ["{t}"]}}}});' for t in "bca"]
    verdict = engine_of(PERMIT + "\n".join(rules[::order])).evaluate(request_of())
    assert [one.properties["types"] for one in verdict.obligations] == [["a"], ["b"], ["c"]]
    assert verdict.policy_ids == ("permit", "obligation")


def test_a_deny_that_leaves_its_reason_open_denies(engine_of, request_of):
    verdict = engine_of(PERMIT + "deny(_, _, _, _, _);").evaluate(request_of())
    assert (verdict.effect, verdict.reasons) == ("deny", (Reason(code="denied"),))


def test_an_obligation_takes_values_of_the_request(engine_of, request_of):
    policy = (
        PERMIT
        + """
        obligation(s, _, _, ctx, {type: "redact", properties: {types: ctx.found, for: s.properties}}) if
            "email" in ctx.found;
    """
    )
    verdict = engine_of(policy).evaluate(request_of("write to a@example.com", detect=["email"]))
    properties = {
        "types": ["email"],
        "for": {"tier": "pro", "roles": ["analyst"], "nothing": None},
    }
    assert verdict.obligations == (Obligation(type="redact", properties=properties),)


def test_obligations_are_not_asked_of_a_denial(engine_of, request_of):
    policy = 'permit(_, _, _, _);\ndeny(_, _, _, _, "no");\nobligation(_, _, _, _, 5);'
    assert engine_of(policy).evaluate(request_of()).obligations == ()


@pytest.mark.parametrize(
    "reason",
    [
        "5",
        '["a"]',
        "true",
        "nil",
        '""',
        "{}",
        '{code: ""}',
        "{code: 5}",
        '{code: "a", message: 5}',
        '{code: "a", extra: 1}',
        '{message: "a"}',
        "String",
    ],
)
def test_a_reason_of_another_shape_is_an_invalid_answer(engine_of, request_of, reason):
    with pytest.raises(EngineFailure) as failure:
        engine_of(f"{PERMIT}deny(_, _, _, _, reason) if reason = {reason};").evaluate(request_of())
    assert failure.value.cause == "invalid_answer"


@pytest.mark.parametrize(
    "obligation",
    [
        '"redact"',
        "5",
        "{}",
        '{type: ""}',
        "{type: 5}",
        '{type: "redact", properties: 5}',
        '{type: "redact", propertys: {}}',
        '{type: "redact", id: 5}',
        '{type: "redact", properties: {types: _}}',
        '{type: "limit_tokens", properties: {max_tokens: 1 / 0}}',
        '{type: "redact", properties: {types: String}}',
        "_",
    ],
)
def test_an_obligation_of_another_shape_is_an_invalid_answer(engine_of, request_of, obligation):
    with pytest.raises(EngineFailure) as failure:
        engine_of(f"{PERMIT}obligation(_, _, _, _, o) if o = {obligation};").evaluate(request_of())
    assert failure.value.cause == "invalid_answer"


def test_a_constraint_on_an_open_reason_is_an_invalid_answer(engine_of, request_of):
    with pytest.raises(EngineFailure) as failure:
        engine_of(f"{PERMIT}deny(_, _, _, _, reason) if reason > 3;").evaluate(request_of())
    assert failure.value.cause == "invalid_answer"


def test_an_invalid_answer_shows_nothing_of_the_prompt(engine_of, request_of):
    policy = PERMIT + "deny(_, _, _, ctx, {code: 5, message: ctx.prompt.text});"
    with pytest.raises(EngineFailure) as failure:
        engine_of(policy).evaluate(request_of("the-secret"))
    assert "the-secret" not in str(failure.value)
    assert "the-secret" not in repr(failure.value)


def test_very_many_reasons_still_deny(engine_of, request_of):
    numbers = str(list(range(100)))
    policy = f'{PERMIT}deny(_, _, _, _, "many") if x in {numbers} and y in {numbers} and x >= 0 and y >= 0;'
    assert engine_of(policy).evaluate(request_of()).reasons == (Reason(code="many"),)


def test_very_many_obligations_are_an_error_because_none_may_be_lost(engine_of, request_of):
    numbers = str(list(range(100)))
    pairs = f"x in {numbers} and y in {numbers} and x >= 0 and y >= 0"
    policy = f'{PERMIT}obligation(_, _, _, _, {{type: "no_store"}}) if {pairs};'
    with pytest.raises(EngineFailure, match="over `1000` results") as failure:
        engine_of(policy).evaluate(request_of())
    assert failure.value.cause == "engine_error"


def test_other_stages_are_not_answered(engine_of, request_of):
    engine = engine_of(PERMIT)
    assert engine.stages == {Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION}
    assert engine.entrypoint(Stage.TOOL_CALL) is None
    with pytest.raises(EngineFailure):
        engine.evaluate(request_of(stage=Stage.TOOL_CALL))


def test_stages_can_be_chosen(engine_of, request_of):
    engine = engine_of(PERMIT + 'deny(_, "call_tool", _, _, "no") if false;', stages=["tool_call"])
    assert engine.stages == {Stage.TOOL_CALL}
    assert engine.evaluate(request_of(stage=Stage.TOOL_CALL)).effect == "permit"
    assert engine.entrypoint(Stage.TOOL_CALL) == "deny(s, a, r, ctx, reason); permit(s, a, r, ctx)"


def test_a_closed_engine_answers_nothing_and_closes_again(engine_of, request_of):
    engine = engine_of(PERMIT)
    engine.close()
    engine.close()
    with pytest.raises(EngineFailure, match="closed") as failure:
        engine.evaluate(request_of())
    assert failure.value.cause == "engine_error"
