"""What a real OPA answers, and what comes of it."""

import json

import pytest

from checkrein import Effect, Stage
from checkrein.errors import EngineFailure

REVISION = "2026-11-24T10:00:00Z-a1b2c3"


def policy(rules, package="checkrein.pre_prompt"):
    return f"package {package}\n\n{rules}\n"


@pytest.mark.parametrize(
    "case",
    [
        ("decision := true", Effect.PERMIT, []),
        ("decision := false", Effect.DENY, []),
        ("default decision := false\ndecision if input.subject.properties.tier == `pro`", Effect.PERMIT, []),
        ('decision := {"allow": false, "reasons": {"b", "a"}}', Effect.DENY, ["denied", "denied"]),
        ('decision := {"allow": false, "reasons": [{"code": "x.y", "msg": "z"}]}', Effect.DENY, ["x.y"]),
        ("decision := true if input.subject.id == `bob`", Effect.NOT_APPLICABLE, []),
        ("other := true", Effect.NOT_APPLICABLE, []),
    ],
)
def test_a_rule_decides(opa, engine_of, ask, question, case):
    rules, effect, codes = case
    verdict = ask(engine_of(opa(policy(rules))), question())
    assert verdict.effect is effect
    assert [reason.code for reason in verdict.reasons] == codes


def test_obligations_come_with_their_properties(opa, engine_of, ask, question):
    redact = '{"type": "redact", "properties": {"types": {"b", "a"}}}'
    rules = f'decision := {{"allow": true, "obligations": [{redact}]}}'
    (obligation,) = ask(engine_of(opa(policy(rules))), question()).obligations
    assert (obligation.type, obligation.properties) == ("redact", {"types": ["a", "b"]})


@pytest.mark.parametrize(
    "case",
    [
        ("deny contains `no` if input.subject.id == `alice`", Effect.DENY, ["no"]),
        ("deny contains `no` if input.subject.id == `bob`", Effect.PERMIT, []),
        ("deny := true", Effect.DENY, []),
    ],
)
def test_existing_bundles_run_unchanged(opa, engine_of, ask, question, case):
    rules, effect, messages = case
    engine = engine_of(
        opa(policy(rules, "main")), entrypoints={"pre_prompt": "data.main.deny"}, stages=["pre_prompt"]
    )
    verdict = ask(engine, question())
    assert verdict.effect is effect
    assert [reason.message for reason in verdict.reasons] == messages


@pytest.mark.parametrize(
    "case",
    [
        (
            "decision := 1 if input.subject\ndecision := 2 if input.subject",
            "engine_error",
            "eval_conflict_error",
        ),
        ("decision := 1 / input.context.prompt.length", "engine_error", "eval_builtin_error"),
        ("decision := to_number(input.subject.id) > 3", "engine_error", "eval_builtin_error"),
        # Not strict, this one permits: the reason that the request says `strict-builtin-errors`.
        ("decision := true if not to_number(input.subject.id) > 3", "engine_error", "eval_builtin_error"),
        ('decision := {"allow": true, "obligation": []}', "invalid_answer", "may have the keys"),
        ('decision := {"allow": "true"}', "invalid_answer", "a string"),
        ('decision := "true"', "invalid_answer", "a string"),
        ("decision := 1", "invalid_answer", "a number"),
        ("decision := []", "invalid_answer", "an array"),
        ("decision := null", "invalid_answer", "null"),
    ],
)
def test_what_is_no_decision_is_a_failure_that_never_opens(opa, engine_of, ask, question, case):
    rules, cause, detail = case
    engine = engine_of(opa(policy(rules)))
    with pytest.raises(EngineFailure) as caught:
        ask(engine, question("" if "length" in rules else "Hello"))
    assert caught.value.cause == cause
    assert detail in caught.value.detail


def test_a_failure_tells_codes_and_no_words_of_the_policy_or_the_caller(opa, engine_of, ask, question):
    engine = engine_of(
        opa(policy("decision := to_number(input.context.prompt.text) > 3")), input=["context.prompt.text"]
    )
    with pytest.raises(EngineFailure) as caught:
        ask(engine, question("my secret words"))
    assert caught.value.detail == "`500`: OPA answers an error: `eval_builtin_error`, `internal_error`"


def test_the_record_can_name_opas_decision_and_revision(opa, engine_of, ask, question, permitting):
    server = opa(permitting, revision=REVISION)
    engine = engine_of(server)
    assert engine.revision is None
    verdict = ask(engine, question())
    assert verdict.revision == engine.revision == REVISION
    logged = server.decisions[-1]["decision_id"]
    assert verdict.policy_ids == ("data.checkrein.pre_prompt.decision",)
    assert verdict.decision_id == logged


def test_an_opa_that_logs_no_decisions_gives_no_id(opa, engine_of, ask, question, permitting):
    verdict = ask(engine_of(opa(permitting, logs=False)), question())
    assert verdict.policy_ids == ("data.checkrein.pre_prompt.decision",)


