"""What is refused when loading, because it would answer wrongly, or nothing at all, later."""

import sys

import pytest

from checkrein.errors import PolicyLoadError, SettingsError
from checkrein_rego import RegoEngine

ALWAYS = "default decision := false\n\n"

DANGEROUS = ["http.send", "net.lookup_ip_addr", "opa.runtime", "print"]
# Missing or wrong in both backends, from `opa capabilities` of OPA 1.20.
MISSING = [
    "crypto.parse_private_keys",
    "crypto.sha256",
    "crypto.x509.parse_certificates",
    "glob.quote_meta",
    "graphql.is_valid",
    "graphql.parse",
    "io.jwt.decode",
    "io.jwt.decode_verify",
    "io.jwt.verify_hs256",
    "io.jwt.verify_rs256",
    "net.cidr_intersects",
    "net.cidr_merge",
    "object.size",
    "providers.aws.sign_req",
    "rego.metadata.chain",
    "rego.metadata.rule",
    "rego.parse_module",
    "strings.render_template",
    "strings.replace_n",
]
UNSOUND_IN_REGOPY = [
    "array.slice",
    "bits.lsh",
    "json.filter",
    "json.marshal",
    "object.subset",
    "object.union",
    "object.union_n",
    "product",
    "sum",
    "time.diff",
    "to_number",
    "base64.decode",
    "base64.encode",
    "format_int",
    "hex.decode",
    "indexof",
    "json.match_schema",
    "json.unmarshal",
    "net.cidr_contains",
    "rand.intn",
    "regex.match",
    "regex.replace",
    "replace",
    "semver.compare",
    "strings.count",
    "strings.reverse",
    "substring",
    "time.format",
    "time.parse_rfc3339_ns",
    "trim",
    "trim_space",
    "upper",
    "urlquery.decode",
    "uuid.rfc4122",
    "yaml.unmarshal",
]


@pytest.mark.parametrize("name", [*DANGEROUS, *MISSING])
def test_a_built_in_that_cannot_be_asked_is_refused_with_file_line_and_rule(policy, name):
    # Undefined in an embedded engine, so that this would permit everything.
    with pytest.raises(PolicyLoadError) as caught:
        policy(ALWAYS + f"decision if {{\n\tnot {name}(input.a, input.b)\n}}")
    message = str(caught.value)
    assert "`bundle/policy.rego:6`" in message
    assert "rule `decision`" in message
    assert f"`{name}`" in message


@pytest.mark.parametrize("name", UNSOUND_IN_REGOPY)
def test_what_regopy_answers_otherwise_than_opa_is_refused_there_alone(policy, backend, name):
    body = ALWAYS + f"helper if {name}(input.a)\n\nother := 1"
    if backend == "regorus":
        policy(body)
        return
    with pytest.raises(PolicyLoadError, match=f"rule `helper` calls `{name}`"):
        policy(body)


@pytest.mark.parametrize(
    "call",
    [
        "opa . runtime()",
        'opa["runtime"]()',
        r'opa["\u0072untime"]()',
        "opa.runtime ()",
        "opa.\n\t\truntime()",
        "opa.runtime().env.HOME",
        "count(opa.runtime())",
        "{x | x := opa.runtime().env[_]}",
        "[1 | not opa.runtime()]",
    ],
)
def test_a_dangerous_built_in_is_refused_however_it_is_written(policy, call):
    with pytest.raises(PolicyLoadError, match=r"`opa\.runtime`"):
        policy(f"decision := x if {{\n\tx := {call}\n}}")


@pytest.mark.parametrize(
    "body",
    [
        'decision if "http.send(1)" != input.x',
        "decision if `opa.runtime()` != input.x",
        "# decision if http.send(1)\ndecision := true",
        "decision := true # print(input)",
        'decision := true if {\n\t"a\\"b" != "http.send(\\"x\\")"\n}',
    ],
)
def test_text_and_comments_call_nothing(policy, ask, body):
    assert ask(policy(body), {"x": 1}).effect == "permit"


