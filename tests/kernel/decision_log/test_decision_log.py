"""The decision log from outside: one line per decision, its fields, no touch of the application's logging."""

import json
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import structlog
from opentelemetry import trace
from pydantic import ValidationError
from structlog.testing import capture_logs

from checkrein.decision import Discharge, DischargedObligation
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import FailureCause, SettingsError
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import AccessRequest, Entity, Obligation, Origin, Reason, Segment, Stage


def ask(engine, text="hello there", settings=None, **changes):
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice", properties={"tier": "pro"}),
        resource=Entity(type="model", id="small"),
        segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),),
        supports=frozenset({"limit_tokens", "remove_tools", "replace", "set_parameters"}),
        call_id="call-1",
    )
    records = []
    pep = EnforcementPoint(engine, Settings.model_validate(settings or {}), record=records.append)
    pep.decide(replace(request, **changes))
    return records[-1]


CHOOSING = AccessRequest(
    stage=Stage.MODEL_SELECTION,
    subject=Entity(type="user", id="alice"),
    resource=Entity(type="model", id="any"),
)


@pytest.fixture
def log(path):
    with_file = DecisionLog(DecisionLogSettings(to=path), settings_revision="s-1")
    yield with_file
    with_file.close()


def written(log, path):
    assert log.flush()
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def one(log, path, decision):
    log.record(decision)
    (record,) = written(log, path)
    return record


def test_a_permit_is_one_line_with_its_fields_in_this_order(log, path):
    record = one(log, path, ask(StaticEngine(permit())))
    assert list(record) == [
        "event", "record", "input_schema", "timestamp", "decision_id", "call_id", "attempt", "stage",
        "permitted", "enforced", "failed_open", "effect", "reasons", "obligations", "changes", "answers",
        "duration_us", "settings_revision", "input",
    ]  # fmt: skip
    assert record["event"] == "policy_decision"
    assert (record["record"], record["input_schema"]) == (1, 1)
    assert (record["call_id"], record["attempt"], record["stage"]) == ("call-1", 1, "pre_prompt")
    assert (record["permitted"], record["enforced"], record["effect"]) == (True, True, "permit")
    assert record["changes"] == {}
    assert record["settings_revision"] == "s-1"


def test_the_time_is_utc_with_microseconds(log, path):
    stamp = one(log, path, ask(StaticEngine(permit())))["timestamp"]
    assert len(stamp) == len("2026-11-24T09:21:23.193613Z")
    assert stamp[10] == "T"
    assert stamp.endswith("Z")


def test_a_failure_is_recorded_in_the_place_of_an_effect(log, path):
    record = one(log, path, ask(FailingEngine(FailureCause.TIMEOUT, detail="took 3 s", remote=True)))
    assert record["failure"] == "timeout"
    assert "effect" not in record
    (answer,) = record["answers"]
    assert (answer["engine"], answer["cause"], answer["detail"]) == ("failing", "timeout", "took 3 s")
    assert "effect" not in answer


def test_a_denial_says_why(log, path):
    record = one(log, path, ask(StaticEngine(deny("tier.too_low", "buy the large one"))))
    assert record["reasons"] == [{"code": "tier.too_low", "message": "buy the large one"}]
    assert record["answers"][0]["effect"] == "deny"


def test_a_reason_without_a_message_has_none(log, path):
    assert one(log, path, ask(StaticEngine(deny("no"))))["reasons"] == [{"code": "no"}]


def test_messages_are_cut_and_reasons_beyond_a_hundred_are_counted(log, path):
    decision = ask(StaticEngine(permit(reasons=[Reason(code="why", message="m" * 600)] * 103)))
    record = one(log, path, decision)
    assert len(record["reasons"]) == 100
    assert record["reasons_omitted"] == 3
    assert record["reasons"][0]["message"] == "m" * 512


def test_obligations_are_recorded_with_what_became_of_them(log, path):
    bound = Obligation(type="limit_tokens", properties={"max_tokens": 100}, id="small-ones")
    record = one(log, path, ask(StaticEngine(permit(bound, obligation("remove_tools", names=["b", "a"])))))
    assert record["obligations"] == [
        {"type": "limit_tokens", "properties": {"max_tokens": 100}, "id": "small-ones", "state": "done"},
        {"type": "remove_tools", "properties": {"names": ["b", "a"]}, "state": "done"},
    ]


