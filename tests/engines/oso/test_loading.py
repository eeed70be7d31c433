"""Policies that do not load say where; what Oso merely warns of does not load either."""

import os

import pytest

from checkrein import PolicyLoadError, SettingsError
from checkrein import engine as protocols
from checkrein.building import build_engine

PERMIT = "permit(_, _, _, _);\n"


@pytest.mark.parametrize(
    ("policy", "place", "said"),
    [
        (PERMIT + "permit(_, _, _, _) if\n 1 = ;", 3, "did not expect"),
        (PERMIT + "permit(s, _, _, _);", 2, "singleton variable s"),
        (PERMIT + "permit(_: Usr, _, _, _);", 2, "unknown specializer Usr"),
        (PERMIT + "permit(_: Datetime, _, _, _);", 2, "unknown specializer Datetime"),
        (PERMIT + "permit(_, _, _, _) if helper(1);", 2, "call to undefined rule"),
        (PERMIT + "permit(_, _, _);", 2, "invalid rule"),
        (PERMIT + 'deny(_, _, _, "no");', 2, "invalid rule"),
        (PERMIT + 'deny(_, _, _, _, "no", 6);', 2, "invalid rule"),
        (PERMIT + "obligation(_, _, _, _);", 2, "invalid rule"),
        ("allow(_, _, _, _);", 1, "invalid rule"),
        (PERMIT + "permit(s, _, _, _) if s.a = 1 and s.b = 2 or s.c = 3;", 2, "could be ambiguous"),
        (PERMIT + '"unclosed', 2, "not a valid character"),
        (PERMIT + "permit(_, _, type, _) if type = 1;", 2, "did not expect"),
        (PERMIT + '\n?= permit(1, 2, 3, 4);\n?= helper("b");\nhelper("a");', 4, "inline query does not hold"),
        (PERMIT + "?= new User().id = 1;", 2, "inline query ended in an error"),
        (PERMIT + '\n?= new User("a").tier = 1;', 3, "`tier` is absent here"),
        (PERMIT + "?= debug();", 2, "`Debug` is not possible"),
        (PERMIT + "\n\nresource Model {\n permissions = ['a'];\n}", 5, ""),
    ],
)
def test_a_bad_policy_names_file_and_line(engine_of, policy, place, said):
    with pytest.raises(PolicyLoadError) as error:
        engine_of({"sub/access.polar": policy})
    assert str(error.value).startswith(f"`sub/access.polar:{place}`: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "help.osohq.com" not in str(error.value)


@pytest.mark.parametrize("policy", ["", "# nothing\n", 'deny(_, _, _, _, "no");', "premit(_, _, _, _);"])
def test_policies_that_permit_nothing_do_not_load(engine_of, policy):
    with pytest.raises(PolicyLoadError, match="no rule `permit"):
        engine_of(policy)


def test_permissions_that_nothing_asks_for_do_not_load(engine_of):
    block = 'resource Model { permissions = ["use"]; roles = ["user"]; "use" if "user"; }'
    rule = 'has_role(_: User, "user", _: Model);'
    with pytest.raises(PolicyLoadError, match="has_permission"):
        engine_of(f"{PERMIT}{block}\n{rule}")


def test_words_of_a_comment_or_a_string_are_no_block(engine_of):
    engine_of(PERMIT + '# resource Model {}\nhelper("actor User {}");')


def test_a_folder_is_read_with_its_folders_and_without_what_is_hidden(engine_of, request_of):
    engine = engine_of(
        {
            "deep/er/permit.polar": PERMIT,
            "rules.polar": 'deny(_, _, _, _, "no");',
            "notes.txt": "permit(",
            ".hidden.polar": "permit(",
            ".git/x.polar": "permit(",
        }
    )
    assert engine.evaluate(request_of()).effect == "deny"


def test_one_file_can_be_named(tmp_path):
    (tmp_path / "access.polar").write_text(PERMIT)
    node = build_engine({"oso": {"policies": "access.polar"}}, base=tmp_path)
    (engine,) = node.engines
    assert engine.name == "oso"
    assert isinstance(engine, protocols.ExplainingEngine)
    assert isinstance(engine, protocols.TestableEngine)
    engine.close()


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "access.rego").write_text(PERMIT)
    with pytest.raises(PolicyLoadError, match=r"`access.rego` is no `.polar` file"):
        build_engine({"oso": {"policies": "access.rego"}}, base=tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "policies").mkdir()
    with pytest.raises(PolicyLoadError, match=r"holds no `.polar` file"):
        build_engine({"oso": {"policies": "policies"}}, base=tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "access.polar").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyLoadError, match="not UTF-8"):
        build_engine({"oso": {"policies": "access.polar"}}, base=tmp_path)


