"""The gate of a stream at a limit, and under rules by which a denial does not stand."""

import pytest
from gated import PROSE, STAGE, asked, delta, detectors, joined, make, question

from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.errors import PolicyDenied
from checkrein.modes import can_stand
from checkrein.settings import Enforcement
from checkrein.testing import deny, permit
from checkrein.vocabulary import Entity

MONITOR = {"default": "monitor"}


@pytest.mark.parametrize("mode", ["hold", "window"])
@pytest.mark.parametrize(
    ("deltas", "code"),
    [
        ([delta("hello"), delta("x" * 20)], "limit.text"),
        ([delta("hello"), delta("\ud83d")], "limit.encoding"),
        ([delta("a", path) for path in range(4)], "limit.segments"),
    ],
)
def test_what_is_over_the_limits_is_denied_at_once_and_reaches_no_engine(play, mode, deltas, code):
    pep, engine, records = make(permit(), mode=mode, limits={"text": 30, "segments": 3}, found=detectors())
    gate = pep.stream(question())
    with pytest.raises(PolicyDenied, match=code):
        play(gate, deltas, finish=False)
    assert engine.asked == []
    assert [one.reasons[0].code for one in records] == [code]


def test_more_findings_than_the_limit_are_denied_before_they_leave(play):
    pep, _, records = make(permit(), limits={"findings": 20}, found=detectors())
    gate = pep.stream(question())
    with pytest.raises(PolicyDenied, match=r"limit\.findings"):
        play(gate, [delta("# ") for _ in range(100)], finish=False)
    assert len(records) == 2


def test_where_no_denial_could_stand_everything_passes_along_and_is_judged_at_the_end(play):
    pep, engine, records = make(deny("pii.us_ssn"), mode="hold", enforcement=MONITOR, found=detectors())
    gate = pep.stream(question())
    assert gate.mode == "open"
    assert play(gate, [delta("a#"), delta("b", 1)]) == [{(0,): "a#"}, {(1,): "b"}, {}]
    assert asked(engine) == [(False, 3)]
    assert [(one.permitted, one.enforced) for one in records] == [(False, False)]


def test_an_open_stream_over_the_limit_passes_and_no_more_of_it_is_kept(play):
    pep, engine, records = make(permit(), enforcement=MONITOR, limits={"text": 20})
    gate = pep.stream(question())
    steps = play(gate, [delta("x" * 8)] * 50)
    assert joined(steps) == "x" * 400
    assert engine.asked == []
    assert [one.reasons[0].code for one in records] == ["limit.text"]
    assert sum(len(one.text) for one in records[0].request.segments) == 16


@pytest.mark.parametrize("mode", ["hold", "window"])
def test_a_judgement_that_does_not_stand_changes_nothing(play, mode):
    rules = [{"reasons": ["pii.*"], "mode": "monitor"}]
    pep, _, records = make(deny("pii.hash"), mode=mode, enforcement={"rules": rules}, found=detectors())
    gate = pep.stream(question())
    assert gate.mode == mode
    deltas = [delta(char) for char in PROSE * 3 + "# " + PROSE * 3]
    assert joined(play(gate, deltas)) == "".join(one.text for one in deltas)
    assert not any(one.enforced for one in records)


@pytest.mark.parametrize("mode", ["hold", "window"])
def test_a_limit_that_does_not_stand_lets_the_stream_pass_along(play, mode):
    rules = [{"reasons": ["limit.*"], "mode": "monitor"}]
    pep, _, records = make(permit(), mode=mode, enforcement={"rules": rules}, limits={"text": 60})
    steps = play(pep.stream(question()), [delta(PROSE) for _ in range(10)])
    assert joined(steps) == PROSE * 10
    assert records[-1].reasons[0].code == "limit.text"
    assert len(records) <= 3


@pytest.mark.parametrize("mode", ["hold", "window"])
def test_a_limit_at_the_last_ask_that_does_not_stand_loses_no_text(play, mode):
    rules = {"enforcement": {"rules": [{"reasons": ["limit.*"], "mode": "monitor"}]}}
    pep, _, _ = make(permit(), mode=mode, found=detectors(), limits={"text": 20}, **rules)
    gate = pep.stream(question())
    steps = play(gate, [delta("abcdefgh"), delta("i", 1)], segments=(delta("x" * 20, 2),))
    assert not gate.decision.permitted
    assert [joined(steps, path) for path in range(3)] == ["abcdefgh", "i", "x" * 20]


@pytest.mark.parametrize(
    ("told", "stands"),
    [
        ({}, True),
        (MONITOR, False),
        ({"rules": [{"mode": "monitor"}]}, False),
        ({"rules": [{"mode": "monitor", "reasons": ["*"]}]}, False),
        ({"rules": [{"mode": "monitor", "reasons": ["pii.*"]}]}, True),
        ({"default": "monitor", "rules": [{"mode": "monitor", "reasons": ["pii.*"]}]}, False),
        ({"default": "monitor", "rules": [{"mode": "enforce", "reasons": ["pii.*"]}]}, True),
        ({"default": "monitor", "rules": [{"mode": "enforce", "stages": ["pre_prompt"]}]}, False),
        ({"rules": [{"mode": "monitor", "subject": {"team": "hr"}}]}, False),
        ({"rules": [{"mode": "monitor", "subject": {"team": "it"}}]}, True),
        ({"rules": [{"mode": "monitor"}, {"mode": "enforce"}]}, False),
        ({"rules": [{"mode": "enforce", "reasons": ["x"]}, {"mode": "monitor"}]}, True),
    ],
)
def test_a_denial_can_stand_where_any_rule_that_comes_first_enforces(told, stands):
    subject = Entity(type="user", id="alice", properties={"team": "hr"})
    assert can_stand(Enforcement.model_validate(told), STAGE, subject) is stands


def test_a_required_log_without_room_denies_under_monitor_too(play, tmp_path):
    told = DecisionLogSettings.model_validate({"to": tmp_path / "log", "required": True, "queue": 1})
    log = DecisionLog(told)
    assert log.reserve()
    pep, engine, _ = make(permit(), enforcement=MONITOR, record=log)
    gate = pep.stream(question())
    assert gate.mode == "window"
    with pytest.raises(PolicyDenied, match="log_unavailable"):
        play(gate, [delta("a")], finish=False)
    assert engine.asked == []
    log.release()
    log.close()
