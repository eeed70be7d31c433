"""Several resources judged together: each as it would be alone, in one decision and one record."""

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein.combining import All, By, EngineNode
from checkrein.decision_log import DecisionLog
from checkrein.decision_log.settings import DecisionLogSettings
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import EngineFailure, FailureCause, PolicyDenied
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import ANONYMOUS, AccessRequest, Effect, Entity, Stage, Verdict

MODELS = tuple(
    Entity(type="model", id=name, properties={"size": size})
    for name, size in (("small", "small"), ("medium", "medium"), ("large", "large"))
)


def by_model(answers, **options):
    """An engine whose answer depends on the model: a verdict, or an exception that it raises."""

    def answer(request):
        given_answer = answers[request.document["resource"]["id"]]
        if isinstance(given_answer, Exception):
            raise given_answer
        return given_answer

    return StaticEngine(answer, **options)


@pytest.fixture(params=["sync", "async"])
def choose(request, question):
    def chosen(node, candidates=MODELS, asked=None, **settings):
        records = []
        pep = EnforcementPoint(node, Settings.model_validate(settings), record=records.append)
        asked = asked or question(stage=Stage.MODEL_SELECTION)
        if request.param == "sync":
            decision = pep.filter_candidates(asked, candidates)
        else:
            decision = asyncio.run(pep.afilter_candidates(asked, candidates))
        assert records == [decision]
        return decision

    return chosen


def told(decision):
    return {one.resource.id: [reason.code for reason in one.reasons] for one in decision.candidates}


def names(entities):
    return [one.id for one in entities]


def test_those_that_are_permitted_are_kept_and_the_record_tells_of_each(choose):
    engine = by_model({"small": permit(), "medium": deny("tier.model"), "large": not_applicable()})
    decision = choose(engine)
    assert decision.permitted
    assert names(decision.kept) == ["small"]
    assert told(decision) == {"small": [], "medium": ["tier.model"], "large": ["not_applicable"]}
    assert decision.request.resource.id == "small"
    assert [document["resource"]["id"] for document in engine.asked] == ["small", "medium", "large"]
    assert [document["resource"]["properties"]["size"] for document in engine.asked] == names(MODELS)


def test_who_may_choose_none_is_denied_with_the_reasons_of_all(choose):
    decision = choose(by_model({"small": not_applicable(), "medium": deny("a"), "large": deny("b")}))
    assert decision.denied
    assert decision.effect is Effect.DENY
    assert decision.kept == ()
    assert [reason.code for reason in decision.reasons] == ["not_applicable", "a", "b"]
    with pytest.raises(PolicyDenied, match=decision.decision_id):
        decision.raise_if_denied()


def test_nothing_to_choose_from_is_nothing_permitted(choose):
    decision = choose(StaticEngine(permit()), ())
    assert decision.denied
    assert decision.reasons[0].code == "no_candidate"


def test_every_member_of_a_combination_must_permit_and_one_that_is_refused_is_asked_no_more(choose):
    access = by_model({"small": permit(), "medium": deny("access"), "large": permit()})
    content = by_model({"small": permit(), "medium": permit(), "large": deny("content")}, name="content")
    decision = choose(All([EngineNode(access), EngineNode(content)]))
    assert told(decision) == {"small": [], "medium": ["access"], "large": ["content"]}
    assert [document["resource"]["id"] for document in content.asked] == ["small", "large"]
    assert [(answer.engine, answer.effect) for answer in decision.answers] == [
        ("static", Effect.PERMIT),
        ("content", Effect.PERMIT),
    ]


def test_each_candidate_goes_to_the_engine_that_its_own_property_picks(choose):
    node = By(
        "resource.properties.size",
        {"small": EngineNode(StaticEngine(permit())), "large": EngineNode(StaticEngine(deny("size")))},
    )
    assert told(choose(node)) == {"small": [], "medium": ["not_applicable"], "large": ["size"]}


def test_a_permit_whose_obligations_could_not_hold_is_none(choose, question):
    engine = by_model(
        {
            "small": permit(obligation("limit_tokens", max_tokens=5)),
            "medium": permit(obligation("dance")),
            "large": permit(obligation("limit_tokens", max_tokens="many")),
        }
    )
    decision = choose(engine)
    assert names(decision.kept) == ["small"]
    assert told(decision)["medium"] == ["unsupported_obligation"]
    assert told(decision)["large"] == ["unsupported_obligation"]
    # What is chosen is decided in full: here nothing is carried out.
    assert not decision.changes
    unsupporting = question(stage=Stage.MODEL_SELECTION, supports=frozenset())
    assert choose(engine, asked=unsupporting).denied