def test_an_import_under_a_dangerous_name_hides_nothing(policy):
    with pytest.raises(PolicyLoadError, match=r"`opa\.runtime`"):
        policy(
            "import data.lib as opa\n\ndecision := true if opa.runtime(1)",
            files={"lib.rego": "package lib\n\nruntime(x) := x"},
        )


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("decision if missing(1)", "missing"),
        ("decision if data.lib.missing(1)", "data.lib.missing"),
        ("import data.lib\n\ndecision if lib.missing(1)", "lib.missing"),
        ("import data.lib as l\n\ndecision if l.missing(1)", "l.missing"),
        ("import data.lib.f\n\ndecision if f.missing(1)", "f.missing"),
        ("decision if input.f(1)", "input.f"),
        ("decision if decision2(1)\n\ndecision2 := 1", "decision2"),
        ("decision if not startwith(input.x, input.y)", "startwith"),
        ("decision if http.post(1)", "http.post"),
    ],
)
def test_a_function_that_nothing_defines_is_refused(policy, body, name):
    with pytest.raises(PolicyLoadError, match=f"calls `{name}`"):
        policy(body, files={"lib.rego": "package lib\n\nf(x) := x"})


@pytest.mark.parametrize(
    "body",
    [
        "decision if f(1)\n\nf(x) := x",
        "decision if data.checkrein.pre_prompt.f(1)\n\nf(x) := x",
        "decision if data.lib.f(1)",
        "import data.lib\n\ndecision if lib.f(1)",
        "import data.lib as l\n\ndecision if l.f(1)",
        'import data["lib"] as l\n\ndecision if l["f"](1)',
        "decision if g(1)",
        "decision if substring(1)\n\nsubstring(x) := x",
    ],
)
def test_functions_of_the_bundle_are_found(policy, ask, body):
    files = {
        "lib.rego": "package lib\n\nf(x) := x",
        "more/policy.rego": "package checkrein.pre_prompt\n\ng(x) := x",
    }
    assert ask(policy(body, files=files)).effect == "permit"


@pytest.mark.parametrize(
    "body",
    [
        "decision if not denied",
        "decision if not denied == true",
        "decision if not input.x == denied",
        "decision if { x := 1; not y > x }",
        "decision if count([1 | denied]) == 0",
        "decision if count({x | some x in denied}) == 0",
        "decision if { every x in denied { x == 1 } }",
        'decision := {"allow": count(denyed) == 0}\n\ndeny contains 1',
        "default decision := true\n\ndecision := false if denied == 1",
        "decision if not helper(denied)\n\nhelper(x) if x",
        "decision if not 1 in denied",
    ],
)
def test_a_name_that_nothing_defines_is_refused(policy, body):
    # OPA refuses them too; an engine that takes them for undefined lets a typing error permit.
    with pytest.raises(PolicyLoadError, match=r"`bundle/policy\.rego:\d+`"):
        policy(body)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("decision if {\n\tinput.x ==\n}", None),
        ("decision if input.x == = 1", 3),
        ("decision := {", 3),
        ("decision if {\n\ttrue", 3),
        ("decision := 1 := 2", 3),
        ('decision := "x', 3),
        ("decision := `x", 3),
        ("decision if input.x\n)", 4),
        ("decision := [1, 2)", 3),
        ("decision := 'x'", 3),
        ("decision if { decision }", 3),
        ("default decision := true\n\ndefault decision := false", None),
        ("decision { input.x }", 3),
        ("decision = true { input.x }", 3),
        ("deny[x] { x := 1 }\n\ndecision := true", 3),
        ("decision := 1 if { true } else { false }", 3),
    ],
)
def test_what_does_not_compile_is_refused_with_its_place(policy, body, line):
    with pytest.raises(PolicyLoadError) as caught:
        policy(body)
    message = str(caught.value)
    assert "bundle" in message
    if line:
        assert f"bundle/policy.rego:{line}`" in message


def test_a_recursion_is_refused(policy):
    with pytest.raises(PolicyLoadError, match=r"`bundle/policy\.rego:\d+`"):
        policy("decision if a\n\na if b\n\nb if a")


def test_regopy_is_never_given_with(policy, backend, ask):
    body = "decision if allowed with input as {}\n\nallowed if not input.x"
    if backend == "regorus":
        assert ask(policy(body), {"x": 1}).effect == "permit"
        return
    with pytest.raises(PolicyLoadError, match=r"`bundle/policy\.rego:3`: rule `decision` has a `with`"):
        policy(body)


