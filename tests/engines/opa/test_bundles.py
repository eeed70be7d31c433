"""The same bundle gives the same verdicts embedded and in OPA; the example holds; OPA's log keeps no text."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from opa_server import OpaServer
from typer.testing import CliRunner

import checkrein_policies
from checkrein import EnforcementPoint, Stage
from checkrein.building import build_engine
from checkrein.cli.app import FAILED, app
from checkrein.document import build
from checkrein.loading import load
from checkrein.scenarios import arun_scenario, load_scenarios, run_scenario

BASELINE = Path(checkrein_policies.__file__).parent / "baseline"
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "opa"
SETTINGS = load(BASELINE / "settings.yaml").settings
SCENARIOS = load_scenarios(BASELINE / "scenarios.yaml")
MASK = (EXAMPLE / "mask.rego").read_text()
SECRET = "the secret words"


@pytest.fixture(scope="module")
def baseline():
    routes = yaml.safe_load((BASELINE / "routes.yaml").read_text())
    with OpaServer(BASELINE / "rego", data=routes, revision="baseline") as server:
        yield server


@pytest.fixture(scope="module")
def points(baseline):
    """The pack in OPA and in this process."""
    remote = build_engine({"opa": {"url": baseline.url, "timeout": 20}}, base=BASELINE)
    embedded = build_engine({"rego": dict(SETTINGS.engine["rego"])}, base=BASELINE)
    both = [EnforcementPoint(node, SETTINGS, record=lambda _: None) for node in (remote, embedded)]
    yield both
    for point in both:
        point.close()


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def scenario(request):
    return request.param


def test_every_scenario_of_the_pack_holds_in_opa(points, scenario):
    assert run_scenario(points[0], scenario).failures == ()


def test_and_for_callers_that_await(points, scenario):
    assert asyncio.run(arun_scenario(points[0], scenario)).failures == ()


def test_opa_and_the_embedded_engine_give_the_same_verdict(points, scenario):
    detectors = points[0]._detectors
    question = build(scenario.request(), detectors=detectors, models=SETTINGS.models, limits=SETTINGS.limits)
    remote, embedded = (point.node.engines[0].evaluate(question) for point in points)
    own = {"policy_ids": (), "revision": None}
    assert replace(remote, **own) == replace(embedded, **own)
    assert remote.policy_ids[:1] == embedded.policy_ids


def test_the_record_of_a_decision_names_opas_own(points, baseline):
    decision = points[0].decide(SCENARIOS[0].request())
    (answer,) = decision.answers
    assert answer.engine == "opa"
    assert answer.revision == "baseline"
    assert answer.policy_ids[1] == f"decision_id:{baseline.decisions[-1]['decision_id']}"


def test_the_pack_is_decided_without_any_text(baseline, points):
    for one in SCENARIOS:
        run_scenario(points[0], one)
    for _, _, _, body in baseline.requests:
        context = json.loads(body or b"{}").get("input", {}).get("context", {})
        assert not any("text" in context.get(key, {}) for key in ("prompt", "completion", "result"))


@pytest.fixture
def example(opened):
    policies = {path.name: path.read_text() for path in (EXAMPLE / "policies").glob("*.rego")}
    data = {"desk_config": json.loads((EXAMPLE / "policies/desk_config/data.json").read_text())}
    return opened.enter_context(OpaServer(policies={**policies, "mask.rego": MASK}, data=data))


def test_the_example_does_what_its_scenarios_say(example, monkeypatch):
    monkeypatch.setenv("OPA_URL", example.url)
    ran = CliRunner().invoke(app, ["test", "--config", str(EXAMPLE / "settings.yaml"), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output)["passed"] == len(load_scenarios(EXAMPLE / "scenarios.yaml"))


def test_the_example_without_its_opa_denies_everything(monkeypatch):
    monkeypatch.setenv("OPA_URL", "http://127.0.0.1:9")
    ran = CliRunner().invoke(app, ["test", "--config", str(EXAMPLE / "settings.yaml"), "--json"])
    assert ran.exit_code == FAILED
    told = json.loads(ran.output)
    assert (told["passed"], told["failed"]) == (0, len(load_scenarios(EXAMPLE / "scenarios.yaml")))


TEXTUAL = [Stage.PRE_PROMPT, Stage.POST_COMPLETION, Stage.TOOL_CALL, Stage.TOOL_RESULT]
EVERYTHING = [
    "context.prompt.text",
    "context.completion.text",
    "context.result.text",
    "context.tool.arguments",
]
QUOTING = """package checkrein.{stage}

decision := {{
	"allow": true,
	"reasons": [{{"code": "a", "msg": text}}, {{"code": "b", "message": text}}],
	"obligations": [{{"type": "no_store"}}, {{"type": "replace", "properties": {{"text": text}}}}],
}}

text := json.marshal(input.context)
"""


@pytest.mark.parametrize("stage", TEXTUAL)
def test_the_mask_keeps_text_out_of_opas_log(opa, engine_of, question, stage):
    server = opa(MASK, QUOTING.format(stage=stage))
    engine = engine_of(server, stages=[stage], input=EVERYTHING)
    context = {"tool": {"arguments": {"q": SECRET}, "call_id": "1"}} if stage is Stage.TOOL_CALL else {}
    verdict = engine.evaluate(question(SECRET, stage=stage, context=context))
    assert SECRET in verdict.obligations[1].properties["text"]
    assert SECRET.encode() in server.requests[0][3]
    (event,) = server.decisions
    assert SECRET not in json.dumps(event)
    assert event["input"]["subject"]["id"] == "alice"
    assert [reason["code"] for reason in event["result"]["reasons"]] == ["a", "b"]
    assert len(event["erased"]) == 4


def test_without_the_mask_the_log_would_keep_it(opa, engine_of, question):
    server = opa(QUOTING.format(stage="pre_prompt"))
    engine_of(server, input=EVERYTHING).evaluate(question(SECRET))
    assert SECRET in json.dumps(server.decisions)


def test_the_mask_leaves_answers_of_other_shapes_alone(opa, engine_of, question):
    server = opa(
        MASK, "package checkrein.pre_prompt\ndecision := true\n", "package main\ndeny contains `x`\n"
    )
    for rule in ("data.checkrein.pre_prompt.decision", "data.main.deny"):
        engine_of(server, entrypoints={"pre_prompt": rule}).evaluate(question())
    assert [event["result"] for event in server.decisions] == [True, ["x"]]
    assert not any("erased" in event for event in server.decisions)


@pytest.mark.parametrize("cause", ["timeout", "unreachable"])
def test_an_outage_opens_only_where_the_settings_say_so(scripted, cause):
    """Through the enforcement point, in both drivers."""
    server = scripted(lambda call: call.hang() if cause == "timeout" else call.reset())
    for open_on, permitted in ({"pre_prompt": [cause]}, True), ({}, False), ({"tool_call": [cause]}, False):
        node = build_engine({"opa": {"url": server.url, "timeout": 0.1}}, base=Path())
        settings = SETTINGS.model_validate(
            {"version": 1, "engine": {}, "failure": {"open_on": open_on}, "detectors": {}}
        )
        point = EnforcementPoint(node, settings, record=lambda _: None)
        request = next(one for one in SCENARIOS if one.stage is Stage.PRE_PROMPT).request()
        for decision in (point.decide(request), asyncio.run(point.adecide(request))):
            assert decision.failure == cause
            assert decision.permitted is permitted
            assert decision.failed_open is permitted
        asyncio.run(point.aclose())
