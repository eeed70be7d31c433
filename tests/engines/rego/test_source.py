"""What is read from Rego source: calls, names and rules; text that looks like them is none."""

import json
from pathlib import Path

import pytest
import regorus

import checkrein_policies
from checkrein_rego.source import read_module
from checkrein_rego.tokens import SourceError, tokenize


def read(body):
    return read_module("p.rego", f"package a.b\n\n{body}\n")


def calls(body):
    return {".".join(call.parts) for call in read(body).calls}


def names(body):
    return {use.parts[0] for use in read(body).names}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("p if count(input.x) > 0", {"count"}),
        ("p := http.send({})", {"http.send"}),
        ("p if not net.cidr_contains(input.a, input.b)", {"net.cidr_contains"}),
        ("p if { some x in input.xs; startswith(x, lower(input.y)) }", {"startswith", "lower"}),
        ("p contains upper(x) if some x in input.xs", {"upper"}),
        ("p[lower(x)] := 1 if some x in input.xs", {"lower"}),
        ("p := {f(x) | some x in input.xs}", {"f"}),
        ("p := [1 | every x in input.xs { g(x) }]", {"g"}),
        ("default p := abs(1)", {"abs"}),
        ("p := 1 if { true } else := sum(input.x) if { max(input.x) > 1 }", {"sum", "max"}),
        ("f(x) := h(x)", {"h"}),
        ("f(x) := 1 if lower(x) == x", {"lower"}),
        ("a.b(x) := c(x)", {"c"}),
        ("p if data.lib.f(1)", {"data.lib.f"}),
        ('p if data.lib["f"](1)', {"data.lib.f"}),
        ('p := opa["runtime"]()', {"opa.runtime"}),
        (r'p := opa["\u0072untime"]()', {"opa.runtime"}),
        ("p := opa[`runtime`]()", {"opa.runtime"}),
        ("p := opa . runtime ( )", {"opa.runtime"}),
        ("p := opa.\n\truntime()", {"opa.runtime"}),
        ("p := opa # a comment\n\t.runtime()", {"opa.runtime"}),
        ("p := count\n([1])", {"count"}),
        ("p if input.x with input as object.get(input, 1, 2)", {"object.get"}),
        ('p := "http.send(1)"', set()),
        (r'p := "a\"http.send(1)"', set()),
        (r'p := "a\\" if f("x")', {"f"}),
        ('p := `a " http.send(1) \\`', set()),
        ("p := `a\n# b` if http.send(1)", {"http.send"}),
        ("p := 1 # http.send(1)", set()),
        ('p := "# no comment" if http.send(1)', {"http.send"}),
        ("p := 1 # it's \" one\nq := f(1)", {"f"}),
        ("p := set()", {"set"}),
        ("p if contains(input.x, input.y)", {"contains"}),
        ("p if (input.x)", set()),
        ("p if not (input.x)", set()),
        ("p := 1 if input.x in {1}", set()),
        ("p.q := 1 if input.y", set()),
        ("p := input.not\nq := http.send({})", {"http.send"}),
    ],
)
def test_calls_are_found_in_code_alone(body, expected):
    assert calls(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("p if not blocked == true", {"blocked"}),
        ("p if { x := 1; x > y }", {"y"}),
        ("p if count(blocked) > 0", {"blocked"}),
        ("p := {kind: 1}", {"kind"}),
        ("p if input[kind].x", set()),
        ("p if input.xs[i] == 1", set()),
        ("p if f(input)[i] == 1", set()),
        ("p if data.xs[i][j].y == 1", set()),
        ("p := [x | some x in xs]", {"xs"}),
        ("p if { some k, v in input.x; k == v }", set()),
        ("p if { some i; input.x[i] == 1 }", set()),
        ("p if { every k, v in input.x { k == v } }", set()),
        ("p if { [a, b] := input.x; a == b }", set()),
        ('p if { {"a": a} = input.x; a == 1 }', set()),
        ("p if { x = input.y; x == 1 }", set()),
        ("p if { walk(input, [path, value]); value == path[0] }", set()),
        ("f(x, [y, _]) := x + y", set()),
        ("p := z if z := 1", set()),
        ("p[k] := v if some k, v in input.x", set()),
        ("p contains x if some x in input.xs", set()),
        ('p if "blocked" in input.x', set()),
        ("p if input.blocked", set()),
        ("p if true\np := false if 1 in [missing]", {"missing"}),
    ],
)
def test_names_that_a_rule_does_not_declare_are_found(body, expected):
    assert names(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("p := 1\nq if p", [(("p",), 3, False), (("q",), 4, False)]),
        ("default p := false", [(("p",), 3, False)]),
        ("p if {\n\tq\n}\n\nq := 1", [(("p",), 3, False), (("q",), 7, False)]),
        ("p if\n\tinput.x\nq := 1", [(("p",), 3, False), (("q",), 5, False)]),
        ("p := input.x +\n\tinput.y", [(("p",), 3, False)]),
        ("p := 1 if true\nelse := 2 if false", [(("p",), 3, False)]),
        ("f(x) := x", [(("f",), 3, True)]),
        ("a.b.c := 1", [(("a", "b", "c"), 3, False)]),
        ('a["b"].c := 1', [(("a", "b", "c"), 3, False)]),
        ("deny contains x if x := 1", [(("deny",), 3, False)]),
        ("p := {\n\t`a\n}`: 1,\n}\nq := 1", [(("p",), 3, False), (("q",), 7, False)]),
        ("import data.x\np := x", [(("p",), 4, False)]),
        (
            "p := input.if\nq := input.in\nr := 1",
            [(("p",), 3, False), (("q",), 4, False), (("r",), 5, False)],
        ),
    ],
)
def test_rules_are_found_with_their_lines(body, expected):
    assert [tuple(rule[:3]) for rule in read(body).rules] == expected