@pytest.mark.parametrize(
    ("body", "construct"),
    [
        ('decision if { some i; startswith(input.xs[i], "a") }', "an index variable"),
        ("decision if { some i, j; input.xs[i] == input.ys[j] }", "an index variable"),
        ("decision if input.xs[i] in input.ys", "an index variable"),
        ("decision if { x = input.x; x == 1 }", "a unification"),
        ("decision if 1 = input.x", "a unification"),
        ("decision if { [x, _] := input.xs; x == 1 }", "a pattern"),
        ('decision if { {"a": a} := input.x; a == 1 }', "a pattern"),
        ("decision if { some [x, _] in input.xs; x == 1 }", "a pattern"),
        ("decision := [x | [x, _] := input.xs[0]]", "a pattern"),
    ],
)
def test_what_regopy_leaves_undefined_is_refused_there_alone(policy, backend, body, construct):
    if backend == "regorus":
        policy(body)
        return
    with pytest.raises(PolicyLoadError, match=rf"`bundle/policy\.rego:3`: rule `decision` has {construct}"):
        policy(body)


@pytest.mark.parametrize(
    ("body", "document"),
    [
        ("decision if input.xs[_] == 2", {"xs": [1, 2]}),
        ("decision if { some i in [0, 1]; input.xs[i] == 2 }", {"xs": [1, 2]}),
        ("decision if { i := 1; input.xs[i] == 2 }", {"xs": [1, 2]}),
        ("decision if input.xs[one] == 2\n\none := 1", {"xs": [1, 2]}),
        ("decision if f(1)\n\nf(i) if input.xs[i] == 2", {"xs": [1, 2]}),
        ("decision if { every i, x in input.xs { input.xs[i] == x } }", {"xs": [1, 2]}),
        ("decision = true if input.x == 1", {"x": 1}),
        ("default decision = false\n\ndecision = true if input.x == 1", {"x": 1}),
        ("decision := true if { input.x == 2 } else = true if { input.x == 1 }", {"x": 1}),
        ("decision if f([1, [2, 3]]) == 6\n\nf([a, [b, c]]) := (a + b) + c", {}),
        ('decision if answers["a"]\n\nanswers[x] := true if some x in input.xs', {"xs": ["a"]}),
    ],
)
def test_what_looks_like_it_and_is_not_is_evaluated(policy, ask, body, document):
    assert ask(policy(body), document).effect == "permit"


@pytest.mark.parametrize(
    "data",
    [
        '{"checkrein": {"pre_prompt": {"decision": true}}}',
        '{"checkrein": {"pre_prompt": {"decision": {"allow": true}}}}',
        '{"checkrein": {"pre_prompt": true}}',
        '{"checkrein": []}',
    ],
)
def test_data_in_the_place_of_a_rule_is_refused(policy, data):
    with pytest.raises(PolicyLoadError, match=r"`data\.checkrein\.pre_prompt\.decision` is a rule"):
        policy("decision := false", files={"data.json": data})


def test_data_from_an_extra_file_in_the_place_of_a_rule_is_refused(policy, tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("checkrein: {pre_prompt: {decision: true}}")
    with pytest.raises(PolicyLoadError, match="is a rule"):
        policy("decision := false", data=[str(extra)])


def test_a_backend_that_is_not_installed_is_named_with_its_extra(policy, backend, monkeypatch):
    monkeypatch.setitem(sys.modules, backend, None)
    monkeypatch.delitem(sys.modules, f"checkrein_rego.{backend}_backend", raising=False)
    monkeypatch.delitem(sys.modules, "checkrein_rego.regopy_values", raising=False)
    extra = "regorus" if backend == "regorus" else "rego"
    with pytest.raises(
        SettingsError, match=rf"`{backend}` is not installed; run: pip install 'checkrein\[{extra}\]'"
    ):
        policy("decision := true")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backend": "opa"},
        {"bundel": "."},
        {"bundle": "nowhere"},
        {"bundle": ".", "entrypoints": {"pre_prompt": "checkrein.pre_prompt.decision"}},
        {"bundle": ".", "entrypoints": {"pre_prompt": "data.decision"}},
        {"bundle": ".", "entrypoints": {"pre_prompt": "data.a.b; true"}},
        {"bundle": ".", "entrypoints": {"prompt": "data.a.b"}},
        {"bundle": ".", "data": "data.json"},
    ],
)
def test_options_that_are_not_right_are_refused(options):
    with pytest.raises(ValueError, match="validation error"):
        RegoEngine.Options.model_validate(options)