def test_nothing_is_stored_of_what_an_engine_says_not_to_store(choose):
    engine = by_model({"small": permit(obligation("no_store")), "medium": permit(), "large": permit()})
    assert choose(engine).changes.no_store


@pytest.mark.parametrize("cause", ["timeout", "unreachable"])
def test_an_engine_that_is_away_is_asked_once_and_opens_only_where_it_may(cause, question):
    engine, records = FailingEngine(cause, remote=True), []
    asked = question(stage=Stage.MODEL_SELECTION)
    closed = EnforcementPoint(engine, record=records.append).filter_candidates(asked, MODELS)
    assert closed.denied
    assert closed.failure == cause
    assert len(engine.asked) == 1
    opening = Settings.model_validate({"failure": {"open_on": {"model_selection": [cause]}}})
    opened = EnforcementPoint(engine, opening, record=records.append).filter_candidates(asked, MODELS)
    assert opened.permitted
    assert opened.failed_open
    assert opened.failure == cause
    assert opened.kept == MODELS


def test_a_failure_of_one_candidate_leaves_the_others_alone(choose):
    failure = EngineFailure(FailureCause.REQUEST_REJECTED, "odd")
    engine = by_model({"small": failure, "medium": permit(), "large": ZeroDivisionError("hello")})
    decision = choose(engine)
    assert names(decision.kept) == ["medium"]
    assert told(decision)["small"] == ["failure.request_rejected"]
    assert told(decision)["large"] == ["failure.engine_error"]
    assert not decision.failed_open


def test_a_remote_engine_is_awaited_about_all_of_them_at_once(question):
    engine = StaticEngine(permit(), remote=True)
    under_way, most = 0, 0

    async def slow(_):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return permit()

    engine.aevaluate = slow
    pep = EnforcementPoint(engine, record=lambda _: None)
    decision = asyncio.run(pep.afilter_candidates(question(stage=Stage.MODEL_SELECTION), MODELS))
    assert decision.kept == MODELS
    assert most == len(MODELS)


def test_a_cancelled_question_leaves_no_record(question):
    engine = StaticEngine(permit(), remote=True)

    async def forever(_):
        await asyncio.Event().wait()

    engine.aevaluate = forever
    records = []
    pep = EnforcementPoint(engine, record=records.append)

    async def cancelled():
        task = asyncio.create_task(pep.afilter_candidates(question(stage=Stage.MODEL_SELECTION), MODELS))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert records == []


@pytest.mark.parametrize("answer", [None, [], [permit()], "yes", [permit()] * 4])
def test_an_engine_that_does_not_answer_each_of_them_permits_none(choose, answer):
    engine = StaticEngine(permit())
    engine.evaluate_many = lambda requests: answer
    decision = choose(engine)
    assert decision.denied
    assert decision.reasons[0].code == "failure.invalid_answer"


def test_nonsense_among_the_answers_is_no_permit(choose):
    engine = StaticEngine(permit())
    engine.evaluate_many = lambda requests: [True, permit(), ValueError("hello")]
    decision = choose(engine)
    assert names(decision.kept) == ["medium"]
    assert told(decision)["small"] == ["failure.invalid_answer"]


def test_under_monitor_all_are_kept_and_the_record_says_what_would_have_been(choose):
    engine = by_model({"small": permit(), "medium": deny("a"), "large": deny("b")})
    decision = choose(engine, enforcement={"default": "monitor"})
    assert decision.kept == MODELS
    assert not decision.enforced
    partly = choose(engine, enforcement={"rules": [{"reasons": ["a"], "mode": "monitor"}]})
    assert names(partly.kept) == ["small", "medium"]
    refusing = by_model({"small": deny("a"), "medium": deny("a"), "large": deny("b")})
    none = choose(refusing, enforcement={"rules": [{"reasons": ["a"], "mode": "monitor"}]})
    assert names(none.kept) == ["small", "medium"]
    assert not none.denied
    assert not none.permitted


def test_more_than_the_limit_reach_no_engine(choose):
    engine = StaticEngine(permit())
    decision = choose(engine, MODELS, limits={"candidates": 2})
    assert decision.denied
    assert decision.reasons[0].code == "limit.candidates"
    assert engine.asked == []
    assert choose(engine, MODELS, limits={"candidates": 2}, enforcement={"default": "monitor"}).kept == MODELS


