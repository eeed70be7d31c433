"""Scenario files: strict to read, and exact about what came."""

import asyncio
import json

import pytest

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import SettingsError
from checkrein.obligations import allowed_at
from checkrein.scenarios import arun_scenario, load_scenarios, run_scenario
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import ANONYMOUS, Entity, Stage

PERMITTED = {"permitted": True}


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "scenarios.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def load(file):
    """The scenarios of a file that holds these; JSON is YAML too."""

    def read(*scenarios):
        named = [{"name": f"sentence {number}", **one} for number, one in enumerate(scenarios)]
        return load_scenarios(file(json.dumps({"scenarios": named})))

    return read


def find_digits(text):
    return [Span("digit", place, place + 1) for place, char in enumerate(text) if char.isdigit()]


@pytest.fixture(params=["sync", "async"])
def failures(request, load):
    """What does not hold when an engine gives an answer, by either driver."""

    def come(answer, expect, settings=None, **keys):
        engine = answer if hasattr(answer, "evaluate") else StaticEngine(answer)
        pep = EnforcementPoint(engine, Settings.model_validate(settings or {}), record=lambda _: None)
        digits = {Stage.PRE_PROMPT: (find_digits,), Stage.POST_COMPLETION: (find_digits,)}
        pep._concluder.detectors = Detectors(dict.fromkeys(digits, frozenset({"digit"})), digits)
        (scenario,) = load({**(keys or {"prompt": "hello"}), "expect": expect})
        if request.param == "async":
            result = asyncio.run(arun_scenario(pep, scenario))
        else:
            result = run_scenario(pep, scenario)
        assert result.passed == (not result.failures)
        return "\n".join(result.failures)

    return come


@pytest.mark.parametrize(
    ("keys", "stage", "resource", "said"),
    [
        ({"prompt": "hi"}, "pre_prompt", "model:unknown", ["user: hi"]),
        ({"prompt": ""}, "pre_prompt", "model:unknown", ["user: "]),
        ({"model": "big"}, "model_selection", "model:big", []),
        ({"model": "big", "prompt": "hi"}, "pre_prompt", "model:big", ["user: hi"]),
        ({"stage": "model_selection", "prompt": "hi"}, "model_selection", "model:unknown", ["user: hi"]),
        ({"completion": "hi"}, "post_completion", "model:unknown", ["assistant: hi"]),
        (
            {"messages": [{"role": "system", "content": "be kind"}, {"role": "tool", "content": "rain"}]},
            "pre_prompt",
            "model:unknown",
            ["system: be kind", "tool: rain"],
        ),
        (
            {"tool": {"name": "send", "arguments": {"to": ["ann", 7], "note": {"text": "hi"}}}},
            "tool_call",
            "tool:send",
            ["assistant: ann", "assistant: hi"],
        ),
        ({"tool": {"name": "search"}, "result": "rain"}, "tool_result", "tool:search", ["tool: rain"]),
    ],
)
def test_a_scenario_is_asked_at_the_stage_that_sees_what_it_gives(load, keys, stage, resource, said):
    request = load({**keys, "expect": PERMITTED})[0].request()
    assert request.stage == stage
    assert f"{request.resource.type}:{request.resource.id}" == resource
    assert [f"{segment.role}: {segment.text}" for segment in request.segments] == said
    assert len({segment.path for segment in request.segments}) == len(said)
    assert request.supports == allowed_at(request.stage)


@pytest.mark.parametrize(
    ("written", "subject"),
    [
        ({}, ANONYMOUS),
        ({"as": {"id": "alice"}}, Entity(type="user", id="alice")),
        (
            {"as": {"type": "service", "id": "job", "tier": "free", "roles": ["a"]}},
            Entity(type="service", id="job", properties={"tier": "free", "roles": ["a"]}),
        ),
    ],
)
def test_every_key_of_as_but_id_and_type_is_a_property(load, written, subject):
    assert load({**written, "prompt": "hi", "expect": PERMITTED})[0].request().subject == subject


