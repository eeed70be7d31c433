"""`checkrein schema`: real documents, records and settings fit the schemas, and broken ones do not."""

import json
import sys

import pytest
import yaml
from cedarpy import Decision, Entities, PolicySet, Schema, is_authorized, validate_policies
from jsonschema import Draft202012Validator

from checkrein.cli.packs import shipped_packs
from checkrein.cli.schema_text import cedar_schema, rego_annotations
from checkrein.cli.schemas import input_schema, record_schema, settings_schema
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.enforcement import EnforcementPoint
from checkrein.obligations import allowed_at
from checkrein.settings import Limits, Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import ANONYMOUS, AccessRequest, Entity, Origin, Segment, Stage
from checkrein_cedar.names import PARENTS, TYPES, Names
from checkrein_cedar.needs import Need
from checkrein_cedar.values import cedar_value, context_of

ALICE = Entity(type="user", id="alice", properties={"tier": "pro", "groups": ["data"], "roles": ["analyst"]})
MODEL = Entity(
    type="model", id="gpt-4o", properties={"size": "large", "input_price": 2500000, "output_price": 10000000}
)
TOOL = Entity(type="tool", id="send")
DETECTORS = {stage: ["us_ssn", "email", "injection"] for stage in Stage if stage is not Stage.TOOL_CALL}
CONTEXT = {
    "operation": "chat",
    "environment": {"host": "litellm-proxy", "endpoint": "/chat/completions"},
    "estimated": {"prompt_tokens": 203, "max_tokens": 512},
    "usage": {"spent_micros": 1200000, "limit_micros": 50000000, "requests": 12, "quota": 100},
    "uninspected": [{"kind": "image", "segment": 1}],
}
OWN = {
    Stage.PRE_PROMPT: {"tools": ["search"]},
    Stage.POST_COMPLETION: {
        "tokens": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "finish_reason": "stop",
        "partial": False,
    },
    Stage.TOOL_CALL: {
        "tool": {"arguments": {"to": "bob", "deep": [{"a": None}]}, "call_id": "t1"},
        "model": "m",
    },
    Stage.TOOL_RESULT: {"tool": {"call_id": "t1"}},
}


def asked(stage, *, bare=False, **changes):
    origin = {Stage.POST_COMPLETION: Origin.ASSISTANT, Stage.TOOL_RESULT: Origin.TOOL}.get(stage, Origin.USER)
    pieces = (
        Segment(path=(0,), role="system", origin=Origin.SYSTEM, text="be kind"),
        Segment(path=(1,), role=origin.value, origin=origin, text="SSN 536-90-4399, mail jo@example.com ü"),
    )
    given = {
        "stage": stage,
        "subject": ANONYMOUS if bare else ALICE,
        "resource": TOOL if stage in (Stage.TOOL_CALL, Stage.TOOL_RESULT) else MODEL,
        "context": {} if bare else {**CONTEXT, **OWN.get(stage, {})},
        "segments": () if bare or stage is Stage.TOOL_CALL else pieces,
        "supports": allowed_at(stage),
        "call_id": "call-1",
    }
    return AccessRequest(**{**given, **changes})


@pytest.fixture(scope="module")
def detectors():
    return Detectors.load(DETECTORS)


@pytest.fixture
def document(detectors):
    def make(stage, **options):
        request = asked(stage, **options)
        built = build(request, detectors=detectors, models={}, limits=Limits())
        return json.loads(built.json())

    return make


def fits(schema, value):
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)] == []


@pytest.mark.parametrize("make", [input_schema, record_schema, settings_schema])
def test_each_schema_is_a_schema(make):
    Draft202012Validator.check_schema(make())


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("stage", Stage)
def test_every_document_that_is_built_fits(document, stage, bare):
    made = document(stage, bare=bare)
    for schema in (input_schema(), input_schema(stage)):
        assert list(Draft202012Validator(schema).iter_errors(made)) == []


def test_the_example_of_the_design_fits(document):
    made = document(Stage.PRE_PROMPT)
    assert made["context"]["estimated"]["cost_micros"] > 0
    assert [one["type"] for one in made["context"]["findings"]] == ["us_ssn", "email"]