def test_a_file_that_is_too_large_is_refused(tmp_path):
    (tmp_path / "access.polar").write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    with pytest.raises(PolicyLoadError, match="over"):
        build_engine({"oso": {"policies": "access.polar"}}, base=tmp_path)


@pytest.mark.parametrize(
    "options", [{}, {"policies": "absent"}, {"policies": "policies", "timeout": 5}, {"policies": 5}]
)
def test_options_are_strict(tmp_path, options):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "access.polar").write_text(PERMIT)
    with pytest.raises(SettingsError):
        build_engine({"oso": options}, base=tmp_path)


def test_the_revision_follows_the_text_and_the_names(engine_of):
    first = engine_of({"a.polar": PERMIT}).revision
    assert len(first) == 16
    assert engine_of({"a.polar": PERMIT}).revision == first
    assert engine_of({"a.polar": PERMIT + "# more"}).revision != first


def test_inline_queries_are_reported_as_native_tests(engine_of):
    engine = engine_of(
        PERMIT
        + """
        deny(s: User, _, _, ctx, "pii") if s.tier = "free" and "email" in ctx.found_current;
        ?= ctx = new Context({found_current: ["email"]}) and
            deny(new User("a", {tier: "free"}), "x", new Model("m"), ctx, "pii");
        ?= not deny(new User("a", {tier: "pro"}), "x", new Model("m", {}), new Context({}), _);
        ?= permit(new Subject("service", "s"), "x", new Tool("t"), new Context({prompt: {text: "a"}}));
        ?= new Anonymous("anonymous") matches Actor and new Target("endpoint", "e").type = "endpoint";
        """
    )
    results = engine.run_native_tests()
    assert sorted(result.name for result in results) == [f"policy.polar:{line}" for line in (4, 6, 7, 8)]
    assert all(result.passed for result in results)


@pytest.mark.parametrize("value", ["1", "now", "trace"])
def test_tracing_does_not_load_because_it_prints_prompts(engine_of, monkeypatch, value):
    monkeypatch.setenv("POLAR_LOG", value)
    with pytest.raises(PolicyLoadError, match="`POLAR_LOG` is set"):
        engine_of(PERMIT)


@pytest.mark.parametrize("value", ["0", "", "-1", "soon", "1.5"])
def test_a_limit_that_is_none_does_not_load(engine_of, monkeypatch, value):
    monkeypatch.setenv("POLAR_TIMEOUT_MS", value)
    with pytest.raises(PolicyLoadError, match="`POLAR_TIMEOUT_MS`"):
        engine_of(PERMIT)


def test_a_limit_is_set_where_there_is_none_and_another_is_kept(engine_of, monkeypatch):
    monkeypatch.delenv("POLAR_TIMEOUT_MS", raising=False)
    engine_of(PERMIT)
    assert os.environ["POLAR_TIMEOUT_MS"] == "1000"
    monkeypatch.setenv("POLAR_TIMEOUT_MS", "250")
    engine_of(PERMIT)
    assert os.environ["POLAR_TIMEOUT_MS"] == "250"