def test_an_odd_candidate_is_refused_alone(choose):
    odd = dataclasses.replace(MODELS[0], properties={"price": float("nan")})
    decision = choose(StaticEngine(permit()), (odd, *MODELS[1:]))
    assert decision.kept == MODELS[1:]
    assert decision.candidates[0].reasons[0].code == "limit.number"


def test_a_request_that_no_engine_may_see_permits_no_candidate(choose, question):
    engine = StaticEngine(permit())
    decision = choose(engine, asked=question("\ud800", stage=Stage.MODEL_SELECTION))
    assert decision.denied
    assert engine.asked == []
    assert set(map(tuple, told(decision).values())) == {("limit.encoding",)}


def test_a_stage_that_is_listed_as_unchecked_keeps_all_and_otherwise_none(choose):
    elsewhere = StaticEngine({Stage.PRE_PROMPT: permit()})
    assert choose(elsewhere).denied
    assert choose(elsewhere, unchecked=["model_selection"]).kept == MODELS


def test_each_is_asked_about_with_its_own_facts_and_price(choose, question):
    engine = StaticEngine(permit())
    estimated = {"prompt_tokens": 1000, "max_tokens": 1000, "cost_micros": 1}
    asked = question(stage=Stage.MODEL_SELECTION, context={"estimated": estimated})
    models = {"small": {"input_price": 1_000_000, "output_price": 1_000_000}, "large": {"size": "huge"}}
    choose(engine, asked=asked, models=models)
    small, medium, large = engine.asked
    assert small["context"]["estimated"]["cost_micros"] == 2000
    assert "cost_micros" not in medium["context"]["estimated"]
    assert large["resource"]["properties"]["size"] == "huge"


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
def test_what_a_required_log_has_no_room_for_is_denied(question, tmp_path, mode):
    log = DecisionLog(DecisionLogSettings(to=tmp_path / "log.jsonl", required=True, queue=1))
    settings = Settings.model_validate({"enforcement": {"default": mode}})
    pep = EnforcementPoint(StaticEngine(permit()), settings, record=log)
    assert log.reserve()
    decision = pep.filter_candidates(question(stage=Stage.MODEL_SELECTION), MODELS)
    assert decision.denied
    assert decision.kept == ()
    log.release()
    assert log.flush()
    assert pep.filter_candidates(question(stage=Stage.MODEL_SELECTION), MODELS).kept == MODELS
    pep.close()


ANSWERS = st.sampled_from(
    [
        permit(),
        permit(obligation("dance")),
        deny("a"),
        deny("b"),
        not_applicable(),
        Verdict(effect=Effect.PERMIT, reasons=None),
        EngineFailure(FailureCause.TIMEOUT, ""),
        EngineFailure(FailureCause.INVALID_ANSWER, ""),
    ]
)
PAIRS = st.fixed_dictionaries(dict.fromkeys(names(MODELS), ANSWERS))


@given(
    first=PAIRS,
    second=PAIRS,
    remote=st.booleans(),
    opening=st.booleans(),
    monitored=st.sampled_from([[], ["a"], ["failure.*"], ["*"]]),
)
def test_each_is_judged_as_it_would_be_alone(first, second, remote, opening, monitored):
    node = All(
        [
            EngineNode(by_model(first, remote=remote)),
            EngineNode(by_model(second, name="second", stages=Stage)),
        ]
    )
    settings = Settings.model_validate(
        {
            "failure": {"open_on": {"model_selection": ["timeout"] if opening else []}},
            "enforcement": {"rules": [{"reasons": monitored, "mode": "monitor"}] if monitored else []},
        }
    )
    pep = EnforcementPoint(node, settings, record=lambda _: None)
    asked = AccessRequest(stage=Stage.MODEL_SELECTION, subject=ANONYMOUS, resource=MODELS[0])
    alone = [pep.decide(dataclasses.replace(asked, resource=model)) for model in MODELS]
    # Awaited, a remote engine is asked about each of them even where it is away for the first.
    together = asyncio.run(pep.afilter_candidates(asked, MODELS))
    assert [
        (one.permitted, one.enforced, [reason.code for reason in one.reasons]) for one in together.candidates
    ] == [(one.permitted, one.enforced, [reason.code for reason in one.reasons]) for one in alone]
    assert together.kept == tuple(one.request.resource for one in alone if not one.denied)
    assert together.permitted is any(one.permitted for one in alone)
    assert together.denied is all(one.denied for one in alone)
    assert together.failed_open is any(one.failed_open for one in alone)
    assert (together.effect is None) is not (together.failure is None)
    assert together.permitted or together.reasons