BROKEN = {
    "no stage": lambda it: it.pop("stage"),
    "an unknown stage": lambda it: it.update(stage="somewhere"),
    "a key beside": lambda it: it.update(extra=1),
    "no subject": lambda it: it.pop("subject"),
    "a subject's number": lambda it: it["subject"].update(id=7),
    "a misspelt property": lambda it: it["subject"].update(propertys={}),
    "no findings": lambda it: it["context"].pop("findings"),
    "a finding without an end": lambda it: it["context"]["findings"][0].pop("end"),
    "an origin that is none": lambda it: it["context"]["findings"][0].update(origin="ghost"),
    "no text's facts": lambda it: it["context"].pop("prompt"),
    "no text": lambda it: it["context"]["prompt"].pop("text"),
    "a length below zero": lambda it: it["context"]["prompt"].update(length=-1),
    "words that are text": lambda it: it["context"]["prompt"].update(words="3"),
    "money in fractions": lambda it: it["context"]["usage"].update(spent_micros=0.5),
    "no time": lambda it: it["context"]["environment"].pop("time"),
    "an identity half told": lambda it: it["context"]["identity"].pop("asserted"),
    "uninspected without a kind": lambda it: it["context"]["uninspected"][0].pop("kind"),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_a_broken_document_does_not_fit(document, damage):
    made = document(Stage.PRE_PROMPT)
    damage(made)
    assert not fits(input_schema(), made)
    assert not fits(input_schema(Stage.PRE_PROMPT), made)


def test_model_selection_has_no_text(document):
    made = document(Stage.MODEL_SELECTION)
    made["context"]["prompt"]["text"] = "hello"
    assert not fits(input_schema(), made)


def test_the_schema_of_one_stage_has_no_reference_in_it():
    for stage in Stage:
        assert "$ref" not in json.dumps(input_schema(stage))


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


SETTINGS = """
version: 1
engine:
  all:
    - by:
        key: subject.properties.tenant
        cases: {acme: {rego: {bundle: a/, entrypoints: {pre_prompt: data.a.b}}}}
        otherwise: {cedar: {policies: a.cedar, schema: a.cedarschema, stages: [tool_call]}}
    - opa: {url: "https://opa", token: {file: token}, tls: {ca: ca.pem}, timeout: 0.5, input: [context.a]}
    - casbin: {model: m.conf, policy: p.csv, refresh: 60}
    - oso: {policies: a.polar}
    - desk:
unchecked: [tool_result]
failure: {open_on: {pre_prompt: [timeout, unreachable]}}
enforcement: {default: enforce, rules: [{subject: {team: hr}, stages: [pre_prompt], mode: monitor}]}
detectors: {pre_prompt: [us_ssn]}
limits: {text: 4MiB, facts: 1000, depth: 32}
stream: {mode: hold}
denials: {on_denied: raise, expose: message, messages: {a.b: {en: "No. {decision_id}"}}}
identity:
  litellm: {id: [jwt_claims.sub, user_id], properties: {team: team_id, tier: [a.b, c]}}
  langchain: {metadata: {id: user_id}, trusted: false}
decision_log: {to: stdout, content: facts, required: false, digest_key: {file: key}}
models: {gpt-4o: {size: large, input_price: 2500000}}
"""


def test_settings_with_everything_in_them_fit():
    assert list(Draft202012Validator(settings_schema()).iter_errors(yaml.safe_load(SETTINGS))) == []


@pytest.mark.parametrize("pack", shipped_packs(), ids=lambda pack: pack.name)
def test_the_settings_of_every_pack_fit_in_every_language(pack):
    validator = Draft202012Validator(settings_schema())
    for engine in pack.engines:
        value = {**pack.settings.value, "engine": {engine: pack.options(engine)}}
        assert list(validator.iter_errors(value)) == []


def replaced(old, new):
    assert old in SETTINGS
    return yaml.safe_load(SETTINGS.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("unchecked:", "uncheckd:"),
        ("tool_result]", "tool_reslt]"),
        ("[timeout, unreachable]", "[nonsense]"),
        ("mode: monitor", "mode: maybe"),
        ("depth: 32", "depth: 0"),
        ("text: 4MiB", "text: 0"),
        ("mode: hold", "mode: sieve"),
        ("trusted: false", 'trusted: "no"'),
        ("metadata: {id: user_id}", "metadata: {}"),
        ("id: [jwt_claims.sub, user_id]", "id: []"),
        ("content: facts", "content: some"),
        ("digest_key: {file: key}", "digest_key: {path: key}"),
        ("bundle: a/", "bundl: a/"),
        ("policies: a.polar", "policies: 3"),
        ("timeout: 0.5", "timeout: 0"),
        ("- oso:", "- prolog:"),
        ("- desk:", "- desk: 3"),
        ("key: subject.properties.tenant", 'key: ""'),
        ("        otherwise:", "        else:"),
    ],
)
def test_broken_settings_do_not_fit(old, new):
    assert not fits(settings_schema(), replaced(old, new))


def test_a_node_of_two_keys_or_none_is_no_node():
    value = yaml.safe_load(SETTINGS)
    for node in ({}, {"desk": {}, "oso": {"policies": "a.polar"}}, {"all": []}, [], "desk"):
        assert not fits(settings_schema(), {**value, "engine": node})


def test_an_engine_that_is_not_installed_says_so_and_takes_anything(monkeypatch):
    monkeypatch.setitem(sys.modules, "checkrein_cedar", None)
    schema = settings_schema()
    assert "pip install 'checkrein[cedar]'" in json.dumps(
        schema["$defs"]["engine_node"]["properties"]["cedar"]
    )
    value = {**yaml.safe_load(SETTINGS), "engine": {"cedar": {"anything": 1}}}
    assert fits(schema, value)


