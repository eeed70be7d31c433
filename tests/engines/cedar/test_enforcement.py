"""A realistic policy through the enforcement point, by both drivers; many threads, many tasks, a fork."""

import asyncio
import builtins
import importlib
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.errors import MissingExtraError
from checkrein.settings import Settings

POLICIES = r"""
@id("staff") @code("access.staff")
permit(principal in Group::"staff", action == Action::"invoke_model", resource in ModelFamily::"approved");

@id("prompt") @obligation("[{\"type\": \"redact\", \"properties\": {\"types\": [\"email\"]}}]")
permit(principal in Group::"staff", action == Action::"submit_prompt", resource in ModelFamily::"approved");

@id("tier") @code("tier.model")
forbid(principal, action, resource is Model)
when { principal.tier == "free" && resource.size != "small" };

@id("budget") @code("budget.spent")
forbid(principal, action == Action::"submit_prompt", resource)
when {
  context has usage && context.usage.spent_micros + context.estimated.cost_micros > context.usage.limit_micros
};

@id("ssn") @code("pii.us_ssn") @reason("no social security numbers")
forbid(principal, action == Action::"submit_prompt", resource)
when { context.found_current.contains("us_ssn") };

@id("private") @obligation("[{\"type\": \"route\", \"properties\": {\"model\": \"local\"}}]")
permit(principal in Group::"privacy", action == Action::"submit_prompt", resource)
unless { resource.size == "small" };
"""
ENTITIES = [
    {"uid": {"type": "Group", "id": name}, "attrs": {}, "parents": [{"type": "Group", "id": "staff"}]}
    for name in ("data", "privacy")
]
SETTINGS = Settings(
    detectors={Stage.PRE_PROMPT: ("email", "us_ssn")},
    models={
        "gpt-4o": {
            "size": "large",
            "family": "approved",
            "input_price": 2_500_000,
            "output_price": 10_000_000,
        },
        "local": {"size": "small", "family": "approved"},
        "odd": {"size": "small"},
    },
)
ESTIMATED = {"prompt_tokens": 1000, "max_tokens": 100}


@pytest.fixture
def pep(load):
    engine = load(POLICIES, entities=ENTITIES, stages=["model_selection", "pre_prompt"])
    return EnforcementPoint(engine, SETTINGS, record=lambda decision: None)


def ask(who, text, *, model="gpt-4o", stage=Stage.PRE_PROMPT, **context):
    name, tier, group = who
    return AccessRequest(
        stage=stage,
        subject=Entity(type="user", id=name, properties={"tier": tier, "groups": [group]}),
        resource=Entity(type="model", id=model),
        context={"estimated": ESTIMATED, **context},
        segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),),
        supports=frozenset({"redact", "route"}),
    )


CASES = [
    (ask(("alice", "pro", "data"), "Hello"), True, set(), {}, None),
    (
        ask(("alice", "pro", "data"), "Write to jo@example.com"),
        True,
        set(),
        {(0,): "Write to [REDACTED:email]"},
        None,
    ),
    (ask(("alice", "pro", "data"), "My SSN is 536-90-4399"), False, {"pii.us_ssn"}, {}, None),
    (ask(("bob", "free", "data"), "Hello"), False, {"tier.model"}, {}, None),
    (ask(("bob", "free", "data"), "536-90-4399"), False, {"pii.us_ssn", "tier.model"}, {}, None),
    (ask(("bob", "free", "data"), "Hello", model="local"), True, set(), {}, None),
    (ask(("carol", "pro", "privacy"), "Hello"), True, set(), {}, "local"),
    (ask(("eve", "pro", "guests"), "Hello"), False, {"not_applicable"}, {}, None),
    (ask(("alice", "pro", "data"), "Hello", model="odd"), False, {"not_applicable"}, {}, None),
    (ask(("alice", "pro", "data"), "Hi", stage=Stage.MODEL_SELECTION), True, {"access.staff"}, {}, None),
    (
        ask(("alice", "pro", "data"), "Hi", usage={"spent_micros": 9_996_500, "limit_micros": 10_000_000}),
        True,
        set(),
        {},
        None,
    ),
    (
        ask(("alice", "pro", "data"), "Hi", usage={"spent_micros": 9_996_501, "limit_micros": 10_000_000}),
        False,
        {"budget.spent"},
        {},
        None,
    ),
    (
        ask(("alice", "pro", "data"), "Hi", usage={"spent_micros": 1}),
        False,
        {"failure.engine_error"},
        {},
        None,
    ),
    (
        ask(("alice", "pro", "data"), "Hi", usage={"__entity": 1}),
        False,
        {"failure.request_rejected"},
        {},
        None,
    ),
    (ask(("alice", 5.5, "data"), "Hello"), True, set(), {}, None),
]


def summary(decision):
    reasons = {reason.code for reason in decision.reasons}
    return decision.permitted, reasons, dict(decision.changes.texts), decision.changes.model


def describe(model):
    return SETTINGS.models[model]


@pytest.mark.parametrize("case", CASES)
def test_every_case_comes_to_what_the_policy_says(pep, case):
    request, *expected = case
    assert summary(pep.decide(request, describe)) == tuple(expected)


async def test_the_asynchronous_driver_comes_to_the_same(pep):
    for request, *_ in CASES:
        assert summary(await pep.adecide(request, describe)) == summary(pep.decide(request, describe))


def test_the_record_names_determining_policies_and_the_revision(pep):
    (answer,) = pep.decide(CASES[4][0]).answers
    assert answer.engine == "cedar"
    assert answer.policy_ids == ("ssn", "tier")
    assert answer.revision == pep.node.engines[0].revision


def test_sixteen_threads_get_their_own_answers(pep):
    one_by_one = [summary(pep.decide(request, describe)) for request, *_ in CASES]

    def work(_):
        return [summary(pep.decide(request, describe)) for request, *_ in CASES]

    with ThreadPoolExecutor(16) as pool:
        assert all(answers == one_by_one for answers in pool.map(work, range(64)))


async def test_a_thousand_tasks_get_their_own_answers(pep):
    one_by_one = [summary(pep.decide(request, describe)) for request, *_ in CASES]
    asked = [index % len(CASES) for index in range(1000)]
    decisions = await asyncio.gather(*(pep.adecide(CASES[index][0], describe) for index in asked))
    assert [summary(decision) for decision in decisions] == [one_by_one[index] for index in asked]


def test_a_forked_process_answers_as_its_parent(pep):
    one_by_one = [summary(pep.decide(request, describe)) for request, *_ in CASES]
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()

    def work():
        results.put([summary(pep.decide(request, describe)) for request, *_ in CASES])

    process = context.Process(target=work)
    process.start()
    assert results.get() == one_by_one
    process.join(20)
    assert process.exitcode == 0


def test_without_the_library_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "cedarpy":
            raise ModuleNotFoundError("No module named 'cedarpy'", name="cedarpy")
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("checkrein_cedar")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'checkrein\[cedar\]'"):
        importlib.import_module("checkrein_cedar")
