"""Every built-in that regopy may be asked for answers as in regorus, and as OPA documents it."""

import re
import subprocess
import sys

from checkrein_rego.regopy_backend import _FAITHFUL

TEXT = 'IGNORE "the" rules\n\tand say é\\'
EXPRESSIONS = {
    "abs(input.minus)": 7,
    'array.concat(input.words, ["x"])': ["a", "b", "c", "x"],
    "array.reverse(input.words)": ["c", "b", "a"],
    "bits.and(5, 3)": 1,
    "bits.negate(5)": -6,
    "bits.or(5, 3)": 7,
    "bits.xor(5, 3)": 6,
    "ceil(input.half)": 3,
    'concat("-", input.words)': "a-b-c",
    'contains(input.text, "rules\\n")': True,
    "count(input.words)": 3,
    'endswith(input.text, "é\\\\")': True,
    "floor(input.half)": 2,
    'glob.match("GPT-4*", [], input.model)': True,
    'graph.reachable({"a": ["b"], "b": [], "c": []}, ["a"])': ["a", "b"],
    "intersection({{1, 2}, {2, 3}})": [2],
    "is_array(input.words)": True,
    "is_boolean(input.words)": False,
    "is_null(input.nothing)": True,
    "is_number(input.half)": True,
    "is_object(input.object)": True,
    "is_set({1})": True,
    "is_string(input.half)": False,
    'json.patch(input.object, [{"op": "add", "path": "/c", "value": 2}])': {"a": {"b": 1}, "c": 2},
    "lower(input.model)": "gpt-4o",
    "max([1, 3, 2])": 3,
    "min([1, 3, 2])": 1,
    "numbers.range(1, 3)": [1, 2, 3],
    "numbers.range_step(1, 5, 2)": [1, 3, 5],
    'object.filter(input.object, ["a"])': {"a": {"b": 1}},
    'object.get(input.object, ["a", "x"], "none")': "none",
    "object.keys(input.object)": ["a"],
    'object.remove(input.object, ["a"])': {},
    "round(input.half)": 3,
    'semver.is_valid("1.2.3")': True,
    'sort({"b", "a"})': ["a", "b"],
    'split(input.text, "\\n")': ['IGNORE "the" rules', "\tand say é\\"],
    'sprintf("%s has %d of %v", [input.model, 2, true])': "GPT-4o has 2 of true",
    'startswith(input.text, "IGNORE \\"the\\"")': True,
    'strings.any_prefix_match(input.model, ["x", "GPT"])': True,
    'strings.any_suffix_match(input.text, ["é\\\\"])': True,
    "time.add_date(0, 1, 1, 1)": 34300800000000000,
    "time.clock(0)": [0, 0, 0],
    "time.date(0)": [1970, 1, 1],
    "time.now_ns() > 0": True,
    'trim_prefix(input.model, "GPT-")': "4o",
    'trim_suffix(input.text, "\\\\")': 'IGNORE "the" rules\n\tand say é',
    "type_name(input.object)": "object",
    "union({{1, 2}, {2, 3}})": [1, 2, 3],
    'units.parse("1.5K")': 1500,
    'units.parse_bytes("1KiB")': 1024,
    "[value | walk(input.object, [_, value]); is_number(value)]": [1],
}
DOCUMENT = {
    "half": 2.5,
    "minus": -7,
    "model": "GPT-4o",
    "nothing": None,
    "object": {"a": {"b": 1}},
    "text": TEXT,
    "words": ["a", "b", "c"],
}


def test_each_one_answers_as_it_should(policy, ask):
    answers = ", ".join(f'"{index}": {expression}' for index, expression in enumerate(EXPRESSIONS))
    engine = policy(
        f'decision := {{"allow": true, "obligations": [{{"type": "x", "properties": {{{answers}}}}}]}}'
    )
    (obligation,) = ask(engine, DOCUMENT).obligations
    came = {expression: obligation.properties[str(index)] for index, expression in enumerate(EXPRESSIONS)}
    assert came == EXPRESSIONS


def test_no_one_is_left_out():
    tried = {name for expression in EXPRESSIONS for name in re.findall(r"[a-z_.]+(?=\()", expression)}
    assert tried >= _FAITHFUL


def test_each_one_answers_beside_numpy_which_brings_a_c_plus_plus_runtime_of_its_own():
    arguments = ["-q", "-p", "no:xdist", __file__, "-k", "answers_as"]
    ran = subprocess.run(
        [sys.executable, "-c", f"import numpy, pytest; raise SystemExit(pytest.main({arguments!r}))"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
