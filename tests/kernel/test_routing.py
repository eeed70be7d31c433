"""Routes: a target is asked for in full, keeps what the call was bound to, and never leads in a circle."""

from itertools import pairwise

import pytest

from checkrein.testing import StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Stage


def route(model):
    return obligation("route", model=model)


def routing(targets, *others, at=tuple(Stage)):
    """An engine that routes by the model that is asked for; `others` are added where it routes."""

    def answer(request):
        target = targets.get(request.request.resource.id) if request.stage in at else None
        return permit(route(target), *others) if target else permit()

    return StaticEngine(answer)


def stages(engine):
    return [(one["stage"], one["resource"]["id"]) for one in engine.asked]


def test_a_route_at_the_prompt_asks_for_the_model_and_then_the_prompt_again(ask):
    engine = routing({"small": "large"})
    decision, records = ask(engine)
    assert decision.changes.model == "large"
    assert stages(engine) == [
        ("pre_prompt", "small"),
        ("model_selection", "large"),
        ("pre_prompt", "large"),
    ]
    assert [record.request.stage.value for record in records] == [stage for stage, _ in stages(engine)]
    assert len({record.call_id for record in records}) == 1
    assert len({record.decision_id for record in records}) == 3


def test_a_route_at_model_selection_asks_model_selection_alone(ask, question):
    engine = routing({"small": "large"})
    decision, _ = ask(engine, question(stage=Stage.MODEL_SELECTION))
    assert decision.changes.model == "large"
    assert stages(engine) == [("model_selection", "small"), ("model_selection", "large")]


def test_a_target_is_described_by_the_host(ask):
    engine = routing({"small": "large"})
    ask(engine, describe=lambda name: {"size": name})
    assert engine.asked[1]["resource"]["properties"] == {"size": "large"}


def test_a_target_that_is_not_permitted_is_a_denial(ask):
    def answer(request):
        return deny("tier") if request.stage is Stage.MODEL_SELECTION else permit(route("large"))

    decision, records = ask(answer)
    assert decision.denied
    assert decision.reasons[0].code == "tier"
    assert not decision.changes
    assert len(records) == 2


def test_what_the_first_hop_demands_is_carried_out_on_the_last(ask, question):
    engine = routing(
        {"small": "large"}, obligation("redact", types=["digit"]), obligation("limit_tokens", max_tokens=9)
    )
    decision, _ = ask(engine, question("call 1 now"))
    assert not decision.denied
    assert decision.changes.model == "large"
    assert decision.changes.texts == {(0,): "call [REDACTED:digit] now"}
    assert decision.changes.max_tokens == 9


def test_what_the_target_demands_as_a_model_is_carried_out_too(ask):
    def answer(request):
        if request.stage is Stage.MODEL_SELECTION:
            return permit(obligation("limit_tokens", max_tokens=7))
        return permit(route("large")) if request.request.resource.id == "small" else permit()

    decision, _ = ask(answer)
    assert decision.changes.max_tokens == 7


@pytest.mark.parametrize("targets", [{"small": "large", "large": "small"}, {"a": "b"}])
def test_a_route_in_a_circle_is_a_denial(ask, targets):
    decision, _ = ask(routing(targets | {"small": "large", "large": "small"}))
    assert decision.denied
    assert decision.reasons[0].code == "route_loop"
    assert not decision.changes


@pytest.mark.parametrize(("hops", "permitted"), [(1, True), (2, True), (3, True), (4, False)])
def test_three_hops_are_followed_and_no_more(ask, question, hops, permitted):
    names = ["small", "b", "c", "d", "e"]
    engine = routing(dict(pairwise(names[: hops + 1])))
    decision, records = ask(engine, question(stage=Stage.MODEL_SELECTION))
    assert decision.permitted is permitted
    assert decision.changes.model == (names[hops] if permitted else None)
    assert len(records) == min(hops, 3) + 1


def test_a_host_that_cannot_describe_the_target_denies_it_and_leaves_a_record(ask):
    def describe(name):
        raise LookupError("secret")

    decision, records = ask(routing({"small": "large"}), describe=describe)
    assert decision.denied
    assert decision.reasons[0].code == "obligation_failed"
    assert len(records) == 1
    assert "secret" not in repr(decision)


def test_a_monitored_model_selection_cannot_loosen_an_enforced_prompt(ask, question):
    def answer(request):
        if request.stage is Stage.MODEL_SELECTION:
            return deny("tier")
        redact = obligation("redact", types=["digit"])
        return permit(route("large"), redact) if request.request.resource.id == "small" else permit()

    rules = [{"stages": ["model_selection"], "mode": "monitor"}]
    decision, records = ask(answer, question("call 1"), enforcement={"rules": rules})
    assert not decision.denied
    assert decision.changes.texts == {(0,): "call [REDACTED:digit]"}
    assert decision.changes.model == "large"
    assert [(record.permitted, record.enforced) for record in records] == [
        (True, True),
        (False, False),
        (True, True),
    ]


def test_a_monitored_last_hop_still_keeps_what_an_enforced_hop_demanded(ask, question):
    def answer(request):
        if request.request.resource.id == "large":
            return deny("pii.soft") if request.stage is Stage.PRE_PROMPT else permit()
        return permit(route("large"), obligation("redact", types=["digit"]))

    rules = [{"reasons": ["pii.*"], "mode": "monitor"}]
    decision, _ = ask(answer, question("call 1"), enforcement={"rules": rules})
    assert not decision.denied
    assert not decision.permitted
    assert decision.changes.texts == {(0,): "call [REDACTED:digit]"}
    assert decision.changes.model == "large"


def test_under_monitor_no_route_is_followed(ask):
    engine = routing({"small": "large"})
    decision, _ = ask(engine, enforcement={"default": "monitor"})
    assert not decision.changes
    assert stages(engine) == [("pre_prompt", "small")]
