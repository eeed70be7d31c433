"""The engines that tests use, asked by a real enforcement point in both drivers; captured decisions."""

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import checkrein.testing
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import FailureCause
from checkrein.settings import Settings
from checkrein.testing import (
    FailingEngine,
    StaticEngine,
    capture_decisions,
    deny,
    not_applicable,
    obligation,
    permit,
)
from checkrein.vocabulary import AccessRequest, Effect, Entity, Origin, Reason, Segment, Stage, Verdict


def question(stage=Stage.PRE_PROMPT, subject="alice"):
    return AccessRequest(
        stage=stage,
        subject=Entity(type="user", id=subject),
        resource=Entity(type="model", id="small"),
        segments=(Segment(path=(0,), role="user", origin=Origin.USER, text="hello"),),
        supports=frozenset({"route", "limit_tokens"}),
    )


def point(engine, **settings):
    return EnforcementPoint(engine, Settings.model_validate(settings), record=[].append)


@pytest.fixture(params=["sync", "async"])
def decide(request):
    def ask(pep, asked=None):
        asked = asked or question()
        return pep.decide(asked) if request.param == "sync" else asyncio.run(pep.adecide(asked))

    return ask


def test_the_public_names_are_sorted_and_there():
    assert checkrein.testing.__all__ == sorted(checkrein.testing.__all__)
    assert all(inspect.getdoc(getattr(checkrein.testing, name)) for name in checkrein.testing.__all__)


def test_verdicts_are_spelt_short():
    bound = permit(obligation("route", model="large"), reasons=["tier.free", Reason(code="other")])
    assert bound.effect is Effect.PERMIT
    assert bound.obligations[0].type == "route"
    assert bound.obligations[0].properties == {"model": "large"}
    assert [one.code for one in bound.reasons] == ["tier.free", "other"]
    assert permit() == Verdict(effect=Effect.PERMIT)
    assert deny("pii.us_ssn", "why").reasons == (Reason(code="pii.us_ssn", message="why"),)
    assert deny("pii.us_ssn", "why").reasons[0].message == "why"
    assert deny().reasons[0].code == "denied"
    assert not_applicable().effect is Effect.NOT_APPLICABLE


def test_an_obligation_may_have_a_property_named_type():
    assert obligation("set_parameters", type="json").properties == {"type": "json"}


@pytest.mark.parametrize("remote", [False, True])
def test_a_static_engine_answers_and_remembers_what_it_was_asked(decide, remote):
    engine = StaticEngine(deny("no"), remote=remote)
    decision = decide(point(engine))
    assert decision.denied
    assert decision.reasons[0].code == "no"
    assert (decision.answers[0].engine, decision.answers[0].effect) == ("static", Effect.DENY)
    assert [asked["context"]["prompt"]["text"] for asked in engine.asked] == ["hello"]


def test_a_static_engine_answers_by_stage_and_covers_those_stages_alone(decide):
    engine = StaticEngine({Stage.PRE_PROMPT: permit(), "post_completion": lambda _: deny("late")})
    assert engine.stages == {Stage.PRE_PROMPT, Stage.POST_COMPLETION}
    pep = point(engine)
    assert decide(pep).permitted
    assert decide(pep, question(Stage.POST_COMPLETION)).reasons[0].code == "late"
    assert decide(pep, question(Stage.MODEL_SELECTION)).reasons[0].code == "not_applicable"
    assert len(engine.asked) == 2


def test_a_stage_that_the_mapping_lacks_is_not_applicable(decide):
    pep = point(StaticEngine({Stage.PRE_PROMPT: permit()}, stages=Stage))
    assert decide(pep, question(Stage.POST_COMPLETION)).effect is Effect.NOT_APPLICABLE


def test_a_misspelt_stage_is_an_error_at_once():
    with pytest.raises(ValueError, match="pre_promt"):
        StaticEngine({"pre_promt": permit()})


def test_a_static_engine_can_answer_by_a_function_of_the_request(decide):
    pep = point(StaticEngine(lambda asked: permit() if asked.request.subject.id == "alice" else deny("who")))
    assert decide(pep).permitted
    assert decide(pep, question(subject="bob")).denied


