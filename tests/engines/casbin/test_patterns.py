"""Patterns: what they take, what they refuse, and that no value makes them slow."""

import fnmatch

import pytest
from casbin.util import key_match2
from hypothesis import given
from hypothesis import strategies as st

from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError
from checkrein.vocabulary import Effect
from checkrein_casbin.patterns import PATTERNS, REFUSED


@pytest.mark.parametrize(
    ("function", "pattern", "taken", "left"),
    [
        (
            "keyMatch",
            "model:gpt-*",
            ["model:gpt-4o", "model:gpt-"],
            ["model:gpt", "model:o1", "tool:gpt-4o", ""],
        ),
        ("keyMatch", "*", ["", "anything/at/all"], []),
        ("keyMatch", "model:gpt-4o", ["model:gpt-4o"], ["model:gpt-4o-mini", "model:gpt-4"]),
        (
            "keyMatch3",
            "tool:fs/{name}/read",
            ["tool:fs/a/read", "tool:fs/a.b/read"],
            ["tool:fs//read", "tool:fs/a/b/read"],
        ),
        ("keyMatch3", "/a/*", ["/a/", "/a/b/c"], ["/a", "/b/c"]),
        ("keyMatch3", "/{x}-{y}", ["/a-b", "/a-b-c"], ["/-b", "/a-"]),
        ("keyMatch3", "model:gpt-3.5", ["model:gpt-3.5"], ["model:gpt-305"]),
        ("globMatch", "model:*-mini", ["model:gpt-4o-mini", "model:-mini"], ["model:mini", "model:a/b-mini"]),
        ("globMatch", "/a/**/z", ["/a/b/z", "/a/b/c/z", "/a//z"], ["/a/z", "/a/b"]),
        ("globMatch", "gpt-[45]?", ["gpt-4o", "gpt-51"], ["gpt-3o", "gpt-4", "gpt-4/"]),
        ("globMatch", "[!a-c]x", ["dx"], ["ax", "/x", "x"]),
        ("globMatch", "[-+]", ["-", "+"], ["a"]),
        ("globMatch", "**", ["", "a/b"], []),
        ("globMatch", "*", ["", "ab"], ["a/b"]),
        ("globMatch", "***a*", ["x/a", "ab"], ["x/b"]),
        ("globMatch", "", [""], ["a"]),
        ("globMatch", "a\nb*", ["a\nb\nc"], ["ab"]),
    ],
)
def test_a_pattern_takes_these_and_leaves_those(function, pattern, taken, left):
    matches = PATTERNS[function](pattern)
    assert [value for value in (*taken, *left) if matches(value)] == taken


@given(
    pattern=st.text("ab*?[]!-", max_size=12).filter(lambda one: "[" not in one and "]" not in one),
    value=st.text("ab!-", max_size=16),
)
def test_within_a_segment_a_glob_is_a_shell_pattern(pattern, value):
    assert PATTERNS["globMatch"](pattern)(value) is fnmatch.fnmatchcase(value, pattern)


@pytest.mark.parametrize("function", sorted(PATTERNS))
@pytest.mark.parametrize(
    "value",
    ["a/../secret", "..", "a/..", "../a", "./a", "a/./b", "tool:../x", "tool:..", "a\\..\\b", "model:a/.."],
)
def test_a_path_that_is_another_path_is_rejected(function, value):
    with pytest.raises(EngineFailure) as failure:
        PATTERNS[function]("a/*" if function != "globMatch" else "a/**")(value)
    assert failure.value.cause is FailureCause.REQUEST_REJECTED


@pytest.mark.parametrize("value", ["gpt-3.5", "a..b", "...", "a/.hidden", "v1.", ".env"])
def test_a_dot_in_a_name_is_a_dot(value):
    assert PATTERNS["globMatch"]("**")(value)


def test_a_row_that_denies_below_a_path_cannot_be_walked_around(load, asked, matching):
    model = matching("r.act == p.act && keyMatch(r.obj, p.obj)", columns="obj, act, eft")
    engine = load(model, "p, model:*, invoke, allow\np, model:a/secret/*, invoke, deny\n")
    assert engine.evaluate(asked(resource="a/open/x")).effect is Effect.PERMIT
    assert engine.evaluate(asked(resource="a/secret/x")).effect is Effect.DENY
    with pytest.raises(EngineFailure):
        engine.evaluate(asked(resource="a/open/../secret/x"))


@pytest.mark.parametrize(
    ("function", "pattern"),
    [
        ("keyMatch", "a*b"),
        ("keyMatch", "**"),
        ("keyMatch3", "a*"),
        ("keyMatch3", "*"),
        ("keyMatch3", "/{}"),
        ("keyMatch3", "/{a/b}"),
        ("keyMatch3", "/a}"),
        ("globMatch", "{a,b}"),
        ("globMatch", "a\\*"),
        ("globMatch", "a]"),
        ("globMatch", "[a"),
        ("globMatch", "[]"),
        ("globMatch", "[!]"),
        ("globMatch", "[z-a]"),
        ("globMatch", "[a/b]"),
        ("globMatch", "[\x00-\uffff]"),
        ("globMatch", "a" * 1025),
    ],
)
def test_a_pattern_that_would_not_mean_what_it_says_does_not_load(load, matching, function, pattern):
    with pytest.raises(ValueError, match=function if len(pattern) < 1025 else "characters"):
        PATTERNS[function](pattern)
    if "\x00" not in pattern and "{a,b}" not in pattern and "[" not in pattern and "]" not in pattern:
        model = matching(f"{function}(r.obj, p.obj) && r.act == p.act", columns="obj, act, eft")
        with pytest.raises(PolicyLoadError, match=r"`policy.csv`, line 1: `obj`: "):
            load(model, f"p, {pattern}, invoke, allow\n")


def test_what_a_pattern_costs_grows_with_the_value_and_no_faster():
    """Counts the characters that are looked at: a backtracking matcher looks at them again and again."""

    class Counted(str):
        __slots__ = ("read",)

        def __iter__(self):
            self.read = 0
            for char in super().__iter__():
                self.read += 1
                yield char

    value = Counted("a" * 5000)
    assert not PATTERNS["globMatch"]("*a*a*a*a*a*a*a*a*a*a*a*a*b")(value)
    assert value.read == 5000


def test_the_library_s_own_would_have_matched_every_model():
    # `:gpt-4o` is a wildcard to `keyMatch2`, and our ids have a type and a colon.
    assert key_match2("model:anything", "model:gpt-4o")
    assert "keyMatch2" in REFUSED


def test_networks_are_matched_by_the_address(load, asked, matching):
    model = matching("ipMatch(r.ctx.environment.ip, p.net) && r.act == p.act", columns="net, act, eft")
    engine = load(model, "p, 10.0.0.0/8, invoke, allow\n")

    def effect(address):
        return engine.evaluate(asked(context={"environment": {"ip": address}})).effect

    assert effect("10.9.8.7") is Effect.PERMIT
    assert effect("11.0.0.1") is Effect.NOT_APPLICABLE
    assert effect("::1") is Effect.NOT_APPLICABLE
    with pytest.raises(EngineFailure, match="no address"):
        effect("10.0.0.0/8")
    with pytest.raises(PolicyLoadError, match="line 1: `net`"):
        load(model, "p, 10.0.0.0/64, invoke, allow\n")