def test_changes_are_told_in_numbers_and_names_never_in_texts(log, path):
    decision = ask(
        StaticEngine(
            permit(
                obligation("replace", text="the house's own words"),
                obligation("limit_tokens", max_tokens=7),
                obligation("set_parameters", top_p=1, temperature=0),
                obligation("remove_tools", names=["b", "a"]),
                obligation("no_store"),
            )
        )
    )
    assert one(log, path, decision)["changes"] == {
        "texts": 1,
        "max_tokens": 7,
        "no_store": True,
        "parameters": ["temperature", "top_p"],
        "remove_tools": ["a", "b"],
    }


def test_a_monitored_denial_is_recorded_as_not_enforced(log, path):
    record = one(log, path, ask(StaticEngine(deny("no")), settings={"enforcement": {"default": "monitor"}}))
    assert (record["permitted"], record["enforced"]) == (False, False)


def test_of_candidates_their_names_the_judgement_and_its_codes_are_recorded(log, path):
    def answer(request):
        return permit() if request.document["resource"]["id"] == "small" else deny("tier", "of a large one")

    rules = {"enforcement": {"rules": [{"reasons": ["lax"], "mode": "monitor"}]}}
    pep = EnforcementPoint(StaticEngine(answer), Settings.model_validate(rules), record=log)
    names = ("small", "x" * 300, *(f"m{number}" for number in range(99)))
    pep.filter_candidates(CHOOSING, [Entity(type="model", id=name) for name in names])
    (record,) = written(log, path)
    assert record["permitted"] is True
    assert record["candidates"][0] == {"id": "small", "permitted": True, "codes": []}
    assert record["candidates"][1] == {"id": "x" * 256, "permitted": False, "codes": ["tier"]}
    assert len(record["candidates"]) == 100
    assert record["candidates_omitted"] == 1
    assert "of a large one" not in str(record["candidates"])


def test_of_a_candidate_whose_refusal_does_not_stand_the_record_says_so(log, path):
    settings = Settings.model_validate({"enforcement": {"default": "monitor"}})
    pep = EnforcementPoint(StaticEngine(deny("tier")), settings, record=log)
    pep.filter_candidates(CHOOSING, [Entity(type="model", id="small")])
    (record,) = written(log, path)
    assert record["candidates"] == [{"id": "small", "permitted": False, "codes": ["tier"], "enforced": False}]
    assert (record["permitted"], record["enforced"]) == (False, False)


def test_of_deployments_of_one_model_their_ids_are_recorded(log, path):
    pep = EnforcementPoint(StaticEngine(permit()), record=log)
    ids = ["in-eu", "x" * 300, 7]
    pep.filter_candidates(
        CHOOSING, [Entity(type="model", id="small", properties={"deployment": one}) for one in ids]
    )
    (record,) = written(log, path)
    assert [one.get("deployment") for one in record["candidates"]] == ["in-eu", "x" * 256, None]


def test_other_events_share_the_file_and_the_envelope(log, path):
    log.event("mode_changed", name="pre_prompt", mode="monitor", timestamp="forged", event="forged")
    (record,) = written(log, path)
    assert list(record) == ["event", "record", "timestamp", "settings_revision", "name", "mode"]
    assert record["event"] == "mode_changed"
    assert record["timestamp"] != "forged"


def test_the_span_of_an_application_that_traces_is_recorded(log, path):
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(context)):
        record = one(log, path, ask(StaticEngine(permit())))
    assert record["trace_id"] == f"{0xABC:032x}"
    assert record["span_id"] == f"{0xDEF:016x}"
    assert list(record)[-3:] == ["trace_id", "span_id", "input"]


def test_without_a_span_there_are_no_trace_ids(log, path):
    assert "trace_id" not in one(log, path, ask(StaticEngine(permit())))