@pytest.mark.parametrize("cause", list(FailureCause))
def test_a_failing_engine_fails_with_the_cause_it_was_told(decide, cause):
    engine = FailingEngine(cause, detail="the detail", remote=True)
    decision = decide(point(engine))
    assert decision.reasons[0].code == f"failure.{cause}"
    assert (decision.answers[0].engine, decision.answers[0].detail) == ("failing", "the detail")
    assert len(engine.asked) == 1


def test_only_a_remote_failing_engine_can_open(decide):
    opened = {"failure": {"open_on": {"pre_prompt": ["timeout"]}}}
    assert decide(point(FailingEngine("timeout", remote=True), **opened)).failed_open
    assert decide(point(FailingEngine("timeout"), **opened)).denied


def test_a_failing_engine_can_break_or_answer_nonsense(decide):
    assert decide(point(FailingEngine(error=KeyError))).reasons[0].code == "failure.engine_error"
    for nonsense in (True, None, {"allow": True}):
        decision = decide(point(FailingEngine(answer=nonsense)))
        assert decision.reasons[0].code == "failure.invalid_answer"


def test_a_failing_engine_can_be_cancelled(decide):
    with pytest.raises(asyncio.CancelledError):
        decide(point(FailingEngine(error=asyncio.CancelledError(), remote=True)))


def test_a_cause_that_does_not_exist_is_an_error_at_once():
    with pytest.raises(ValueError, match="tiemout"):
        FailingEngine("tiemout")


@pytest.mark.parametrize("make", [lambda **options: StaticEngine(permit(), **options), FailingEngine])
async def test_only_a_remote_engine_is_awaited_and_both_remember_that_they_were_closed(make):
    embedded, remote = make(), make(remote=True)
    assert not hasattr(embedded, "aevaluate")
    assert hasattr(remote, "aevaluate")
    for engine in (embedded, remote):
        assert not engine.closed
        await point(engine).aclose()
        assert engine.closed
        engine.close()


async def test_a_remote_engine_lets_others_run_while_it_is_asked():
    order = []
    pep = point(StaticEngine(lambda _: order.append("answered") or permit(), remote=True))

    async def other():
        order.append("other")

    await asyncio.gather(pep.adecide(question()), other())
    assert order == ["other", "answered"]


def test_captured_decisions_are_those_inside_the_with_besides_the_normal_record(decide):
    records = []
    pep = EnforcementPoint(StaticEngine(permit()), record=records.append)
    before = decide(pep)
    with capture_decisions(pep) as decisions:
        assert decisions == []
        first = decide(pep)
        assert decisions == [first]
        second = decide(pep, question(Stage.POST_COMPLETION))
    after = decide(pep)
    assert decisions == [first, second]
    assert records == [before, first, second, after]


def test_captures_nest_and_end_with_an_exception_too():
    pep = point(StaticEngine(permit()))
    with capture_decisions(pep) as outer:
        first = pep.decide(question())
        with suppress(KeyError), capture_decisions(pep) as inner:
            second = pep.decide(question())
            raise KeyError
        third = pep.decide(question())
    pep.decide(question())
    assert inner == [second]
    assert outer == [first, second, third]


def test_every_hop_and_every_reported_failure_is_captured():
    route = StaticEngine(
        lambda asked: (
            permit(obligation("route", model="large")) if asked.request.resource.id == "small" else permit()
        )
    )
    pep = point(route)
    with capture_decisions(pep) as decisions:
        final = pep.decide(question())
        refused = pep.report_failure(final, ValueError())
    assert len(decisions) == len(route.asked) + 1
    assert decisions[-2:] == [final, refused]


def test_decisions_of_many_threads_are_captured_each_once():
    pep = point(StaticEngine(permit()))
    with capture_decisions(pep) as decisions, ThreadPoolExecutor(16) as pool:
        made = list(pool.map(pep.decide, [question() for _ in range(200)]))
    assert sorted(one.decision_id for one in decisions) == sorted(one.decision_id for one in made)
    assert len(pep.node.engines[0].asked) == 200
