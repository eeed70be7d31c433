"""`checkrein schema record`: real records fit the schema, and broken ones do not."""

import json

import pytest
from described import CONTEXT, DETECTORS, asked, fits
from jsonschema import Draft202012Validator

from checkrein.cli.schemas import record_schema
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Entity, Origin, Segment, Stage


def records(tmp_path, engine, *requests, settings=None, content="facts"):
    path = tmp_path / f"{content}.jsonl"
    log = DecisionLog(DecisionLogSettings(to=path, content=content))
    told = {"detectors": {stage.value: names for stage, names in DETECTORS.items()}, **(settings or {})}
    pep = EnforcementPoint(engine, Settings.model_validate(told), record=log)
    for request in requests:
        pep.decide(request)
    pep.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("content", ["facts", "masked", "full"])
@pytest.mark.parametrize(
    "engine",
    [
        StaticEngine(permit(reasons=["fine"])),
        StaticEngine(deny("pii.us_ssn", "said: SSN 536-90-4399")),
        StaticEngine(permit(obligation("redact", types=["us_ssn"]), obligation("no_store"))),
        StaticEngine(permit(obligation("nonsense", text="x" * 300))),
        StaticEngine(permit(obligation("limit_tokens", max_tokens=5))),
        FailingEngine("timeout", remote=True),
    ],
    ids=["permit", "deny", "redact", "unsupported", "limit", "failure"],
)
def test_every_record_fits(tmp_path, engine, content):
    requests = [asked(stage, bare=bare) for stage in Stage for bare in (False, True)]
    requests.append(asked(Stage.PRE_PROMPT, context={"bad": object()}))
    requests.append(asked(Stage.PRE_PROMPT, context={**CONTEXT, "notes": "text", "number": 1}))
    written = records(tmp_path, engine, *requests, content=content)
    assert len(written) == len(requests)
    validator = Draft202012Validator(record_schema())
    assert [list(validator.iter_errors(one)) for one in written] == [[]] * len(written)


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
def test_a_record_of_candidates_fits(tmp_path, mode):
    path = tmp_path / "decisions.jsonl"
    log = DecisionLog(DecisionLogSettings(to=path))
    settings = Settings.model_validate({"enforcement": {"default": mode}})
    pep = EnforcementPoint(StaticEngine(deny("tier")), settings, record=log)
    pep.filter_candidates(
        asked(Stage.MODEL_SELECTION),
        [Entity(type="model", id="m", properties={"deployment": f"d{number}"}) for number in range(101)],
    )
    pep.close()
    (record,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert record["candidates_omitted"] == 1
    assert fits(record_schema(), record)
    record["candidates"][0]["text"] = "more than a name"
    assert not fits(record_schema(), record)


def test_a_record_under_monitor_and_one_of_thousands_of_findings_fit(tmp_path):
    many = Segment(path=(0,), role="odd role", origin=Origin.USER, text="jo@example.com " * 1100)
    written = records(
        tmp_path,
        StaticEngine(deny("no")),
        asked(Stage.PRE_PROMPT),
        asked(Stage.PRE_PROMPT, segments=(many,)),
        settings={"enforcement": {"default": "monitor"}},
    )
    assert "findings_omitted" in written[1]["input"]["context"]
    assert all(fits(record_schema(), one) for one in written)


BROKEN_RECORDS = {
    "another event": lambda it: it.update(event="settings_loaded"),
    "another version": lambda it: it.update(record=99),
    "a field beside": lambda it: it.update(prompt="hello"),
    "no decision": lambda it: it.pop("decision_id"),
    "an id that is none": lambda it: it.update(decision_id="1"),
    "neither effect nor failure": lambda it: it.pop("effect"),
    "both": lambda it: it.update(failure="timeout"),
    "an effect that is none": lambda it: it.update(effect="maybe"),
    "a state that is none": lambda it: it["obligations"][0].update(state="later"),
    "a local time": lambda it: it.update(timestamp="2026-11-22 12:00"),
    "text where facts are": lambda it: it["input"]["context"]["prompt"].update(text="hello"),
    "a segment without a digest": lambda it: it["input"]["context"]["prompt"]["segments"][0].pop("digest"),
    "an answer of no engine": lambda it: it["answers"][0].pop("engine"),
}


@pytest.mark.parametrize("damage", BROKEN_RECORDS.values(), ids=BROKEN_RECORDS)
def test_a_broken_record_does_not_fit(tmp_path, damage):
    engine = StaticEngine(permit(obligation("redact", types=["us_ssn"])))
    (record,) = records(tmp_path, engine, asked(Stage.PRE_PROMPT))
    assert fits(record_schema(), record)
    damage(record)
    assert not fits(record_schema(), record)
