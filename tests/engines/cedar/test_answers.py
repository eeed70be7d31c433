"""What Cedar answers, as a verdict: every determining policy counts."""

import pytest
from cedarpy import AuthzResult

from checkrein.engine import LocatingEngine
from checkrein.errors import EngineFailure
from checkrein.vocabulary import Effect, Obligation, Reason

PERMIT = "permit(principal, action, resource);"


def test_a_permit_permits(load, asked):
    verdict = load('@id("open") ' + PERMIT).evaluate(asked())
    assert verdict.effect is Effect.PERMIT
    assert verdict.policy_ids == ("open",)
    assert verdict.reasons == ()


def test_a_forbid_trumps_a_permit_in_either_order(load, asked):
    forbid = (
        '@code("tier.pro") @reason("not for pro") '
        'forbid(principal, action, resource) when { principal.tier == "pro" };'
    )
    for policies in (PERMIT + forbid, forbid + PERMIT):
        verdict = load(policies).evaluate(asked())
        assert verdict.effect is Effect.DENY
        assert verdict.reasons == (Reason(code="tier.pro", message="not for pro"),)


def test_a_denial_that_no_policy_determines_is_not_applicable(load, asked):
    verdict = load('permit(principal == User::"bob", action, resource);').evaluate(asked())
    assert verdict.effect is Effect.NOT_APPLICABLE
    assert verdict.policy_ids == ()


def test_annotations_of_all_determining_policies_count_sorted_by_id(load, asked):
    policies = [
        f'@id("{name}") @code("code.{name}") @obligation("[{{\\"type\\": \\"redact\\", \\"properties\\": '
        f'{{\\"types\\": [\\"{name}\\"]}}}}]") {PERMIT}'
        for name in "dbca"
    ]
    verdict = load("\n".join(policies)).evaluate(asked())
    assert verdict.policy_ids == ("a", "b", "c", "d")
    assert [reason.code for reason in verdict.reasons] == ["code.a", "code.b", "code.c", "code.d"]
    assert [one.properties["types"] for one in verdict.obligations] == [["a"], ["b"], ["c"], ["d"]]


def test_the_order_of_the_file_changes_nothing(load, asked):
    policies = [
        f'@id("{name}") @code("{name}") forbid(principal, action, resource) when {{ {when} }};'
        for name, when in (("x", "true"), ("y", 'principal.tier == "pro"'), ("z", "false"))
    ]
    forwards = load("".join([PERMIT, *policies])).evaluate(asked())
    backwards = load("".join([*reversed(policies), PERMIT])).evaluate(asked())
    assert forwards.reasons == backwards.reasons
    assert forwards.policy_ids == backwards.policy_ids == ("x", "y")


def test_only_policies_that_decided_bring_obligations(load, asked):
    text = '@obligation("[{\\"type\\": \\"no_store\\"}]") '
    other = f'{PERMIT} {text} permit(principal == User::"bob", action, resource);'
    assert load(other).evaluate(asked()).obligations == ()
    denial = f"{PERMIT} {text} forbid(principal, action, resource);"
    assert load(denial).evaluate(asked()).obligations == (Obligation(type="no_store"),)


def test_an_obligation_keeps_its_id_and_its_properties(load, asked):
    text = (
        '[{\\"type\\": \\"limit_tokens\\", \\"properties\\": {\\"max_tokens\\": 5}, \\"id\\": \\"short\\"}]'
    )
    verdict = load(f'@obligation("{text}") {PERMIT}').evaluate(asked())
    assert verdict.obligations == (Obligation(type="limit_tokens", properties={"max_tokens": 5}, id="short"),)


def test_who_changes_what_a_verdict_holds_changes_no_policy(load, asked):
    engine = load(
        '@obligation("[{\\"type\\": \\"redact\\", \\"properties\\": {\\"types\\": [\\"a\\"]}}]") ' + PERMIT
    )
    engine.evaluate(asked()).obligations[0].properties["types"].clear()
    assert engine.evaluate(asked()).obligations[0].properties == {"types": ["a"]}


def test_equal_reasons_are_told_once(load, asked):
    twice = ('@code("closed") forbid(principal, action, resource);\n' * 2) + PERMIT
    assert load(twice).evaluate(asked()).reasons == (Reason(code="closed"),)


def test_a_reason_without_a_code_has_the_effects(load, asked):
    denial = load(f'{PERMIT} @reason("closed") forbid(principal, action, resource);').evaluate(asked())
    assert denial.reasons == (Reason(code="denied", message="closed"),)
    permit = load(f'@reason("open") {PERMIT}').evaluate(asked())
    assert permit.reasons == (Reason(code="permitted", message="open"),)