def test_the_engine_sees_context_tool_model_and_what_the_settings_know_of_a_model(load):
    engine = StaticEngine(permit())
    settings = Settings.model_validate({"models": {"big": {"size": "large"}}})
    pep = EnforcementPoint(engine, settings, record=lambda _: None)
    usage = {"spent_micros": 12}
    arguments = {"to": "ann"}
    for scenario in load(
        {"model": "big", "context": {"usage": usage}, "supports": ["route"], "expect": PERMITTED},
        {
            "model": {"id": "own", "properties": {"size": "tiny"}},
            "tool": {"name": "send", "arguments": arguments},
            "expect": PERMITTED,
        },
    ):
        assert run_scenario(pep, scenario).passed
    model, tool = engine.asked
    assert model["resource"]["properties"] == {"size": "large"}
    assert model["context"]["usage"] == usage
    assert model["context"]["supported_obligations"] == ["route"]
    assert tool["context"]["tool"] == {"arguments": arguments}
    assert tool["context"]["model"] == "own"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"promt": "hi"}, "`scenarios[0].promt` is no known key; did you mean `prompt`?"),
        ({"prompt": "hi", "completion": "ho"}, "gives `completion` and `prompt`; no stage sees that"),
        ({"prompt": "hi", "messages": []}, "gives `messages` and `prompt`; no stage sees that"),
        (
            {"stage": "post_completion", "prompt": "hi"},
            "the stage `post_completion` is asked with `completion`",
        ),
        (
            {"stage": "pre_prompt"},
            "gives no text; the stage `pre_prompt` is asked with `prompt` or `messages`",
        ),
        ({"stage": "tool_result", "tool": {"name": "x"}}, "is asked with `result` and `tool`"),
        ({"stage": "pre_promt", "prompt": "hi"}, "`scenarios[0].stage` "),
        ({"stage": ["pre_prompt"], "prompt": "hi"}, "`scenarios[0].stage` "),
        ({"stage": None, "prompt": "hi"}, "no stage sees that"),
        ({"prompt": 7}, "`scenarios[0].prompt` "),
        ({"prompt": "hi", "as": "alice"}, "for instance `{id: alice, tier: free}`"),
        ({"prompt": "hi", "as": {"tier": "free"}}, "must be a mapping with an `id`"),
        ({"prompt": "hi", "as": {"id": 7}}, "must be a mapping with an `id`"),
        ({"prompt": "hi", "model": {"name": "x"}}, "must be a model's name or"),
        ({"prompt": "hi", "model": ""}, "must be a model's name or"),
        ({"messages": []}, "`scenarios[0].messages` "),
        ({"messages": [{"role": "boss", "content": "hi"}]}, "`scenarios[0].messages[0].role` "),
        ({"prompt": "hi", "expect": {}}, "`scenarios[0].expect.permitted` is missing"),
        ({"prompt": "hi", "expect": {"permitted": "yes"}}, "`scenarios[0].expect.permitted` "),
        ({"prompt": "hi", "expect": {"permitted": True, "reason": []}}, "did you mean `reasons`?"),
        ({"prompt": "hi", "expect": {"permitted": True, "reasons": None}}, "`scenarios[0].expect.reasons` "),
        ({"prompt": "hi", "expect": {"permitted": True, "obligations": [{"type": "x", "id": "y"}]}}, ".id` "),
    ],
)
def test_a_malformed_scenario_is_an_error_that_names_file_line_and_scenario(load, keys, message):
    with pytest.raises(SettingsError) as raised:
        load({"expect": PERMITTED, **keys})
    assert message in str(raised.value)
    assert "scenarios.yaml:1: `scenarios[0]" in str(raised.value)
    assert str(raised.value).endswith("; scenario `sentence 0`")
    assert "hi" not in str(raised.value)


def test_the_line_is_the_one_that_is_wrong(file):
    good = "- name: good\n  prompt: hi\n  expect: {permitted: true}\n"
    path = file(f"scenarios:\n{good}- name: bad\n  expect: {{permitted: true}}\n  prompd: hi\n")
    with pytest.raises(SettingsError, match=r"scenarios\.yaml:7: .*; scenario `bad`"):
        load_scenarios(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "hello",
        "scenarios: {}",
        "scenario: []",
        "scenarios:",
        "scenarios: []\nversion: 1",
        "scenarios: [7]",
    ],
)
def test_a_file_of_another_shape_is_an_error(file, text):
    with pytest.raises(SettingsError, match=r"scenarios\.yaml:1: "):
        load_scenarios(file(text))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load_scenarios(tmp_path / "none.yaml")


def test_a_name_that_is_there_twice_is_an_error_that_points_at_the_first(file):
    item = "- name: twin\n  prompt: hi\n  expect: {permitted: true}\n"
    with pytest.raises(SettingsError, match=r"yaml:5: .*the name of line 2, `twin`"):
        load_scenarios(file(f"scenarios:\n{item}{item}"))


