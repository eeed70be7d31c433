"""What the engine answers: effects, reasons, obligations, and the rows behind them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from checkrein.enforcement import EnforcementPoint
from checkrein.engine import ExplainingEngine
from checkrein.errors import EngineFailure, FailureCause
from checkrein.scenarios import arun_scenario, load_scenarios, run_scenario
from checkrein.vocabulary import Effect, Obligation, Origin, Reason, Stage

EXAMPLE = Path(__file__).parents[3] / "examples" / "casbin"
POLICY = """
g, user:alice, data_scientist
g, data_scientist, staff
g2, model:gpt-4o, gpt4_models
p, data_scientist, gpt4_models, invoke, allow,
p, staff, gpt4_models, look, allow, staff.looks
p, staff, *, forbidden, allow,
p, data_scientist, *, forbidden, deny, first
p, staff, gpt4_models, forbidden, deny, second
p, staff, gpt4_models, forbidden, deny,
"""
OBLIGATIONS = """
p, ask, True, allow,
p, ask, r.subject.tier == 'banned', deny, banned
p2, ask, 'ssn' in r2.ctx.found, redact types=ssn
p2, ask, 'mail' in r2.ctx.found, redact types=mail
p2, ask, r2.subject.tier == 'free', limit_tokens max_tokens=64
p2, ask, 'ssn' in r2.ctx.found, no_store
p2, other, True, replace text=never
"""


@pytest.fixture(scope="module")
def example():
    pep = EnforcementPoint.from_settings(EXAMPLE / "settings.yaml", record=lambda _: None)
    yield pep
    pep.close()


@pytest.mark.parametrize("scenario", load_scenarios(EXAMPLE / "scenarios.yaml"), ids=lambda one: one.name)
@pytest.mark.parametrize("driver", ["sync", "async"])
def test_the_example_does_what_its_scenarios_say(example, scenario, driver):
    if driver == "sync":
        assert run_scenario(example, scenario).failures == ()
    else:
        assert asyncio.run(arun_scenario(example, scenario)).failures == ()


def test_a_role_and_a_group_permit(load, asked):
    verdict = load(policy=POLICY).evaluate(asked())
    assert verdict.effect is Effect.PERMIT
    assert verdict.policy_ids == ("p, data_scientist, gpt4_models, invoke, allow",)
    assert verdict.reasons == ()


def test_a_role_is_inherited_and_an_allowing_row_may_have_a_code(load, asked):
    verdict = load(policy=POLICY).evaluate(asked(act="look"))
    assert verdict.effect is Effect.PERMIT
    assert [reason.code for reason in verdict.reasons] == ["staff.looks"]


@pytest.mark.parametrize(
    "question",
    [
        {"subject": "bob"},
        {"subject": "data_scientist"},
        {"subject": "staff/alice"},
        {"resource": "gpt4_models"},
        {"resource": "gpt-4"},
        {"act": "delete"},
        {"subject": "*"},
        {"resource": "*", "act": "look"},
    ],
)
def test_no_row_is_not_applicable(load, asked, question):
    verdict = load(policy=POLICY).evaluate(asked(**question))
    assert (verdict.effect, verdict.reasons, verdict.policy_ids) == (Effect.NOT_APPLICABLE, (), ())


def test_every_row_that_denies_is_a_reason_though_the_library_stops_at_the_first(load, asked):
    verdict = load(policy=POLICY).evaluate(asked(act="forbidden"))
    assert verdict.effect is Effect.DENY
    assert [reason.code for reason in verdict.reasons] == ["first", "second", "denied"]
    assert verdict.policy_ids[0] == "p, data_scientist, *, forbidden, deny, first"
    assert verdict.reasons[0] == Reason(code="first", message="`policy.csv`, line 8")


def test_a_row_that_cannot_be_judged_does_not_undo_a_denial(load, asked, rules):
    policy = "p, ask, True, deny, no\np, ask, r.subject.level > 3, deny, level\n"
    verdict = load(rules, policy).evaluate(asked(act="ask"))
    assert [reason.code for reason in verdict.reasons] == ["no"]


def test_a_row_that_cannot_be_judged_fails_before_a_permit(load, asked, rules):
    policy = "p, ask, True, allow,\np, ask, r.subject.level > 3, deny, level\n"
    with pytest.raises(EngineFailure, match=r"`policy.csv`, line 2: `r.subject.level` is absent") as failure:
        load(rules, policy).evaluate(asked(act="ask"))
    assert failure.value.cause is FailureCause.ENGINE_ERROR


@pytest.mark.parametrize(
    ("text", "tier", "expected"),
    [
        ("hello", "pro", []),
        ("an ssn", "pro", ["redact types=ssn", "no_store"]),
        ("a mail", "free", ["redact types=mail", "limit_tokens max_tokens=64"]),
    ],
)
def test_rows_of_p2_oblige(load, asked, rules, text, tier, expected):  # noqa: PLR0913, PLR0917 -- fixtures
    verdict = load(rules, OBLIGATIONS).evaluate(asked(act="ask", text=text, properties={"tier": tier}))
    known = {
        "redact types=ssn": Obligation(type="redact", properties={"types": ["ssn"]}),
        "redact types=mail": Obligation(type="redact", properties={"types": ["mail"]}),
        "limit_tokens max_tokens=64": Obligation(type="limit_tokens", properties={"max_tokens": 64}),
        "no_store": Obligation(type="no_store"),
    }
    assert list(verdict.obligations) == [known[one] for one in expected]
    assert [one.rpartition(", ")[2] for one in verdict.policy_ids[1:]] == expected


def test_an_obligation_whose_rows_cannot_be_judged_is_no_permit(load, asked, rules):
    engine = load(
        rules, "p, ask, True, allow,\np2, ask, r2.subject.tier == 'free', limit_tokens max_tokens=64\n"
    )
    with pytest.raises(EngineFailure, match=r"line 2: `r2.subject.tier` is absent"):
        engine.evaluate(asked(act="ask"))


def test_what_a_receiver_does_to_an_obligation_changes_no_policy(load, asked, rules):
    engine = load(rules, OBLIGATIONS)
    question = asked(act="ask", text="an ssn", properties={"tier": "pro"})
    engine.evaluate(question).obligations[0].properties["types"].clear()
    assert engine.evaluate(question).obligations[0].properties == {"types": ["ssn"]}


def test_nothing_is_stored_of_a_denied_call_that_must_not_be_stored(load, asked, rules):
    engine = load(rules, OBLIGATIONS)
    denied = engine.evaluate(asked(act="ask", text="an ssn", properties={"tier": "banned"}))
    assert (denied.effect, denied.obligations) == (Effect.DENY, (Obligation(type="no_store"),))
    assert engine.evaluate(asked(act="ask", properties={"tier": "banned"})).obligations == ()


def test_nothing_is_stored_of_a_denied_call_where_that_cannot_be_told(load, asked, rules):
    engine = load(rules, "p, ask, True, deny,\np2, ask, r2.subject.regulated, no_store\n")
    assert engine.evaluate(asked(act="ask")).obligations == (Obligation(type="no_store"),)


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_what_a_row_obliges_to_is_carried_out(load, decide, request_of, rules, driver):
    engine = load(rules, OBLIGATIONS)
    decision = decide(engine, request_of(act="ask", text="my ssn", properties={"tier": "pro"}), driver=driver)
    assert decision.permitted
    assert decision.changes.no_store
    assert "ssn" not in decision.changes.texts[(0,)].replace("REDACTED:ssn", "")
    assert decision.answers[0].revision == engine.revision


@pytest.mark.parametrize("driver", ["sync", "async"])
def test_an_engine_failure_denies(load, decide, request_of, rules, driver):
    engine = load(rules, "p, ask, r.subject.level > 3, allow,\n")
    decision = decide(engine, request_of(act="ask"), driver=driver)
    assert not decision.permitted
    assert decision.failure is FailureCause.ENGINE_ERROR


def test_found_current_leaves_out_what_was_found_before_and_by_whom_it_was_not_said(load, asked, rules):
    engine = load(
        rules, "p, ask, 'ssn' in r.ctx.found, allow,\np, now, 'ssn' in r.ctx.found_current, allow,\n"
    )
    said = {"text": "an ssn"}
    assert engine.evaluate(asked(act="now", **said)).effect is Effect.PERMIT
    assert engine.evaluate(asked(act="now", origin=Origin.SYSTEM, **said)).effect is Effect.NOT_APPLICABLE
    assert engine.evaluate(asked(act="ask", origin=Origin.SYSTEM, **said)).effect is Effect.PERMIT


def test_what_a_host_calls_found_is_not_what_was_found(load, asked, rules):
    engine = load(rules, "p, ask, size(r.ctx.found) == 0 && size(r.ctx.found_current) == 0, allow,\n")
    forged = {"found": ["ssn"], "found_current": ["ssn"]}
    assert engine.evaluate(asked(act="ask", context=forged)).effect is Effect.PERMIT


def test_roles_hold_in_their_tenant_alone(load, asked, matching):
    model = matching(
        "g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.act == p.act",
        columns="sub, dom, act",
        effect="some(where (p.eft == allow))",
        graphs=["g = _, _, _"],
    )
    engine = load(model, "g, user:alice, admin, acme\np, admin, acme, invoke\np, admin, globex, invoke\n")

    def effect(tenant):
        return engine.evaluate(asked(properties={"tenant": tenant})).effect

    assert effect("acme") is Effect.PERMIT
    assert effect("globex") is Effect.NOT_APPLICABLE
    assert effect("*") is Effect.NOT_APPLICABLE
    assert effect("") is Effect.NOT_APPLICABLE
    for nobody in ({}, {"tenant": None}, {"tenant": ["acme"]}):
        with pytest.raises(EngineFailure, match=r"domain|absent"):
            engine.evaluate(asked(properties=nobody))


def test_an_access_control_list_names_people_and_models(load, asked, matching):
    model = matching(
        "r.sub == p.sub && r.obj == p.obj && r.act == p.act",
        columns="sub, obj, act",
        effect="some(where (p.eft == allow))",
        graphs=["g = _, _"],
    )
    engine = load(model, "p, user:alice, model:gpt-4o, invoke\n")
    assert engine.evaluate(asked()).effect is Effect.PERMIT
    assert engine.evaluate(asked("bob")).effect is Effect.NOT_APPLICABLE
    assert engine.evaluate(asked("service/alice")).effect is Effect.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("effect", "policy", "expected"),
    [
        ("some(where (p.eft == allow))", "p, ask, deny\np, ask, allow", Effect.PERMIT),
        ("some(where (p.eft == allow))", "p, ask, deny", Effect.DENY),
        ("!some(where (p.eft == deny))", "p, ask, deny\np, ask, allow", Effect.DENY),
        ("!some(where (p.eft == deny))", "p, other, deny", Effect.PERMIT),
        ("priority(p.eft) || deny", "p, ask, allow\np, ask, deny", Effect.PERMIT),
        ("priority(p.eft) || deny", "p, ask, deny\np, ask, allow", Effect.DENY),
        ("priority(p.eft) || deny", "p, other, allow", Effect.NOT_APPLICABLE),
    ],
)
def test_every_effect_of_casbin_is_an_answer(load, asked, matching, effect, policy, expected):  # noqa: PLR0913, PLR0917 -- fixtures
    engine = load(matching("r.act == p.act", columns="act, eft", effect=effect), policy)
    assert engine.evaluate(asked(act="ask")).effect is expected


def test_rows_are_judged_by_their_priority(load, asked, matching):
    model = matching("r.act == p.act", columns="priority, act, eft", effect="priority(p.eft) || deny")
    engine = load(model, "p, 20, ask, allow\np, 3, ask, deny\n")
    verdict = engine.evaluate(asked(act="ask"))
    assert (verdict.effect, verdict.policy_ids) == (Effect.DENY, ("p, 3, ask, deny",))
    assert verdict.reasons[0].message == "`policy.csv`, line 2"


def test_the_nearest_role_outranks_by_subject_priority(load, asked, matching):
    model = matching(
        "g(r.sub, p.sub) && r.act == p.act",
        columns="sub, act, eft",
        effect="subjectPriority(p.eft) || deny",
        graphs=["g = _, _"],
    )
    engine = load(
        model, "p, staff, ask, deny\np, user:alice, ask, allow\ng, user:alice, staff\ng, user:bob, staff\n"
    )
    assert engine.evaluate(asked("alice", act="ask")).effect is Effect.PERMIT
    assert engine.evaluate(asked("bob", act="ask")).effect is Effect.DENY


def test_obligations_are_judged_by_their_own_effect(load, asked, rules):
    # The library's enforcer would judge them by the effect of `e`.
    model = rules.replace("p2 = act, rule, ob", "p2 = act, rule, eft, ob")
    policy = "p, ask, True, allow,\np2, ask, True, deny, no_store\np2, ask, True, allow, no_store\n"
    assert load(model, policy).evaluate(asked(act="ask")).obligations == (Obligation(type="no_store"),)


@pytest.mark.parametrize("effect", ["!some(where (p.eft == deny))", "some(where (p.eft == allow))"])
def test_a_policy_without_rows_permits_nothing(load, asked, matching, effect):
    # The library makes up an empty row, which this matcher would match.
    model = matching("r.sub != p.sub || r.act == p.act", columns="sub, act, eft", effect=effect)
    assert load(model, "").evaluate(asked()).effect is Effect.NOT_APPLICABLE


def test_a_matcher_that_reads_no_row_needs_none(load, asked, matching):
    model = matching("r.subject.team == r.resource.team", columns="note", graphs=["g = _, _"])
    engine = load(
        model.replace(
            "some(where (p.eft == allow)) && !some(where (p.eft == deny))", "some(where (p.eft == allow))"
        ),
        "",
    )
    assert engine.evaluate(asked(properties={"team": "a"}, about={"team": "a"})).policy_ids == ("m",)
    assert (
        engine.evaluate(asked(properties={"team": "a"}, about={"team": "b"})).effect is Effect.NOT_APPLICABLE
    )


@pytest.mark.parametrize("kind", ["", "user:admin", ":"])
def test_an_entity_that_could_be_taken_for_another_is_rejected(load, asked, kind):
    question = asked()
    question.document["subject"]["type"] = kind
    with pytest.raises(EngineFailure) as failure:
        load(policy=POLICY).evaluate(question)
    assert failure.value.cause is FailureCause.REQUEST_REJECTED


def test_the_same_policy_has_the_same_revision_and_another_has_another(load):
    first = load(policy=POLICY).revision
    assert len(first) == 16
    assert load(policy=POLICY).revision == first
    assert load(policy=POLICY + "p, staff, gpt4_models, new, allow,\n").revision != first


def test_it_says_what_it_asks_and_where(load):
    engine = load(policy="", stages=["model_selection"])
    assert isinstance(engine, ExplainingEngine)
    assert engine.stages == {Stage.MODEL_SELECTION}
    assert engine.entrypoint(Stage.MODEL_SELECTION).startswith("enforce(sub, obj, act")
    assert engine.entrypoint(Stage.PRE_PROMPT) is None
    assert (engine.name, engine.remote) == ("casbin", False)


def test_a_closed_engine_answers_nothing(load, asked):
    engine = load(policy=POLICY)
    engine.close()
    engine.close()
    with pytest.raises(EngineFailure, match="closed"):
        engine.evaluate(asked())


def test_sixteen_threads_and_a_thousand_tasks_get_the_right_answers(load, asked, decide, request_of):
    engine = load(policy=POLICY)
    questions = [asked("alice"), asked("bob"), asked(act="forbidden"), asked("mallory", resource="x" * 50)]
    expected = [Effect.PERMIT, Effect.NOT_APPLICABLE, Effect.DENY, Effect.NOT_APPLICABLE]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda one: engine.evaluate(questions[one % 4]).effect, range(2000)))
    assert answers == expected * 500
    pep = EnforcementPoint(engine, record=lambda _: None)

    async def everybody():
        return await asyncio.gather(
            *(pep.adecide(request_of("alice" if n % 2 else "bob")) for n in range(1000))
        )

    assert [decision.permitted for decision in asyncio.run(everybody())] == [False, True] * 500