def test_a_tracer_that_breaks_costs_no_record(log, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", object())
    assert one(log, path, ask(StaticEngine(permit())))["event"] == "policy_decision"


@pytest.fixture
def odd_structlog():
    before = structlog.get_config()

    def explode(*_args):
        raise AssertionError("the application's processors were run")

    structlog.configure(
        processors=[explode], wrapper_class=explode, context_class=explode, cache_logger_on_first_use=True
    )
    yield structlog.get_config()
    structlog.configure(**before)


def test_the_applications_structlog_configuration_is_neither_used_nor_changed(odd_structlog, path):
    log = DecisionLog(DecisionLogSettings(to=path))
    record = one(log, path, ask(StaticEngine(permit())))
    log.close()
    assert record["permitted"] is True
    assert structlog.get_config() == odd_structlog


def test_an_application_that_captures_its_logs_does_not_capture_ours(log, path):
    with capture_logs() as captured:
        structlog.get_logger().info("theirs")
        record = one(log, path, ask(StaticEngine(permit())))
    assert [entry["event"] for entry in captured] == ["theirs"]
    assert record["permitted"] is True


def test_a_decision_that_cannot_be_masked_is_counted_and_neither_written_nor_raised(log, path):
    log.record(
        replace(ask(StaticEngine(permit()), text="do not leak me"), document={"context": {"prompt": {}}})
    )
    assert written(log, path) == []
    assert log.dropped["masking_failed"] == 1


def test_what_an_engine_hands_over_in_the_wrong_type_still_makes_one_record(log, path):
    decision = ask(StaticEngine(permit()))
    odd = DischargedObligation(obligation=Obligation(type="x", properties=None), state=Discharge.DROPPED)
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    nested = replace(odd, obligation=Obligation(type="y", properties={"deep": deep, "n": 1 << 90}))
    odd_reason = Reason(code="no", message=7)
    record = one(log, path, replace(decision, obligations=(odd, nested), reasons=(odd_reason,)))
    assert [obliged["type"] for obliged in record["obligations"]] == ["x", "y"]
    assert record["decision_id"] == decision.decision_id
    assert record["replaced"] is True


def test_standard_output_gets_whole_lines(capsys):
    log = DecisionLog(DecisionLogSettings())
    log.record(ask(StaticEngine(permit()), text="ünïcode"))
    log.close()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "policy_decision"


def test_what_is_queued_when_the_interpreter_ends_is_written(tmp_path):
    program = """
        from checkrein.decision_log import DecisionLog, DecisionLogSettings
        log = DecisionLog(DecisionLogSettings())
        for number in range(600):
            log.event("ending", number=number)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=True
    )
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == list(range(600))
    assert done.stderr == b""


def settings(tmp_path, **section):
    return DecisionLogSettings.model_validate(section, context={"base": tmp_path})


def test_a_relative_path_is_relative_to_the_settings_file(tmp_path):
    assert settings(tmp_path, to="log.jsonl").to == tmp_path / "log.jsonl"


def test_standard_output_is_the_default(tmp_path):
    assert settings(tmp_path).to == "stdout"
    assert settings(tmp_path, to="stdout").to == "stdout"


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"to": "absent/log.jsonl"}, "the folder of `absent/log.jsonl` does not exist"),
        ({"to": "."}, "no ordinary file"),
        ({"to": ""}, "must be `stdout` or the path of a file"),
        ({"to": "a\0b"}, "must be `stdout` or the path of a file"),
        ({"to": 1}, "must be `stdout` or the path of a file"),
        ({"content": "everything"}, "Input should be 'facts', 'masked' or 'full'"),
        ({"required": "yes"}, "valid boolean"),
        ({"queue": 0}, "greater than or equal to 1"),
        ({"digest_key": "k" * 15}, "must have `16` to `64` bytes"),
        ({"digest_key": "k" * 65}, "must have `16` to `64` bytes"),
        ({"surprise": 1}, "Extra inputs"),
    ],
)
def test_what_cannot_work_is_refused_when_the_settings_are_read(tmp_path, section, problem):
    with pytest.raises(ValidationError, match=problem) as raised:
        settings(tmp_path, **section)
    assert "kkkk" not in str(raised.value)


def test_a_file_that_cannot_be_opened_is_an_error_at_once_and_not_a_silent_loss(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be opened: Not a directory; name another file"):
        DecisionLog(DecisionLogSettings(to=tmp_path / "file" / "log.jsonl"))