def test_a_variable_in_a_prompt_stays_what_it_is(file, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    text = "scenarios: [{name: a, prompt: 'what is ${SECRET}', expect: {permitted: true}}]"
    (scenario,) = load_scenarios(file(text))
    assert scenario.prompt == "what is ${SECRET}"
    assert scenario.line == 1


def test_only_what_is_expected_is_compared(failures):
    answer = permit(obligation("no_store"), reasons=["note"])
    assert not failures(answer, PERMITTED)
    assert "permitted: expected false, got true" in failures(answer, {"permitted": False})


def test_reasons_are_an_exact_set_of_codes(failures):
    answer = permit(reasons=["a", "b", "b"])
    assert not failures(answer, {"permitted": True, "reasons": ["b", "a"]})
    assert (
        failures(answer, {"permitted": True, "reasons": ["a"]}) == 'reasons: expected ["a"], got ["a", "b"]'
    )
    assert failures(answer, {"permitted": True, "reasons": []})
    assert not failures(deny("tier"), {"permitted": False, "reasons": ["tier"]})
    assert not failures(not_applicable(), {"permitted": False, "reasons": ["not_applicable"]})


def test_obligations_are_exact_but_for_their_order_and_id(failures):
    first = obligation("limit_tokens", max_tokens=1)
    answer = permit(first, obligation("set_parameters", logprobs=True))
    limit = {"type": "limit_tokens", "properties": {"max_tokens": 1}}
    flag = {"type": "set_parameters", "properties": {"logprobs": True}}
    one = {"type": "set_parameters", "properties": {"logprobs": 1}}
    assert not failures(answer, {**PERMITTED, "obligations": [flag, limit]})
    assert failures(answer, {**PERMITTED, "obligations": [flag]})
    assert failures(answer, {**PERMITTED, "obligations": [flag, limit, limit]})
    assert failures(answer, {**PERMITTED, "obligations": [one, limit]})
    assert failures(answer, {**PERMITTED, "obligations": []})


def test_the_text_is_the_one_after_the_changes(failures):
    answer = permit(obligation("redact", types=["digit"]))
    took = {"permitted": True, "text": "call [REDACTED:digit]"}
    assert not failures(answer, took, prompt="call 1")
    assert not failures(answer, took, completion="call 1")
    assert failures(permit(), took, prompt="call 1")
    several = [{"role": "user", "content": "a 1"}, {"role": "user", "content": "b"}]
    assert not failures(answer, {"permitted": True, "text": "a [REDACTED:digit]\nb"}, messages=several)


@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
def test_a_route_that_was_followed_is_an_obligation_and_a_model(failures, stage):
    def answer(request):
        return permit(obligation("route", model="big")) if request.request.resource.id == "auto" else permit()

    route = {"type": "route", "properties": {"model": "big"}}
    asked = {"stage": stage, "model": "auto", "prompt": "hi"}
    assert not failures(answer, {**PERMITTED, "obligations": [route], "model": "big"}, **asked)
    assert failures(answer, {**PERMITTED, "model": None}, **asked)
    assert failures(answer, {**PERMITTED, "obligations": []}, **asked)
    assert not failures(permit(), {**PERMITTED, "obligations": [], "model": None}, **asked)


def test_a_route_is_described_by_the_settings_models(failures):
    def answer(request):
        if request.request.resource.id == "auto":
            return permit(obligation("route", model="big"))
        size = request.document["resource"]["properties"].get("size")
        return permit() if size == "large" else deny("unknown_size")

    asked = {"stage": "model_selection", "model": "auto"}
    assert not failures(answer, PERMITTED, {"models": {"big": {"size": "large"}}}, **asked)
    assert failures(answer, PERMITTED, **asked)


def test_a_host_that_cannot_carry_it_out_is_denied(failures):
    answer = permit(obligation("limit_tokens", max_tokens=1))
    refused = {"permitted": False, "reasons": ["unsupported_obligation"]}
    assert not failures(answer, refused, prompt="hi", supports=[])
    assert failures(answer, refused, prompt="hi", supports=["limit_tokens"])


def test_a_broken_engine_does_not_pass_for_a_policy_that_denies(failures):
    broken = FailingEngine("engine_error")
    assert "failure: " in failures(broken, {"permitted": False})
    assert not failures(broken, {"permitted": False, "reasons": ["failure.engine_error"]})


def test_the_judgement_is_compared_whatever_the_mode(failures):
    monitor = {"enforcement": {"default": "monitor"}}
    assert not failures(deny("tier"), {"permitted": False, "reasons": ["tier"]}, monitor)
