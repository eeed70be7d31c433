"""The enforcement point, in both drivers: what is permitted, changed and recorded."""

import asyncio
import dataclasses
from typing import Any

import pytest

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import EngineFailure, PolicyDenied
from checkrein.settings import Settings
from checkrein.vocabulary import (
    AccessRequest,
    Effect,
    Entity,
    Obligation,
    Origin,
    Reason,
    Segment,
    Stage,
    Verdict,
)

SUPPORTS = frozenset({"redact", "route", "limit_tokens"})


@dataclasses.dataclass
class Engine:
    answer: Any
    remote: bool = False
    name: str = "scripted"
    revision: str | None = "r1"
    stages: frozenset = frozenset(Stage)
    asked: list = dataclasses.field(default_factory=list)

    def evaluate(self, request):
        self.asked.append(request.document)
        answer = self.answer(request) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        pass


def permit(*obligations):
    return Verdict(effect=Effect.PERMIT, obligations=obligations)


def question(text="hello", **changes):
    segment = Segment(path=(0,), role="user", origin=Origin.USER, text=text)
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice"),
        resource=Entity(type="model", id="small"),
        segments=(segment,),
        supports=SUPPORTS,
    )
    return dataclasses.replace(request, **changes)


def find_digits(text):
    return [Span("digit", place, place + 1) for place, char in enumerate(text) if char.isdigit()]


@pytest.fixture(params=["sync", "async"])
def ask(request):
    def decide(answer, asked=None, *, remote=False, **settings):
        engine = answer if isinstance(answer, Engine) else Engine(answer, remote=remote)
        records = []
        pep = EnforcementPoint(engine, Settings.model_validate(settings), record=records.append)
        pep._detectors = Detectors(
            {Stage.PRE_PROMPT: frozenset({"digit"})}, {Stage.PRE_PROMPT: (find_digits,)}
        )
        asked = asked or question()
        decision = pep.decide(asked) if request.param == "sync" else asyncio.run(pep.adecide(asked))
        assert records[-1] is decision
        return decision, records

    return decide


def test_a_permit_passes_and_is_recorded_once(ask):
    decision, records = ask(permit())
    assert not decision.denied
    assert len(records) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Verdict(effect=Effect.DENY, reasons=(Reason(code="pii.us_ssn"),)), "pii.us_ssn"),
        (Verdict(effect=Effect.DENY), "denied"),
        (Verdict(effect=Effect.NOT_APPLICABLE), "not_applicable"),
        (True, "failure.invalid_answer"),
        (None, "failure.invalid_answer"),
        (permit(Obligation(type=[])), "failure.invalid_answer"),
        (ValueError("hello"), "failure.engine_error"),
        (EngineFailure("timeout", "too slow"), "failure.timeout"),
        (permit(Obligation(type="dance")), "unsupported_obligation"),
        (permit(Obligation(type="redact", properties={"types": ["email"]})), "unsupported_obligation"),
        (
            permit(Obligation(type="require_approval", properties={"approvers": ["x"]})),
            "unsupported_obligation",
        ),
    ],
)
def test_everything_but_a_clean_permit_is_denied_with_a_reason_and_one_record(ask, answer, code):
    decision, records = ask(answer)
    assert decision.denied
    assert decision.reasons[0].code == code
    assert len(records) == 1
    assert "hello" not in repr(decision)
    with pytest.raises(PolicyDenied, match=decision.decision_id):
        decision.raise_if_denied()
    monitored, _ = ask(answer, enforcement={"default": "monitor"})
    assert not monitored.denied
    assert not monitored.permitted
    assert not monitored.changes


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (question("x" * 11), "limit.text"),
        (question("\ud800"), "limit.encoding"),
        (question(context={"n": float("nan")}), "limit.number"),
        (question(context={"n": {"a": {"b": {"c": 1}}}}), "limit.depth"),
        (question(context={"n": object()}), "limit.type"),
    ],
)
def test_what_is_over_the_limits_never_reaches_an_engine(ask, asked, code):
    engine = Engine(permit())
    decision, records = ask(engine, asked, limits={"text": 10, "depth": 3})
    assert decision.denied
    assert decision.reasons[0].code == code
    assert engine.asked == []
    assert len(records) == 1


def test_redaction_leaves_no_finding_and_monitor_changes_nothing(ask):
    answer = permit(Obligation(type="redact", properties={"types": ["digit"]}))
    decision, _ = ask(answer, question("call 1 now"))
    assert decision.changes.texts == {(0,): "call [REDACTED:digit] now"}
    monitored, _ = ask(answer, question("call 1 now"), enforcement={"default": "monitor"})
    assert not monitored.changes


def route_to(targets):
    def answer(request):
        target = targets.get(request.request.resource.id)
        return permit(Obligation(type="route", properties={"model": target})) if target else permit()

    return answer


def test_a_route_asks_model_selection_and_the_prompt_again_and_each_hop_is_a_record(ask):
    engine = Engine(route_to({"small": "large"}))
    decision, records = ask(engine)
    assert decision.changes.model == "large"
    assert [one["stage"] for one in engine.asked] == ["pre_prompt", "model_selection", "pre_prompt"]
    assert len({record.call_id for record in records}) == 1


def test_a_route_back_is_a_loop_and_a_denial(ask):
    decision, _ = ask(route_to({"small": "large", "large": "small"}))
    assert decision.denied
    assert decision.reasons[0].code == "route_loop"


def test_only_a_named_outage_of_a_remote_engine_opens(ask):
    opened = {"failure": {"open_on": {"pre_prompt": ["timeout"]}}}
    assert ask(EngineFailure("timeout", ""), remote=True, **opened)[0].failed_open
    assert ask(EngineFailure("timeout", ""), remote=False, **opened)[0].denied
    assert ask(EngineFailure("unreachable", ""), remote=True, **opened)[0].denied


def test_a_detector_that_breaks_denies_and_is_recorded():
    def broken(text):
        raise ValueError(text)

    records = []
    pep = EnforcementPoint(Engine(permit()), record=records.append)
    pep._detectors = Detectors({}, {Stage.PRE_PROMPT: (broken,)})
    decision = pep.decide(question("secret"))
    assert decision.denied
    assert records == [decision]
    assert "secret" not in repr(decision)
