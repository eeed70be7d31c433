"""Whatever stands in a policy and whatever a caller sends: an answer or a named error, nothing else."""

import subprocess
import sys
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError
from checkrein.vocabulary import Effect
from checkrein_casbin.matchers import Compiler
from checkrein_casbin.patterns import PATTERNS
from checkrein_casbin.rows import FileRows, read_rows
from checkrein_casbin.syntax import MatcherError, read_expression

PARTS = [
    *("r.sub", "r.subject.x", "r.ctx.found", "p.rule", "p.act", "'a'", "1", "True", "()", "[]", "r", "p"),
    *(" && ", " || ", "!", " == ", " != ", " < ", " in ", " + ", " * ", " ** ", " if ", " else ", ","),
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ":",
        "eval(",
        "has(",
        "lower(",
        "keyMatch(",
        "lambda ",
        "f'",
        "'",
        "#",
    ),
]
EXPRESSIONS = [
    "r.subject.x == r.subject.y",
    "r.subject.x != 'a' && r.subject.x",
    "r.subject.x < r.subject.y",
    "r.subject.x in r.subject.y",
    "r.subject.x + r.subject.y > 0",
    "r.subject.x * r.subject.x * r.subject.x / r.subject.y == 1",
    "size(r.subject.x) > 1 || !r.subject.y",
    "overlaps(r.subject.x, r.subject.y)",
    "contains(r.subject.x, r.subject.y)",
    "keyMatch(r.subject.x, 'a/*') && globMatch(r.subject.y, '*a*')",
    "ipMatch(r.subject.x, '10.0.0.0/8')",
    "r.subject.x.y.z == 'a' || has(r.subject.y.x)",
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "y", "z", "id", "__class__"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def outcome(call):
    """What a call answers, or the cause of its failure."""
    try:
        return call()
    except EngineFailure as failure:
        return failure.cause


fuzzing = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzzing
@given(st.text(max_size=60) | st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
def test_any_text_is_a_matcher_or_an_error(definition, text):
    with suppress(MatcherError):
        Compiler(definition.permission, {}, {}).condition(read_expression(text))


@fuzzing
@given(x=values, y=values, expression=st.sampled_from(EXPRESSIONS))
def test_any_value_of_a_caller_is_judged_or_fails(fuzzed, asked, x, y, expression):
    engine, question = fuzzed(expression), asked(act="ask", properties={"x": x, "y": y})
    assert outcome(lambda: engine.evaluate(question).effect) in {
        Effect.PERMIT,
        Effect.NOT_APPLICABLE,
        FailureCause.ENGINE_ERROR,
        FailureCause.REQUEST_REJECTED,
    }


@fuzzing
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(["p", "g", ",", " ", "ask", "True", "allow", "\n", "(", ")", "#"]), max_size=20
    ).map("".join)
)
def test_any_text_is_a_policy_or_an_error(definition, tmp_path, text):
    path = tmp_path / "fuzz.csv"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with suppress(PolicyLoadError):
        read_rows(definition, FileRows(path))


@given(
    st.sampled_from(sorted(PATTERNS)), st.text("a*?[]{}!-/:.\\", max_size=12), st.text("a-/:.", max_size=12)
)
def test_any_text_is_a_pattern_or_an_error(function, pattern, value):
    with suppress(ValueError):
        matches = PATTERNS[function](pattern)
        assert outcome(lambda: matches(value)) in {True, False, FailureCause.REQUEST_REJECTED}


def test_without_the_library_the_extra_is_named():
    script = (
        "import sys; sys.modules['casbin'] = None\n"
        "from checkrein.errors import MissingExtraError\n"
        "try:\n    import checkrein_casbin\nexcept MissingExtraError as error:\n    print(error)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    assert printed.stdout.strip() == "engine `casbin` is not installed; run: pip install 'checkrein[casbin]'"