def test_every_reference_leads_somewhere():
    schema = settings_schema()

    def references(value):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from [item] if key == "$ref" else references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


NAMES = Names(TYPES, PARENTS, None)
PERMIT_ALL = "permit (principal, action, resource);"


def cedar_request(document):
    """The question as the plug-in would put it to policies that look at everything."""
    entities = []
    for one in (document["subject"], document["resource"]):
        attributes = {key: cedar_value(value) for key, value in one["properties"].items()}
        parents = [{"type": kind, "id": name} for kind, name in NAMES.parents_of(one["properties"])]
        uid = {"type": NAMES.type_of(one["type"]), "id": one["id"]}
        entities.append({"uid": uid, "attrs": attributes, "parents": parents})
    question = {
        "principal": entities[0]["uid"],
        "action": {"type": "Action", "id": document["action"]["name"]},
        "resource": entities[1]["uid"],
        "context": context_of(document["context"], Need(whole=True)),
    }
    return question, entities


def cedar_answer(document):
    schema = Schema.from_str(cedar_schema())
    question, entities = cedar_request(document)
    Entities.from_json_str(json.dumps(entities), schema)  # raises what does not conform
    return is_authorized(question, PERMIT_ALL, json.dumps(entities), cedar_schema())


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("stage", Stage)
def test_what_cedar_is_handed_conforms_to_the_cedar_schema(document, stage, bare):
    made = document(stage, bare=bare)
    if stage is Stage.TOOL_CALL and not bare:
        made["context"]["tool"]["arguments"] = {}  # they are the reader's own to describe
    result = cedar_answer(made)
    assert result.diagnostics.errors == []
    assert result.decision is Decision.Allow


def test_what_does_not_conform_to_the_cedar_schema_is_told(document):
    made = document(Stage.PRE_PROMPT)
    made["context"]["usage"]["requests"] = "12"
    assert cedar_answer(made).decision is not Decision.Allow


@pytest.mark.parametrize(
    ("condition", "valid"),
    [
        ('context.found_current.contains("us_ssn")', True),
        ("context.prompt.length > 100", True),
        ("context.prompt.lenght > 100", False),
        ("context has usage && context.usage has requests && context.usage.requests < 5", True),
        ("context.usage.requests < 5", False),
        ('principal in Group::"data"', True),
        ('principal in Team::"data"', False),
        ('context.completion.text like "*x*"', False),
    ],
)
def test_policies_are_checked_strictly_against_the_cedar_schema(condition, valid):
    policy = f'permit (principal, action == Action::"submit_prompt", resource) when {{ {condition} }};'
    result = validate_policies(policy, Schema.from_str(cedar_schema(Stage.PRE_PROMPT)))
    assert result.validation_passed is valid
    assert len(PolicySet.from_str(policy)) == 1


def test_the_cedar_schema_of_one_stage_has_its_action_alone():
    text = cedar_schema(Stage.TOOL_CALL)
    assert "call_tool" in text
    assert "submit_prompt" not in text
    Schema.from_str(text)


def test_the_annotations_for_rego_stand_above_their_packages_and_load(tmp_path, run, settings):
    text = rego_annotations(Stage.PRE_PROMPT)
    annotation = text[text.index("# METADATA") : text.index("package ")]
    read = yaml.safe_load("\n".join(line.removeprefix("#")[1:] for line in annotation.splitlines()[1:]))
    assert read == {"scope": "package", "schemas": [{"input": "schema.pre_prompt"}]}
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "a.rego").write_text(f'{text}\ndecision := {{"allow": true}}\n')
    path = settings("version: 1\nengine: {rego: {bundle: bundle/}}\n")
    assert run("check", "-c", path).exit_code == 0


@pytest.mark.parametrize("what", ["input", "settings", "record"])
def test_the_command_prints_the_schema_and_nothing_else(run, what):
    result = run("schema", what)
    assert result.exit_code == 0
    made = {"input": input_schema, "settings": settings_schema, "record": record_schema}
    assert json.loads(result.stdout) == made[what]()


def test_the_command_prints_the_other_languages_and_one_stage(run):
    assert run("schema", "input", "--format", "cedar").stdout == cedar_schema()
    assert run("schema", "input", "--format", "rego").stdout == rego_annotations()
    one = run("schema", "input", "--stage", "tool_call")
    assert json.loads(one.stdout) == input_schema(Stage.TOOL_CALL)


@pytest.mark.parametrize(
    "arguments",
    [
        ("settings", "--format", "cedar"),
        ("record", "--format", "rego"),
        ("record", "--stage", "pre_prompt"),
        ("output",),
        ("input", "--stage", "somewhere"),
        (),
    ],
)
def test_what_has_no_schema_is_a_usage_error(run, arguments):
    result = run("schema", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