def test_a_policy_without_an_id_is_named_by_file_and_line(load, asked):
    verdict = load(f"// who may\n\n{PERMIT}\n").evaluate(asked())
    assert verdict.policy_ids == ("access.cedar:3",)


def test_every_policy_that_a_verdict_names_is_located(load, asked):
    engine = load(
        f'\n@id("open")\n{PERMIT}\n'
        f'@id("x") permit(principal, action, resource in Group::"a;b"); {PERMIT}{PERMIT}'
    )
    assert isinstance(engine, LocatingEngine)
    named = engine.evaluate(asked()).policy_ids
    assert named == ("access.cedar:4:63", "access.cedar:4:99", "open")
    lines = {policy: engine.locate(policy) for policy in (*named, "x", "policy0", "", "4")}
    assert lines == {
        "access.cedar:4:63": ("access.cedar", 4),
        "access.cedar:4:99": ("access.cedar", 4),
        "open": ("access.cedar", 2),
        "x": ("access.cedar", 4),
        "policy0": None,
        "": None,
        "4": None,
    }


def test_an_erring_forbid_beside_a_permit_is_an_error_and_no_permit(load, asked):
    engine = load(
        f'{PERMIT} @id("budget") forbid(principal, action, resource) when {{ context.usage.spent > 5 }};'
    )
    with pytest.raises(EngineFailure) as failure:
        engine.evaluate(asked())
    assert failure.value.cause == "engine_error"
    assert failure.value.detail == "policy `budget`: attribute `usage` is absent"
    assert engine.evaluate(asked(usage={"spent": 5})).effect is Effect.PERMIT


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ('context.count < "secret"', "a value has another type"),
        ("context.count + 9223372036854775807 > 0", "a number overflows"),
        ('decimal(context.word).lessThan(decimal("1.0"))', "an extension function failed"),
        ('User::"nobody".tier == "pro"', "an entity does not exist"),
        ('principal.absent == "pro"', "attribute `absent` is absent"),
    ],
)
def test_every_error_is_told_by_policy_and_kind_and_never_by_value(load, asked, condition, kind):
    engine = load(f'{PERMIT} @id("p") forbid(principal, action, resource) when {{ {condition} }};')
    with pytest.raises(EngineFailure) as failure:
        engine.evaluate(asked(count=7, word="swordfish"))
    assert failure.value.cause == "engine_error"
    assert failure.value.detail == f"policy `p`: {kind}"


def test_names_that_a_caller_wrote_are_never_in_a_failure(load, asked):
    # Cedar lists the attributes that there are: keys of tool arguments are a model's words.
    engine = load(
        f"{PERMIT} forbid(principal, action, resource) when {{ context.tool.arguments.path == 1 }};"
    )
    with pytest.raises(EngineFailure) as failure:
        engine.evaluate(asked(tool={"arguments": {"my password is swordfish": 1}}))
    assert "swordfish" not in str(failure.value)


def test_what_a_closed_engine_answers_is_an_error(load, asked):
    engine = load(PERMIT)
    engine.close()
    engine.close()
    with pytest.raises(EngineFailure, match="closed"):
        engine.evaluate(asked())
    (answer,) = engine.evaluate_many([asked()])
    assert answer.cause == "engine_error"


def test_nonsense_from_the_library_is_an_invalid_answer(load, asked, monkeypatch):
    engine = load('@id("open") ' + PERMIT)

    class Nonsense:
        def __init__(self, decision, reason):
            self.response = {"decision": decision, "diagnostics": {"reason": reason, "errors": []}}

        def __call__(self, questions, policies, entities):
            return [AuthzResult(self.response)]

    for decision, reason in (("Allow", ["policy9"]), ("Allow", []), ("Deny", ["policy0"])):
        monkeypatch.setattr("checkrein_cedar.engine.is_authorized_batch", Nonsense(decision, reason))
        with pytest.raises(EngineFailure) as failure:
            engine.evaluate(asked())
        assert failure.value.cause == "invalid_answer"


def test_whatever_the_library_raises_is_an_error_without_its_words(load, asked, monkeypatch):
    def broken(*_):
        raise RuntimeError("swordfish")

    engine = load(PERMIT)
    monkeypatch.setattr("checkrein_cedar.engine.is_authorized_batch", broken)
    with pytest.raises(EngineFailure) as failure:
        engine.evaluate(asked())
    assert str(failure.value) == "engine_error: `RuntimeError` was raised"
