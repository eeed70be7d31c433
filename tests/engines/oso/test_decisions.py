"""A realistic policy by both drivers of the enforcement point, and the models that a subject may invoke."""

import asyncio

import pytest

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.combining import EngineNode
from checkrein.settings import Settings

POLICY = """
permit(s: User, "invoke_model", r: Model, _) if fits(s.tier, r.get("size"));
permit(s: User, "submit_prompt", r: Model, _) if fits(s.tier, r.get("size"));
permit(_: User, "return_completion", _: Model, _);

fits("free", "small");
fits("pro", size) if size in ["small", "medium"];
fits("enterprise", size) if size in ["small", "medium", "large"];

deny(s: User, "invoke_model", r: Model, _, "tier.price") if
    s.tier = "free" and r.get("input_price", 9000000) > 2000000;
deny(s: User, _, _, _, "suspended") if s.get("suspended") = true;
deny(_, "submit_prompt", _, ctx, {code: "pii.us_ssn", message: "an SSN"}) if "us_ssn" in ctx.found_current;

obligation(_, "submit_prompt", _, ctx, {type: "redact", properties: {types: ["email"]}}) if
    "email" in ctx.found;
obligation(s, "submit_prompt", _, ctx, {type: "route", properties: {model: "gpt-4.1-mini"}}) if
    s.tier = "pro" and ctx.prompt.code = true;
"""
MODELS = {
    "gpt-4o-mini": {"size": "small", "input_price": 150_000},
    "claude-haiku": {"size": "small", "input_price": 3_000_000},
    "gpt-4.1-mini": {"size": "medium", "input_price": 400_000},
    "gpt-4o": {"size": "large", "input_price": 2_500_000},
}


def user(tier, **properties):
    return Entity(type="user", id=tier, properties={"tier": tier, **properties})


@pytest.fixture
def pep(engine_of):
    settings = Settings.model_validate(
        {"models": MODELS, "detectors": {"pre_prompt": ["us_ssn", "email"]}},
    )
    return EnforcementPoint(EngineNode(engine_of(POLICY)), settings, record=lambda _: None)


@pytest.fixture(params=["sync", "async"])
def decide(request, pep):
    """Asks one question, by either driver."""

    def ask(stage, subject, model="gpt-4o-mini", text="hello"):
        origin = Origin.ASSISTANT if stage is Stage.POST_COMPLETION else Origin.USER
        asked = AccessRequest(
            stage=stage,
            subject=subject,
            resource=Entity(type="model", id=model),
            segments=(Segment(path=(0,), role="user", origin=origin, text=text),),
            supports=frozenset({"redact", "route"}),
        )
        return pep.decide(asked) if request.param == "sync" else asyncio.run(pep.adecide(asked))

    return ask


@pytest.mark.parametrize(
    ("tier", "model", "permitted", "codes"),
    [
        ("free", "gpt-4o-mini", True, []),
        ("free", "claude-haiku", False, ["tier.price"]),
        ("free", "gpt-4.1-mini", False, ["not_applicable"]),
        ("pro", "gpt-4.1-mini", True, []),
        ("pro", "gpt-4o", False, ["not_applicable"]),
        ("enterprise", "gpt-4o", True, []),
        ("enterprise", "unheard-of", False, ["not_applicable"]),
    ],
)
def test_a_tier_gets_its_models(decide, tier, model, permitted, codes):
    decision = decide(Stage.MODEL_SELECTION, user(tier), model)
    assert decision.permitted is permitted
    assert [reason.code for reason in decision.reasons] == codes


def test_a_forbid_beats_every_permit(decide):
    decision = decide(Stage.PRE_PROMPT, user("enterprise", suspended=True), text="123-45-6789")
    assert [reason.code for reason in decision.reasons] == ["pii.us_ssn", "suspended"]


def test_who_is_not_known_gets_nothing(decide):
    decision = decide(Stage.PRE_PROMPT, Entity(type="anonymous", id="anonymous"))
    assert [reason.code for reason in decision.reasons] == ["not_applicable"]


def test_a_user_without_a_tier_is_an_error_of_the_policy_and_denied(decide):
    decision = decide(Stage.PRE_PROMPT, Entity(type="user", id="x"))
    assert not decision.permitted
    assert decision.failure == "engine_error"
    assert "`tier` is absent here" in decision.answers[0].detail


def test_an_address_is_redacted(decide):
    decision = decide(Stage.PRE_PROMPT, user("free"), text="write to a@example.com")
    assert decision.permitted
    assert "a@example.com" not in decision.changes.texts[(0,)]


def test_code_goes_to_another_model(decide):
    decision = decide(Stage.PRE_PROMPT, user("pro"), text="```\nprint()\n```")
    assert decision.permitted
    assert decision.changes.model == "gpt-4.1-mini"


def test_a_completion_is_returned(decide):
    assert decide(Stage.POST_COMPLETION, user("free")).permitted


def models(*names):
    return [Entity(type="model", id=name, properties=MODELS.get(name, {})) for name in names]


@pytest.mark.parametrize(
    ("subject", "permitted"),
    [
        (user("free"), ["gpt-4o-mini"]),
        (user("pro"), ["gpt-4o-mini", "claude-haiku", "gpt-4.1-mini"]),
        (user("enterprise"), ["gpt-4o-mini", "claude-haiku", "gpt-4.1-mini", "gpt-4o"]),
        (user("enterprise", suspended=True), []),
        (Entity(type="anonymous", id="anonymous"), []),
        (Entity(type="user", id="without-a-tier"), []),
    ],
)
def test_the_permitted_models_of_a_subject_are_those_of_its_decisions(engine_of, pep, subject, permitted):
    engine = engine_of(POLICY)
    candidates = models(*MODELS, "unheard-of", "gpt-4o-mini")
    assert engine.permitted_models(subject, candidates) == permitted
    for model in candidates:
        asked = AccessRequest(stage=Stage.MODEL_SELECTION, subject=subject, resource=model)
        assert pep.decide(asked).permitted is (model.id in permitted)


def test_facts_decide_on_the_permitted_models(engine_of):
    engine = engine_of(
        'permit(_, "invoke_model", _, _);\ndeny(_, _, _, ctx, "budget") if ctx.usage.spent > 5;'
    )
    subject = user("free")
    assert engine.permitted_models(subject, models("a"), {"usage": {"spent": 5}}) == ["a"]
    assert engine.permitted_models(subject, models("a"), {"usage": {"spent": 6}}) == []
    assert engine.permitted_models(subject, models("a")) == []


def test_a_model_that_cannot_be_asked_about_is_left_out(engine_of):
    engine = engine_of("permit(_, _, r, _) if r.size = 1;")
    odd = Entity(type="model", id="odd", properties={"size": float("nan")})
    absent = Entity(type="model", id="absent")
    good = Entity(type="model", id="good", properties={"size": 1})
    assert engine.permitted_models(user("free"), [odd, absent, good]) == ["good"]


def test_permitted_models_do_not_ask_for_obligations(engine_of):
    engine = engine_of("permit(_, _, _, _);\nobligation(_, _, _, _, 5);")
    assert engine.permitted_models(user("free"), models("a", "b", "a")) == ["a", "b"]
