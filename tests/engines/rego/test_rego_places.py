"""Where the rule that was asked stands, and where the words of a reason are written."""

import gzip
import io
import tarfile

import pytest

from checkrein import engine as protocols
from checkrein.vocabulary import Stage

SHARED = """package team.shared

# "only a comment"
said := "not a code" if input.x == 1

words := {"small", `raw
words`}
"""
DECISION = """
default decision := false

# decision := "of a comment"
decision := {"allow": false, "reasons": reasons} if count(reasons) > 0

reasons contains {"code": "tier.unknown", "msg": "no tier"} if not input.tier

reasons contains {"code": code, "msg": sprintf("%s is taken", [input.name])} if {
	code := "name.taken"
	input.name in {"name.taken", "tier.unknown"}
}

reasons contains {"code": "caf\\u00e9", "msg": `two
lines`}

decision_of(x) := x
"""


@pytest.fixture
def engine(policy):
    return policy(DECISION, files={"shared/words.rego": SHARED})


def test_the_rule_that_a_verdict_names_is_located_where_it_is_first_defined(engine, ask):
    assert isinstance(engine, protocols.LocatingEngine)
    (named,) = ask(engine).policy_ids
    assert named == engine.entrypoint(Stage.PRE_PROMPT)
    assert engine.locate(named) == ("policy.rego", 4)


def test_a_rule_of_several_files_is_located_in_the_first_of_them(write, load, ask):
    files = {
        "b.rego": "package checkrein.pre_prompt\ndeny contains 1 if false",
        "a/x.rego": 'package checkrein.pre_prompt\n\n\ndeny contains "no" if true',
    }
    engine = load(write(**files), entrypoints={"pre_prompt": "data.checkrein.pre_prompt.deny"})
    assert engine.locate(*ask(engine).policy_ids) == ("a/x.rego", 4)
    assert engine.find_literal("no") == [("a/x.rego", 4)]


def test_what_is_no_rule_is_nowhere(engine):
    for name in (
        "data.checkrein.pre_prompt.decision_of",
        "data.checkrein.pre_prompt",
        "decision",
        "",
        "data",
    ):
        assert engine.locate(name) is None
    assert engine.locate("data.team.shared.said") == ("shared/words.rego", 4)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("no tier", [("policy.rego", 9)]),
        ("tier.unknown", [("policy.rego", 9), ("policy.rego", 13)]),
        ("name.taken", [("policy.rego", 12), ("policy.rego", 13)]),
        ("%s is taken", [("policy.rego", 11)]),
        ("not a code", [("shared/words.rego", 4)]),
        ("café", [("policy.rego", 16)]),
        ("two\nlines", [("policy.rego", 16)]),
        ("raw\nwords", [("shared/words.rego", 6)]),
        ("only a comment", ()),
        ("of a comment", ()),
        ("tier", ()),
        ("", ()),
    ],
    ids=str,
)
def test_the_words_of_a_reason_are_found_where_the_modules_write_them(engine, text, places):
    assert isinstance(engine, protocols.SearchableEngine)
    assert engine.find_literal(text) == places


def test_what_tests_write_leads_nowhere(policy):
    test = 'package checkrein.pre_prompt_test\n\ntest_x if "of a test" == "of a test"\n'
    engine = policy("decision := true", files={"policy_test.rego": test})
    assert engine.find_literal("of a test") == ()
    assert engine.locate("data.checkrein.pre_prompt_test.test_x") is None


def test_an_archive_is_located_by_the_names_inside_it(tmp_path, load, ask):
    content = b"package checkrein.pre_prompt\n\ndecision := true\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("/rules/one.rego")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    (tmp_path / "bundle.tar.gz").write_bytes(gzip.compress(packed.getvalue()))
    engine = load(tmp_path / "bundle.tar.gz")
    assert engine.locate(*ask(engine).policy_ids) == ("rules/one.rego", 3)


def test_a_closed_engine_still_tells_where_its_rules_stand(engine):
    engine.close()
    assert engine.locate("data.checkrein.pre_prompt.decision") == ("policy.rego", 4)
