"""Several engines: `all` needs every member that is asked, `by` asks the one that a property names."""

import pytest

from checkrein.combining import All, By, EngineNode
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Effect, Entity, Stage, Verdict


@pytest.fixture
def together(drive, question):
    def decide(*engines, **settings):
        node = All([EngineNode(engine) for engine in engines])
        pep = EnforcementPoint(node, Settings.model_validate(settings), record=lambda _: None)
        return drive(pep, question())

    return decide


def test_all_permit_and_every_obligation_counts(together):
    one = StaticEngine(permit(obligation("limit_tokens", max_tokens=9)), name="one")
    two = StaticEngine(permit(obligation("limit_tokens", max_tokens=5)), name="two")
    decision = together(one, two)
    assert not decision.denied
    assert decision.changes.max_tokens == 5
    assert [answer.engine for answer in decision.answers] == ["one", "two"]


@pytest.mark.parametrize("refusal", [deny("no"), not_applicable()])
def test_the_first_refusal_ends_the_asking(together, refusal):
    last = StaticEngine(permit())
    decision = together(StaticEngine(permit()), StaticEngine(refusal), last)
    assert decision.denied
    assert last.asked == []


def test_a_stranger_whom_neither_engine_knows_does_not_get_in(together):
    assert together(StaticEngine(not_applicable()), StaticEngine(permit())).denied
    assert together(StaticEngine(permit()), StaticEngine(not_applicable())).denied


@pytest.mark.parametrize("remote", [True, False])
def test_a_refusal_outranks_a_failure_even_one_that_may_open(together, remote):
    opened = {"failure": {"open_on": {"pre_prompt": ["timeout"]}}}
    decision = together(FailingEngine("timeout", remote=remote), StaticEngine(deny("no")), **opened)
    assert decision.denied
    assert decision.effect is Effect.DENY
    assert decision.failure is None
    assert [answer.cause for answer in decision.answers] == ["timeout", None]


def test_a_failure_beside_a_permit_denies(together):
    decision = together(StaticEngine(permit()), FailingEngine("unreachable", remote=True))
    assert decision.denied
    assert decision.failure == "unreachable"


def test_an_opened_failure_still_carries_out_what_the_others_demand(together):
    opened = {"failure": {"open_on": {"pre_prompt": ["timeout"]}}}
    limit = permit(obligation("limit_tokens", max_tokens=5))
    decision = together(FailingEngine("timeout", remote=True), StaticEngine(limit), **opened)
    assert decision.failed_open
    assert decision.changes.max_tokens == 5


def test_an_opened_failure_beside_an_obligation_that_cannot_hold_is_no_opening(together):
    opened = {"failure": {"open_on": {"pre_prompt": ["timeout"]}}}
    decision = together(
        FailingEngine("timeout", remote=True), StaticEngine(permit(obligation("dance"))), **opened
    )
    assert decision.denied
    assert not decision.failed_open


def test_members_that_do_not_answer_the_stage_are_skipped_and_none_left_is_not_applicable(together):
    elsewhere = StaticEngine({Stage.TOOL_CALL: permit()})
    assert not together(elsewhere, StaticEngine(permit())).denied
    decision = together(elsewhere)
    assert decision.denied
    assert decision.reasons[0].code == "not_applicable"
    assert elsewhere.asked == []


def test_no_store_of_an_engine_that_permitted_survives_the_refusal_of_another(together):
    keep_out = StaticEngine(permit(obligation("no_store"), obligation("limit_tokens", max_tokens=1)))
    decision = together(keep_out, StaticEngine(deny("no")))
    assert decision.changes.no_store
    assert decision.changes.max_tokens is None


@pytest.fixture
def by_tenant(drive, question):
    def decide(tenant, otherwise=None):
        cases = {"acme": EngineNode(StaticEngine(permit())), "umbrella": EngineNode(StaticEngine(deny("u")))}
        node = By("subject.properties.tenant", cases, EngineNode(otherwise) if otherwise else None)
        pep = EnforcementPoint(node, record=lambda _: None)
        properties = {} if tenant is None else {"tenant": tenant}
        return drive(pep, question(subject=Entity(type="user", id="a", properties=properties)))

    return decide


def test_by_asks_the_member_that_the_property_names(by_tenant):
    assert not by_tenant("acme").denied
    assert by_tenant("umbrella").reasons[0].code == "u"


@pytest.mark.parametrize("tenant", [None, "stranger"])
def test_by_without_a_member_for_the_value_denies_or_asks_the_otherwise(by_tenant, tenant):
    assert by_tenant(tenant).reasons[0].code == "not_applicable"
    assert by_tenant(tenant, StaticEngine(deny("other"))).reasons[0].code == "other"


def test_an_engine_sees_the_same_bytes_as_the_others(drive, question):
    seen = []

    def answer(request):
        seen.append(request.json())
        return Verdict(effect=Effect.PERMIT)

    node = All([EngineNode(StaticEngine(answer)), EngineNode(StaticEngine(answer))])
    drive(EnforcementPoint(node, record=lambda _: None), question())
    assert seen[0] is seen[1]
