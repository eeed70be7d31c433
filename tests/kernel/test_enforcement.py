"""The enforcement point, in both drivers: what is permitted, changed and recorded."""

import pytest

from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.detection import Detectors
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import PolicyDenied
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Effect, Obligation, Stage, Verdict


def test_a_permit_passes_and_is_recorded_once(ask):
    decision, records = ask(permit())
    assert not decision.denied
    assert len(records) == 1


@pytest.mark.parametrize(
    ("engine", "code"),
    [
        (StaticEngine(deny("pii.us_ssn")), "pii.us_ssn"),
        (StaticEngine(Verdict(effect=Effect.DENY)), "denied"),
        (StaticEngine(not_applicable()), "not_applicable"),
        (FailingEngine(answer=True), "failure.invalid_answer"),
        (FailingEngine(answer=None), "failure.invalid_answer"),
        (StaticEngine(permit(Obligation(type=[]))), "failure.invalid_answer"),
        (StaticEngine(permit(Obligation(type="no_store", properties=[]))), "failure.invalid_answer"),
        (StaticEngine(Verdict(effect=Effect.PERMIT, reasons=None)), "failure.invalid_answer"),
        (FailingEngine(error=ValueError("hello")), "failure.engine_error"),
        (FailingEngine("timeout"), "failure.timeout"),
        (StaticEngine(permit(obligation("dance"))), "unsupported_obligation"),
        (StaticEngine(permit(obligation("redact", types=["email"]))), "unsupported_obligation"),
        (StaticEngine(permit(obligation("require_approval", approvers=["x"]))), "unsupported_obligation"),
    ],
)
def test_everything_but_a_clean_permit_is_denied_with_a_reason_and_one_record(ask, engine, code):
    decision, records = ask(engine)
    assert decision.denied
    assert decision.reasons[0].code == code
    assert len(records) == 1
    assert "hello" not in repr(decision)
    with pytest.raises(PolicyDenied, match=decision.decision_id):
        decision.raise_if_denied()
    monitored, _ = ask(engine, enforcement={"default": "monitor"})
    assert not monitored.denied
    assert not monitored.permitted
    assert not monitored.changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"text": "x" * 11}, "limit.text"),
        ({"text": "\ud800"}, "limit.encoding"),
        ({"context": {"n": float("nan")}}, "limit.number"),
        ({"context": {"n": 2**63}}, "limit.number"),
        ({"context": {"n": {"a": {"b": {"c": 1}}}}}, "limit.depth"),
        ({"context": {"n": object()}}, "limit.type"),
        ({"context": {"n": {1: 2}}}, "limit.type"),
        ({"context": {"\udfff": 2}}, "limit.encoding"),
    ],
)
def test_what_is_over_the_limits_never_reaches_an_engine(ask, question, changes, code):
    engine = StaticEngine(permit())
    decision, records = ask(engine, question(**changes), limits={"text": 10, "depth": 3})
    assert decision.denied
    assert decision.reasons[0].code == code
    assert engine.asked == []
    assert len(records) == 1


def test_redaction_leaves_no_finding_and_monitor_changes_nothing(ask, question):
    answer = permit(obligation("redact", types=["digit"]))
    decision, _ = ask(answer, question("call 1 now"))
    assert decision.changes.texts == {(0,): "call [REDACTED:digit] now"}
    monitored, _ = ask(answer, question("call 1 now"), enforcement={"default": "monitor"})
    assert not monitored.changes


def test_only_a_named_outage_of_a_remote_engine_opens(ask):
    opened = {"failure": {"open_on": {"pre_prompt": ["timeout"]}}}
    assert ask(FailingEngine("timeout", remote=True), **opened)[0].failed_open
    assert ask(FailingEngine("timeout", remote=False), **opened)[0].denied
    assert ask(FailingEngine("unreachable", remote=True), **opened)[0].denied


def test_a_detector_that_breaks_denies_and_is_recorded(question):
    def broken(text):
        raise ValueError(text)

    records = []
    pep = EnforcementPoint(StaticEngine(permit()), record=records.append)
    pep._concluder.detectors = Detectors({}, {Stage.PRE_PROMPT: (broken,)})
    decision = pep.decide(question("secret"))
    assert decision.denied
    assert records == [decision]
    assert "secret" not in repr(decision)


def test_nothing_is_stored_of_a_call_that_is_refused_with_no_store(ask):
    refusal = Verdict(
        effect=Effect.DENY, obligations=(obligation("no_store"), obligation("redact", types=["x"]))
    )
    decision, _ = ask(refusal)
    assert decision.denied
    assert decision.changes.no_store
    assert [one.obligation.type for one in decision.obligations] == ["no_store"]


def test_a_host_that_could_not_write_the_changes_gets_a_second_record_that_denies(ask, question, drive):
    records = []
    pep = EnforcementPoint(StaticEngine(permit()), record=records.append)
    permitted = drive(pep, question("secret"))
    failed = pep.report_failure(permitted, KeyError("secret"))
    assert failed.denied
    assert failed.reasons[0].code == "obligation_failed"
    assert failed.call_id == permitted.call_id
    assert failed.decision_id != permitted.decision_id
    assert records == [permitted, failed]
    assert "secret" not in repr(failed)


def test_what_no_engine_can_be_asked_is_refused_and_recorded(question):
    records = []
    pep = EnforcementPoint(StaticEngine(permit()), record=records.append)
    decision = pep.refuse(question(), "unsupported_endpoint", "`/v1/images` is not governed")
    assert decision.denied
    assert decision.reasons[0].code == "unsupported_endpoint"
    assert records == [decision]


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
def test_what_a_required_log_has_no_room_for_is_denied_in_every_mode(drive, question, tmp_path, mode):
    settings = {"enforcement": {"default": mode}, "decision_log": {"required": True, "queue": 1}}
    log = DecisionLog(DecisionLogSettings(to=tmp_path / "log", required=True, queue=1))
    engine = StaticEngine(permit())
    pep = EnforcementPoint(engine, Settings.model_validate(settings), record=log)
    assert log.reserve()
    decision = drive(pep, question())
    assert decision.denied
    assert decision.reasons[0].code == "log_unavailable"
    assert engine.asked == []
    log.release()
    assert log.flush()
    assert not drive(pep, question()).denied
    pep.close()
    assert log.written == 2


def test_a_subscriber_hears_every_decision_until_it_ends(question):
    pep = EnforcementPoint(StaticEngine(permit()), record=lambda _: None)
    heard = []
    unsubscribe = pep.subscribe(heard.append)
    first = pep.decide(question())
    unsubscribe()
    pep.decide(question())
    assert heard == [first]


def test_an_engine_cannot_be_provoked_into_an_answer_by_facts_that_the_host_sends(ask, question):
    engine = StaticEngine(permit())
    forged = {"findings": [], "prompt": {"text": "nice"}, "identity": {"source": "key"}, "result": 1}
    ask(engine, question("call 1", context=forged, identity={"source": "none", "asserted": False}))
    context = engine.asked[0]["context"]
    assert [one["type"] for one in context["findings"]] == ["digit"]
    assert context["prompt"]["text"] == "call 1"
    assert context["identity"] == {"source": "none", "asserted": False}
    assert "result" not in context
