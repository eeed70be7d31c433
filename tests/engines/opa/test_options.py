"""Settings: what is wrong is said when they are loaded, with the line and the next step."""

import pytest

from checkrein import EnforcementPoint, SettingsError, Stage
from checkrein_opa.addressing import parse_url, path_of


@pytest.fixture
def load(tmp_path):
    def load(options):
        path = tmp_path / "settings.yaml"
        path.write_text(f"version: 1\nengine:\n  opa:\n{options}decision_log: {{to: {tmp_path}/log}}\n")
        pep = EnforcementPoint.from_settings(path)
        pep.close()
        return pep

    return load


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("    {}\n", "`engine.opa.url` is missing"),
        ("    url: opa:8181\n", "must be `http://host:port`"),
        ("    url: ftp://opa\n", "must be `http://host:port`"),
        ("    url: http://\n", "must be `http://host:port`"),
        ("    url: http://opa:0\n", "must be `http://host:port`"),
        ("    url: http://opa:99999\n", "is no URL"),
        ("    url: http://opa:x\n", "is no URL"),
        ("    url: 'http://[::1'\n", "is no URL"),
        ("    url: http://user:pass@opa\n", "holds credentials"),
        ("    url: http://opa?x=1\n", "has a query"),
        ("    url: 'http://opa#x'\n", "has a query"),
        ("    url: http://opa/../x\n", "is no plain one"),
        ("    url: http://opa//x\n", "is no plain one"),
        ("    url: http://opa/%2e\n", "is no plain one"),
        ("    url: http://opa:8181/v1\n", "end it before `/v1`"),
        ("    url: http://opa:8181/v1/data/x\n", "end it before `/v1`"),
        ('    url: "http://opa\\r\\nX: y"\n', "holds a space, a control"),
        ("    url: http://öpa\n", "holds a space, a control"),
        ("    url: http://opa\n    tokn: x\n", "did you mean `token`"),
        ('    url: http://opa\n    token: "a b"\n', "`engine.opa.token` holds a space"),
        ('    url: http://opa\n    token: "a\\r\\nX: y"\n', "`engine.opa.token` holds a space"),
        ("    url: http://opa\n    timeout: 0\n", "settings.yaml:5: `engine.opa.timeout`"),
        ("    url: http://opa\n    timeout: 61\n", "`engine.opa.timeout`"),
        ("    url: http://opa\n    timeout: '1'\n", "`engine.opa.timeout`"),
        ("    url: http://opa\n    retries: -1\n", "`engine.opa.retries`"),
        ("    url: http://opa\n    connections: 0\n", "`engine.opa.connections`"),
        ("    url: http://opa\n    input: [subject.id]\n", "is no path below `context`"),
        ("    url: http://opa\n    input: [context]\n", "is no path below `context`"),
        ("    url: http://opa\n    entrypoints: {pre_promt: data.a.b}\n", "`engine.opa.entrypoints"),
        ("    url: http://opa\n    entrypoints: {pre_prompt: a.b}\n", "is no rule"),
        ("    url: http://opa\n    entrypoints: {pre_prompt: data.a/b}\n", "is no rule"),
        ("    url: http://opa\n    entrypoints: {pre_prompt: data.checkrein}\n", "is no rule"),
        (
            "    url: http://opa\n    stages: [pre_prompt]\n    entrypoints: {tool_call: data.a.b}\n",
            "`stages` leaves `tool_call` out",
        ),
        ("    url: http://opa\n    tls: {ca: absent.pem}\n", "does not exist"),
        ("    url: http://opa\n    tls: {verify: false}\n", "is no known key"),
        ("    url: https://opa\n    tls: {key: settings.yaml}\n", "has a `key` without a `cert`"),
        ("    url: http://opa\n    tls: {ca: settings.yaml}\n", "does not start with `https:`"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(load, options, message):
    with pytest.raises(SettingsError) as caught:
        load(options)
    assert message in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_neither_a_token_nor_a_password_is_repeated(load):
    with pytest.raises(SettingsError) as caught:
        load('    url: http://opa\n    token: "s3cr et"\n')
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ("", {"model_selection", "pre_prompt", "post_completion"}),
        ("    stages: [tool_call]\n", {"tool_call"}),
        ("    entrypoints: {tool_result: data.a.b}\n", {"tool_result"}),
        (
            "    stages: [pre_prompt, tool_result]\n    entrypoints: {tool_result: data.a.b}\n",
            {"pre_prompt", "tool_result"},
        ),
    ],
)
def test_the_stages_are_those_that_are_named(load, options, stages):
    pep = load(f"    url: http://127.0.0.1:8181\n{options}")
    (engine,) = pep.node.engines
    assert engine.stages == {Stage(one) for one in stages}
    assert engine.remote
    assert engine.name == "opa"


def test_the_settings_can_name_everything(load, tmp_path, monkeypatch):
    monkeypatch.setenv("OPA_URL", "http://opa.internal:8181/opa/")
    (tmp_path / "token").write_text("s3cret\n")
    pep = load(
        "    url: ${OPA_URL}\n    name: access\n    token: {file: token}\n    timeout: 1\n    retries: 0\n"
        "    connections: 8\n    input: [context.prompt.text]\n    check: false\n"
        "    entrypoints: {pre_prompt: 'data.team[\"a-b\"].allow'}\n"
    )
    (engine,) = pep.node.engines
    assert engine.name == "access"
    assert engine.entrypoint(Stage.PRE_PROMPT) == 'data.team["a-b"].allow'


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://opa", ("opa", 80, False, "", "opa")),
        ("http://opa:80/", ("opa", 80, False, "", "opa")),
        ("http://OPA:8181", ("opa", 8181, False, "", "opa:8181")),
        ("https://opa", ("opa", 443, True, "", "opa")),
        ("https://opa:8443/a/b/", ("opa", 8443, True, "/a/b", "opa:8443")),
        ("http://[::1]:8181", ("::1", 8181, False, "", "[::1]:8181")),
        ("http://my_opa.ns.svc.cluster.local:8181", None),
    ],
)
def test_an_address_is_read(url, address):
    found = parse_url(url)
    if address:
        assert (found.host, found.port, found.tls, found.prefix, found.authority) == address


@pytest.mark.parametrize(
    ("entrypoint", "path"),
    [
        ("data.checkrein.pre_prompt.decision", "/v1/data/checkrein/pre_prompt/decision"),
        ('data["a b"].c', "/v1/data/a%20b/c"),
        ('data.a["b.c"].deny', "/v1/data/a/b.c/deny"),
        ('data.a["?#&"].b', "/v1/data/a/%3F%23%26/b"),
        ('data.a["ü"].b', "/v1/data/a/%C3%BC/b"),
    ],
)
def test_a_rule_has_a_path(entrypoint, path):
    assert path_of(entrypoint) == path


@pytest.mark.parametrize(
    "entrypoint",
    [
        "",
        "data",
        "data.a",
        "input.a.b",
        "data.a.b[0].c",
        'data.a["b"]',  # `deny` is told by the last part
        'data.a["x/y"].b',
        'data.a["%2e"].b',
        'data.a["12"].b',
        'data.a["-1"].b',
        'data.a[".."].b',
        'data.a[""].b',
        'data.a["\\n"].b',
        'data.a["x\ny"].b',
        "data.a.b\n",
        "data.a.b/c",
        "data.a.b?c",
        "data.a-b.c",
    ],
)
def test_what_opas_paths_cannot_say_is_no_rule(entrypoint):
    with pytest.raises(ValueError, match=r"`"):
        path_of(entrypoint)