def test_imports_are_found_by_the_name_that_they_give():
    module = read(
        'import data.a.b\nimport data.c as d\nimport data["e"].f\nimport rego.v1\nimport input.x as y\np := 1'
    )
    assert module.imports == {
        "b": ("data", "a", "b"),
        "d": ("data", "c"),
        "f": ("data", "e", "f"),
        "y": ("input", "x"),
    }


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("", 1, "must begin with `package`"),
        ("# nothing\n", 1, "must begin with `package`"),
        ("p := 1", 1, "must begin with `package`"),
        ("package", 1, "names no package"),
        ('package a\n\np := "x\n', 3, "not closed"),
        ("package a\np := `x", 2, "not closed"),
        ('package a\np := "\\x41"', 2, "escape"),
        ('package a\np := "\\ud800"', 2, "escape"),
        ("package a\np := 1\nq := 2 # \x00", 3, "U+0000"),
        ("package a\n# hidden\rp := 1", 2, "U+000D"),
        ("package a\np := 1\x0c", 2, "U+000C"),
        ("package a\n# hidden\u2028p := 1", 2, "U+2028"),
        ('package a\np := $"{http.send(1)}"', 2, "template"),
    ],
)
def test_what_is_no_source_is_refused_with_its_line(source, line, problem):
    with pytest.raises(SourceError) as caught:
        read_module("p.rego", source)
    assert caught.value.line == line
    assert problem in caught.value.problem


def test_no_text_is_lost_between_tokens():
    source = 'package a\r\n\np := [1, -2.5e3, "x", `y`] # z\n'
    assert "".join(token.text for token in tokenize(source)) == 'packageap:=[1,-2.5e3,"x",`y`]'


def called(tree):
    """Every call in regorus's syntax tree, by name."""
    if isinstance(tree, list):
        for item in tree:
            yield from called(item)
    elif isinstance(tree, dict):
        if "Call" in tree:
            yield ".".join(reversed(list(parts(tree["Call"]["fcn"]))))
        for item in tree.values():
            yield from called(item)


def parts(tree):
    ((kind, node),) = tree.items()
    if kind == "Var":
        yield node["value"]
    else:
        yield node["field"][1] if kind == "RefDot" else node["index"]["String"]["value"]
        yield from parts(node["refr"])


SOURCES = sorted(Path(checkrein_policies.__file__).parent.rglob("*.rego"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_call_that_a_parser_sees_is_found(path):
    source = path.read_text()
    engine = regorus.Engine()
    engine.add_policy(path.name, source)
    seen = set(called(json.loads(engine.get_ast_as_json())))
    assert seen <= {".".join(call.parts) for call in read_module(path.name, source).calls}
