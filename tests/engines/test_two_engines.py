"""Two engines in one `all`: one table whoever answers which stage, and whose answer counts for more."""

import asyncio
import socket
from itertools import permutations

import pytest

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.building import build_engine
from checkrein.errors import FailureCause
from checkrein.scenarios import arun_scenario, run_scenario
from checkrein.settings import Settings
from checkrein.testing import EngineSuite

ENGINES = ("casbin", "cedar", "opa", "oso", "regopy", "regorus")
MODELS = {"large": {"size": "large"}, "small": {"size": "small"}, "local": {"size": "small"}}
DETECTORS = {Stage.PRE_PROMPT: ("email", "us_ssn"), Stage.POST_COMPLETION: ("email", "us_ssn")}
SETTINGS = Settings(detectors=DETECTORS, models=MODELS)

# An allow-list: it knows alice, and what her permit is bound to. Whose `odd` is a number, ends in an error.
ACCESS = r"""
@id("alice") @obligation("[{\"type\": \"redact\", \"properties\": {\"types\": [\"email\"]}},
  {\"type\": \"limit_tokens\", \"properties\": {\"max_tokens\": 500}},
  {\"type\": \"remove_tools\", \"properties\": {\"names\": [\"shell\"]}},
  {\"type\": \"set_parameters\", \"properties\": {\"seed\": 1}}]")
permit(principal == User::"alice", action == Action::"submit_prompt", resource);

@id("bob") @obligation("[{\"type\": \"route\", \"properties\": {\"model\": \"local\"}},
  {\"type\": \"no_store\"}]")
permit(principal == User::"bob", action == Action::"submit_prompt", resource);

@id("carol") @obligation("[{\"type\": \"set_parameters\", \"properties\": {\"seed\": true}}]")
permit(principal == User::"carol", action == Action::"submit_prompt", resource);

@id("odd") @code("odd")
forbid(principal, action == Action::"submit_prompt", resource)
when { principal has odd && principal.odd.contains("x") };
"""
# A deny-list: it knows nobody, and permits whatever holds no social security number.
CONTENT = """package checkrein.pre_prompt

decision := {"allow": count(denials) == 0, "reasons": denials, "obligations": obligations}

denials contains {"code": "pii.us_ssn", "msg": ""} if {
	some finding in input.context.findings
	finding.type == "us_ssn"
}

obligations contains {"type": "redact", "properties": {"types": ["us_ssn"]}}

obligations contains {"type": "limit_tokens", "properties": {"max_tokens": 200}}

obligations contains {"type": "remove_tools", "properties": {"names": ["shell", "browser"]}}

obligations contains {"type": "set_parameters", "properties": {"seed": 1}}

obligations contains {"type": "route", "properties": {"model": "small"}} if input.subject.id == "bob"
"""
SSN = "My SSN is 536-22-8145"


@pytest.fixture
def members(tmp_path):
    """The two engines by what they are for, as nodes of settings."""
    (tmp_path / "access.cedar").write_text(ACCESS)
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "content.rego").write_text(CONTENT)
    return {
        "access": {"cedar": {"policies": "access.cedar", "stages": ["pre_prompt"]}},
        "content": {"rego": {"bundle": "content", "stages": ["pre_prompt"]}},
    }