def test_names_that_are_no_identifiers_arrive_as_they_are(opa, engine_of, ask, question):
    server = opa(policy("decision := true", 'team["pre-prompt ü&?#+"]'))
    rule = 'data.team["pre-prompt ü&?#+"].decision'
    assert ask(engine_of(server, entrypoints={"pre_prompt": rule}), question()).effect is Effect.PERMIT


def test_each_stage_asks_its_own_rule(opa, engine_of, ask, question):
    server = opa(
        policy("decision := true", "checkrein.model_selection"), policy("decision := false"), revision="1"
    )
    engine = engine_of(server)
    assert engine.stages == {Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION}
    assert engine.entrypoint(Stage.PRE_PROMPT) == "data.checkrein.pre_prompt.decision"
    assert engine.entrypoint(Stage.TOOL_CALL) is None
    assert ask(engine, question(stage=Stage.MODEL_SELECTION)).effect is Effect.PERMIT
    assert ask(engine, question()).effect is Effect.DENY
    with pytest.raises(EngineFailure, match="no rule answers the stage `tool_call`"):
        ask(engine, question(stage=Stage.TOOL_CALL))


def test_the_token_is_sent_and_a_wrong_one_is_no_outage(opa, engine_of, ask, question, permitting):
    server = opa(permitting, token="s3cret")
    assert ask(engine_of(server, token="s3cret"), question()).effect is Effect.PERMIT
    for options in ({"token": "guess"}, {}):
        with pytest.raises(EngineFailure, match="check `token`") as caught:
            ask(engine_of(server, **options), question())
        assert caught.value.cause == "engine_error"


def test_an_engine_shows_its_token_nowhere(opa, engine_of, permitting):
    engine = engine_of(opa(permitting), token="s3cret")
    assert "s3cret" not in f"{engine!r} {engine._options!r} {engine._options.model_dump()!r}"


def test_before_its_bundles_have_arrived_opa_is_unreachable(opa, engine_of, ask, question, permitting):
    server = opa(permitting)
    server.ready = False
    engine = engine_of(server)
    with pytest.raises(EngineFailure, match="has not loaded its bundles") as caught:
        ask(engine, question())
    assert caught.value.cause == "unreachable"
    server.ready = True
    assert ask(engine, question()).effect is Effect.PERMIT


def test_the_health_is_looked_at_once_a_second_and_not_for_each_undefined_rule(opa, engine_of, ask, question):
    server = opa(policy("other := true"))
    engine = engine_of(server)
    for _ in range(20):
        assert ask(engine, question()).effect is Effect.NOT_APPLICABLE
    looks = [target for method, target, _, _ in server.requests if method == "GET"]
    assert looks == ["/health?bundles"]
    engine._readiness._seen_at -= 1
    ask(engine, question())
    assert len([method for method, *_ in server.requests if method == "GET"]) == 2


def test_a_failing_health_is_not_looked_at_more_often(opa, engine_of, ask, question):
    server = opa(policy("other := true"))
    server.ready = False
    engine = engine_of(server)
    for _ in range(5):
        with pytest.raises(EngineFailure) as caught:
            ask(engine, question())
        assert caught.value.cause == "unreachable"
    assert [method for method, *_ in server.requests].count("GET") == 1


def test_opa_hears_what_it_must_to_be_strict(opa, engine_of, ask, question, permitting):
    server = opa(permitting)
    ask(engine_of(server), question())
    ((method, target, headers, body),) = server.requests
    path = "/v1/data/checkrein/pre_prompt/decision"
    assert (method, target) == ("POST", f"{path}?provenance=true&strict-builtin-errors=true")
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert headers["Content-Type"] == "application/json"
    assert list(json.loads(body)) == ["input"]


def test_a_slash_at_the_end_of_the_url_makes_no_redirect(opa, engine_of, ask, question, permitting):
    server = opa(permitting)
    assert ask(engine_of(f"{server.url}/"), question()).effect is Effect.PERMIT


def test_checking_at_load_wants_a_healthy_opa(opa, engine_of, permitting):
    server = opa(permitting)
    assert engine_of(server, check=True).name == "opa"
    server.ready = False
    with pytest.raises(Exception, match="`check`: OPA is not ready: unreachable") as caught:
        engine_of(server, check=True)
    assert type(caught.value).__name__ == "PolicyLoadError"


def test_checking_at_load_wants_an_opa_that_accepts_us(opa, engine_of, permitting):
    with pytest.raises(Exception, match="`check`: OPA is not ready: engine_error"):
        engine_of(opa(permitting, token="s3cret"), check=True)


def test_checking_at_load_forgives_a_policy_that_fails_on_nothing(opa, engine_of):
    engine_of(opa(policy("decision := to_number(`x`) > 3")), check=True)


def test_an_opa_that_is_away_does_not_stop_the_start(engine_of):
    assert engine_of("http://127.0.0.1:9").stages
    with pytest.raises(Exception, match="ECONNREFUSED"):
        engine_of("http://127.0.0.1:9", check=True)
