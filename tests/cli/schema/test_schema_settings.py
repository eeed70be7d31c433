"""`checkrein schema settings`: settings with everything in them fit the schema, and broken ones do not."""

import json
import sys

import pytest
import yaml
from described import fits
from jsonschema import Draft202012Validator

from checkrein.cli.packs import shipped_packs
from checkrein.cli.schemas import settings_schema

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