@pytest.fixture
def away():
    """An OPA that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {"opa": {"url": f"http://127.0.0.1:{port}", "stages": ["pre_prompt"], "timeout": 20}}


@pytest.fixture(params=["decide", "adecide"])
def decide(request, members, tmp_path):
    """Decides by members in this order, with either driver."""

    def decided(order, name, text="Hello", *, nodes=None, open_on=(), **properties):
        listed = [{**members, **(nodes or {})}[one] for one in order]
        settings = Settings(
            detectors=DETECTORS, models=MODELS, failure={"open_on": {"pre_prompt": list(open_on)}}
        )
        records = []
        pep = EnforcementPoint(build_engine({"all": listed}, base=tmp_path), settings, record=records.append)
        asked = AccessRequest(
            stage=Stage.PRE_PROMPT,
            subject=Entity(type="user", id=name, properties=properties),
            resource=Entity(type="model", id="large"),
            segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),),
            supports=frozenset({"redact", "limit_tokens", "remove_tools", "set_parameters", "route"}),
        )
        decision = pep.decide(asked) if request.param == "decide" else asyncio.run(pep.adecide(asked))
        pep.close()
        assert records == [decision]
        return decision

    return decided


@pytest.fixture(params=[("access", "content"), ("content", "access")], ids=" then ".join)
def order(request):
    return request.param


def codes(decision):
    return [reason.code for reason in decision.reasons]


@pytest.mark.parametrize(("access", "content"), list(permutations(ENGINES, 2)))
def test_whoever_answers_which_stage_the_table_holds(suite_node, suite_folder, access, content):
    nodes = [
        suite_node(access, stages=["model_selection", "tool_call"]),
        suite_node(content, stages=["pre_prompt", "post_completion"]),
    ]
    pep = EnforcementPoint(build_engine({"all": nodes}, base=suite_folder), SETTINGS, record=lambda _: None)

    async def awaited():
        return [await arun_scenario(pep, one) for one in EngineSuite.scenarios()]

    results = [*(run_scenario(pep, one) for one in EngineSuite.scenarios()), *asyncio.run(awaited())]
    assert [failure for one in results for failure in one.failures] == []
    pep.close()


def test_a_stranger_whom_the_allow_list_does_not_know_does_not_get_in(decide, order):
    decision = decide(order, "mallory")
    assert (decision.permitted, codes(decision)) == (False, ["not_applicable"])


def test_a_stranger_with_a_refused_prompt_does_not_get_in_either(decide, order):
    assert not decide(order, "mallory", SSN).permitted


def test_a_prompt_that_the_content_engine_refuses_is_refused_whoever_sends_it(decide, order):
    decision = decide(order, "alice", SSN)
    assert (decision.permitted, codes(decision)) == (False, ["pii.us_ssn"])
    assert decision.obligations == ()


def test_a_permit_needs_both_and_carries_the_obligations_of_both(decide, order):
    decision = decide(order, "alice", "I am eve@example.com")
    assert decision.permitted
    assert decision.changes.texts == {(0,): "I am [REDACTED:email]"}
    assert decision.changes.max_tokens == 200
    assert decision.changes.remove_tools == {"shell", "browser"}
    assert decision.changes.parameters == {"seed": 1}
    assert [one.effect for one in decision.answers] == ["permit", "permit"]


def test_two_routes_to_two_models_conflict(decide, order):
    decision = decide(order, "bob")
    assert (decision.permitted, codes(decision)[0]) == (False, "conflicting_obligations")
    assert decision.changes.model is None
    assert decision.changes.no_store


def test_a_parameter_that_is_set_to_two_values_conflicts_even_where_python_calls_them_equal(decide, order):
    decision = decide(order, "carol")
    assert (decision.permitted, codes(decision)[0]) == (False, "conflicting_obligations")


def test_a_refusal_outranks_a_failure(decide, order):
    decision = decide(order, "alice", SSN, odd=1)
    assert (decision.permitted, decision.failure, codes(decision)) == (False, None, ["pii.us_ssn"])
    causes = {one.engine: one.cause for one in decision.answers}
    assert causes.get("cedar", FailureCause.ENGINE_ERROR) is FailureCause.ENGINE_ERROR


def test_a_failure_beside_a_permit_denies(decide, order):
    decision = decide(order, "alice", odd=1)
    assert (decision.permitted, codes(decision)[0]) == (False, "failure.engine_error")
    assert decision.failure is FailureCause.ENGINE_ERROR


@pytest.mark.parametrize("order", list(permutations(("access", "content", "away"))), ids=" then ".join)
def test_an_outage_that_may_open_opens_for_nobody_whom_another_refuses(decide, away, order):
    opening = {"nodes": {"away": away}, "open_on": ["unreachable"]}
    assert codes(decide(order, "mallory", **opening)) == ["not_applicable"]
    assert codes(decide(order, "alice", SSN, **opening)) == ["pii.us_ssn"]
    assert codes(decide(order, "alice", odd=1, **opening))[0] == "failure.engine_error"
    opened = decide(order, "alice", "I am eve@example.com", **opening)
    assert (opened.permitted, opened.failed_open) == (True, True)
    assert opened.changes.texts == {(0,): "I am [REDACTED:email]"}
    assert opened.changes.max_tokens == 200


@pytest.mark.parametrize("order", list(permutations(("access", "content", "away"))), ids=" then ".join)
def test_an_outage_that_may_not_open_denies(decide, away, order):
    decision = decide(order, "alice", nodes={"away": away})
    assert (decision.permitted, codes(decision)[0]) == (False, "failure.unreachable")
