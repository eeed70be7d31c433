"""The same bundle gives the same verdicts embedded and in OPA; the example holds; OPA's log keeps no text."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from opa_server import OpaServer
from typer.testing import CliRunner

import checkrein_policies
from checkrein import EnforcementPoint, Settings, Stage, Verdict
from checkrein.building import build_engine
from checkrein.cli.app import FAILED, app
from checkrein.document import build
from checkrein.loading import load
from checkrein.scenarios import Scenario, arun_scenario, load_scenarios, run_scenario
from checkrein_rego.bundle import load_bundle

SHIPPED = Path(checkrein_policies.__file__).parent
PACKS = sorted(path.parent for path in SHIPPED.glob("*/settings.yaml") if (path.parent / "rego").is_dir())
# Arguments of tools are text: a pack that judges them has to ask for them.
INPUT = {"tools": ["context.tool.arguments"]}
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "opa"
MASK = (EXAMPLE / "mask.rego").read_text()
SECRET = "the secret words"


@dataclass
class Both:
    """A pack in OPA and in this process, with its scenarios."""

    server: OpaServer
    remote: EnforcementPoint
    embedded: EnforcementPoint
    scenarios: list[Scenario]

    def verdicts(self, scenario: Scenario) -> list[Verdict]:
        """What each engine says to the same question, without what is its own."""
        settings = self.remote.settings
        detectors = self.remote._concluder.detectors
        request = build(
            scenario.request(), detectors=detectors, models=settings.models, limits=settings.limits
        )
        engines = [point.node.engines[0] for point in (self.remote, self.embedded)]
        return [replace(one.evaluate(request), policy_ids=(), revision=None) for one in engines]


@pytest.fixture(scope="module", params=PACKS, ids=lambda pack: pack.name)
def pack(request):
    folder = request.param
    settings = load(folder / "settings.yaml").settings
    options = settings.engine["rego"]
    data = load_bundle(folder / options["bundle"], [folder / one for one in options.get("data", [])]).data
    modules = {
        path.name: path.read_text()
        for path in (folder / "rego").rglob("*.rego")
        if not path.stem.endswith("_test")
    }
    entrypoints = yaml.safe_load((folder / "pack.yaml").read_text())["entrypoints"]
    files = [folder / "scenarios.yaml", *folder.glob("scenarios.only-*rego*.yaml")]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(OpaServer(policies=modules, data=data, revision=folder.name))
        nodes = (
            {
                "opa": {
                    "url": server.url,
                    "timeout": 20,
                    "entrypoints": entrypoints,
                    "input": INPUT.get(folder.name, []),
                }
            },
            {"rego": dict(options)},
        )
        points = [
            EnforcementPoint(build_engine(node, base=folder), settings, record=lambda _: None)
            for node in nodes
        ]
        for point in points:
            stack.callback(point.close)
        yield Both(server, *points, [one for file in files for one in load_scenarios(file)])


def test_opa_and_the_embedded_engine_give_the_same_verdict_on_every_scenario(pack):
    differing = []
    for scenario in pack.scenarios:
        remote, embedded = pack.verdicts(scenario)
        if replace(remote, decision_id=None) != embedded:
            differing.append((scenario.name, remote.effect, embedded.effect))
    assert differing == []


@pytest.mark.parametrize("driver", ["blocking", "awaiting"])
def test_every_scenario_of_a_pack_comes_to_the_same_in_opa(pack, driver):
    for scenario in pack.scenarios:
        awaited = driver == "awaiting"
        result = (
            asyncio.run(arun_scenario(pack.remote, scenario))
            if awaited
            else run_scenario(pack.remote, scenario)
        )
        assert result.failures == run_scenario(pack.embedded, scenario).failures, scenario.name


def test_the_record_of_a_decision_names_opas_own(pack):
    decision = pack.remote.decide(pack.scenarios[0].request())
    (answer,) = decision.answers
    assert answer.engine == "opa"
    assert answer.revision in {folder.name for folder in PACKS}
    assert answer.decision_id == pack.server.decisions[-1]["decision_id"]


def test_a_pack_is_decided_without_any_text(pack):
    for scenario in pack.scenarios:
        run_scenario(pack.remote, scenario)
    for _, _, _, body in pack.server.requests:
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
def test_an_outage_opens_only_where_the_settings_say_so(scripted, question, cause):
    """Through the enforcement point, in both drivers."""
    asked = question().request
    server = scripted(lambda call: call.hang() if cause == "timeout" else call.reset())
    for open_on, permitted in ({"pre_prompt": [cause]}, True), ({}, False), ({"tool_call": [cause]}, False):
        node = build_engine({"opa": {"url": server.url, "timeout": 0.1}}, base=Path())
        settings = Settings.model_validate({"failure": {"open_on": open_on}})
        point = EnforcementPoint(node, settings, record=lambda _: None)
        for decision in (point.decide(asked), asyncio.run(point.adecide(asked))):
            assert decision.failure == cause
            assert decision.permitted is permitted
            assert decision.failed_open is permitted
        asyncio.run(point.aclose())
