"""What passes unjudged because the settings say so: a permit on record, and no more."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from checkrein import EnforcementPoint, Settings
from checkrein.decision_log import DecisionLog
from checkrein.decision_log.settings import DecisionLogSettings
from checkrein.testing import StaticEngine, deny
from checkrein.vocabulary import AccessRequest, Effect, Entity, Stage

REQUEST = AccessRequest(
    stage=Stage.PRE_PROMPT,
    subject=Entity(type="user", id="alice"),
    resource=Entity(type="endpoint", id="realtime"),
)


def test_it_is_permitted_and_recorded_and_no_engine_is_asked():
    records = []
    engine = StaticEngine(deny("no"))
    pep = EnforcementPoint(engine, record=records.append)
    decision = pep.pass_unjudged(REQUEST, "uncovered.realtime", "the settings allow it")
    assert records == [decision]
    assert (decision.permitted, decision.denied, decision.effect) == (True, False, Effect.NOT_APPLICABLE)
    assert [one.code for one in decision.reasons] == ["uncovered.realtime"]
    assert decision.call_id
    assert engine.asked == []


def test_without_room_in_a_required_log_nothing_passes(tmp_path):
    settings = DecisionLogSettings(to=tmp_path / "decisions.jsonl", required=True, queue=1)
    log = DecisionLog(settings)
    try:
        assert log.reserve()
        pep = EnforcementPoint(StaticEngine(deny("no")), record=log)
        decision = pep.pass_unjudged(REQUEST, "uncovered.realtime", "the settings allow it")
    finally:
        log.release()
        log.close()
    assert decision.denied
    assert [one.code for one in decision.reasons] == ["log_unavailable"]


@pytest.mark.parametrize("value", [{"realtime": "yes"}, {"realtime": True}, ["realtime"]])
def test_the_settings_know_two_words(value):
    assert Settings.model_validate({"uncovered": {"realtime": "allow"}}).uncovered == {"realtime": "allow"}
    with pytest.raises(ValidationError):
        Settings.model_validate({"uncovered": value})
