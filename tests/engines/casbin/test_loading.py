"""A model and its rows: what Casbin would read otherwise, drop or never match does not load."""

import logging
import os
import sys
from importlib import metadata

import casbin
import pytest
from casbin.core_enforcer import CoreEnforcer

from checkrein.building import build_engine
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError, SettingsError
from checkrein.vocabulary import Effect
from checkrein_casbin import CasbinEngine
from checkrein_casbin import engine as engine_module
from checkrein_casbin import rows as rows_module
from checkrein_casbin.definition import read_definition

MODEL = """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("r = sub, obj, act", "r = user, obj, act", "line 2: the request has no `user`"),
        ("r = sub, obj, act", "r = id, obj, act", "line 2: the request has no `id`"),
        ("r = sub, obj, act", "r = sub, obj, act, ob", "line 2: the request has no `ob`"),
        ("r = sub, obj, act", "r = sub, sub, act", "line 2: `sub` of `r` is no name, or stands there twice"),
        ("r = sub, obj, act", "r = sub,, act", "line 2: `` of `r` is no name"),
        ("p = sub, obj, act, eft", "p = sub, obj, act, e ft", "line 4: `e ft` of `p` is no name"),
        ("[matchers]", "[matcher]", r"line 9: `\[matcher\]` is no section"),
        ("[matchers]", "", "line 10: `m` is no definition of its section"),
        ("m = g", "m3 = g", "there is no `m`"),
        ("m = g", "g = g", "line 10: `g` is no definition of its section"),
        ("m = g", "m = True\nm3 = g", "line 11: `m3` is never asked"),
        ("m = g", "m = True\nm = g", "line 11: `m` is defined a second time; line 10 was first"),
        ("m = g", "m = True\nm2 = g", "there is no `r2`"),
        ("e = some", "e = any", "line 8: `any.* is no effect"),
        (
            "e = some(where (p.eft == allow)) && !some(where (p.eft == deny))",
            "e =",
            "line 8: `e` is no definition",
        ),
        ("g = _, _", "g = _", "line 6: `g` must be `_, _`"),
        ("g = _, _", "g = _, _, _, _", "line 6: `g` must be `_, _`"),
        ("g = _, _", "g = _, _, (_, _)", "line 6: `g` must be `_, _`"),
        ("g = _, _", "# g = _, _", "line 10: there is no function `g`"),
        ("m = g(r.sub", "m = g(r.nope", "line 10: `g"),
    ],
)
def test_a_model_that_casbin_would_read_otherwise_does_not_load(load, old, new, problem):
    assert old in MODEL
    with pytest.raises(PolicyLoadError, match=f"`model.conf`(, |: ){problem}"):
        load(MODEL.replace(old, new), "")


def test_a_denylist_needs_a_column_that_can_deny(load):
    model = MODEL.replace("act, eft", "act").replace("some(where (p.eft == allow)) && ", "")
    with pytest.raises(PolicyLoadError, match="no row can deny"):
        load(model, "")


def test_priority_by_subject_needs_roles(load):
    model = MODEL.replace(
        "some(where (p.eft == allow)) && !some(where (p.eft == deny))", "subjectPriority(p.eft) || deny"
    )
    with pytest.raises(PolicyLoadError, match="needs a role definition"):
        load(
            model.replace("[role_definition]\ng = _, _\n", "").replace("g(r.sub, p.sub)", "r.sub == p.sub"),
            "",
        )


@pytest.mark.parametrize("columns", ["act, sub, obj, eft", "obj, sub, act, eft"])
def test_priority_by_subject_needs_the_subject_first(load, columns):
    effect = "some(where (p.eft == allow)) && !some(where (p.eft == deny))"
    model = MODEL.replace(effect, "subjectPriority(p.eft) || deny").replace(
        "p = sub, obj, act, eft", f"p = {columns}"
    )
    with pytest.raises(PolicyLoadError, match="`sub` as the first column"):
        load(model, "")


def test_a_member_without_a_type_is_warned_of(load, caplog):
    load(MODEL, "g, alice, staff\ng, staff, people\ng, user:bob, staff\n")
    (record,) = caplog.records
    assert record.getMessage().startswith("`casbin`: `policy.csv`, line 1: `alice` has no type")


def test_a_file_that_is_being_written_does_not_load(options, tmp_path, monkeypatch):
    made = options(MODEL, "g, user:alice, staff\n")
    path = tmp_path / "policy.csv"
    honest = os.fstat

    def stat(number):
        found = honest(number)
        with path.open("a") as file:
            file.write("p, staff, x, invoke, deny\n")
        return found

    monkeypatch.setattr(rows_module.os, "fstat", stat)
    with pytest.raises(PolicyLoadError, match="changed while it was read"):
        CasbinEngine.from_options(made)


def test_an_obligation_section_needs_its_obligation(load):
    model = MODEL.replace("[policy_def", "r2 = sub, act\n[policy_def").replace(
        "[role", "p2 = sub, act\n[role"
    )
    model = (
        model.replace("[matchers]", "e2 = some(where (p.eft == allow))\n[matchers]")
        + "m2 = r2.sub == p2.sub\n"
    )
    with pytest.raises(PolicyLoadError, match="must both have `ob`"):
        load(model, "")


def test_a_model_may_go_on_over_lines_and_hold_comments(load, asked):
    model = MODEL.replace(" && r.obj == p.obj", " \\\n  && r.obj == p.obj \\\n").replace(
        "[matchers]", "; x\n# y\n[matchers]"
    )
    engine = load(model, "g, user:alice, staff\np, staff, model:gpt-4o, invoke, allow\n")
    assert engine.evaluate(asked()).effect is Effect.PERMIT


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("P, staff, x, invoke, deny", "a row of type `P` is none of the model's"),
        ("p2, staff, x, invoke, deny", "a row of type `p2` is none of the model's"),
        ("g2, model:x, group", "a row of type `g2` is none of the model's"),
        ("deny, staff, x, invoke", "a row of type `d` is none of the model's"),
        ("\ufeffp, staff, x, invoke, deny", "a row of type `\ufeff` is none of the model's"),
        ("p staff, x, invoke, deny", "a row of type `p staff` is none of the model's"),
        (", staff, x, invoke, deny", "the type is missing"),
        ("p, staff, x, invoke", "has `3` values; the columns are sub, obj, act, eft"),
        ("p, staff, x, invoke, deny, more", "has `5` values"),
        ("p, staff, x, y, invoke, deny", "has `5` values"),
        ("p, staff, x, invoke, Deny", "`eft` is `Deny`; it is `allow` or `deny`"),
        ("p, staff, x, invoke,", "`eft` is ``"),
        ("p, staff, x, invoke, deny # why", "a comment must stand on a line of its own"),
        ('p, staff, "x", invoke, deny', "quotation mark"),
        ("p, staff, x), invoke, deny", "a bracket closes none"),
        ("p, staff, (x, invoke, deny", "has `2` values"),
        ("p, *, x, invoke, deny", r"`\*` matches nothing by itself; write `p.sub == "),
        ("p, staff, *, invoke, deny", r"`\*` matches nothing by itself; write `p.obj == "),
        ("g, *, staff", r"`\*` matches nothing by itself in a role graph"),
        ("g, user:x, *", r"`\*` matches nothing by itself in a role graph"),
        ("g, user:x", "has `1` values"),
        ("g, user:x, staff, acme", "has `3` values"),
        ("g, user:x,", "or an empty one"),
    ],
)
def test_a_row_that_casbin_would_drop_or_never_match_does_not_load(load, row, problem):
    with pytest.raises(PolicyLoadError, match=f"^`policy.csv`, line 3: .*{problem}"):
        load(MODEL, f"# who may what\ng, user:alice, staff\n{row}\n")


def test_the_library_drops_the_row_that_denies():
    """Why rows are read strictly: with one letter wrong the library permits."""
    rows = "g, user:alice, staff\np, staff, x, invoke, allow\nP, staff, x, invoke, deny\n"
    theirs = casbin.Enforcer(
        casbin.Enforcer.new_model(text=MODEL), casbin.persist.adapters.string_adapter.StringAdapter(rows)
    )
    assert theirs.enforce("user:alice", "x", "invoke")


def test_a_priority_that_is_no_number_does_not_load(load, matching):
    model = matching("r.act == p.act", columns="priority, act, eft", effect="priority(p.eft) || deny")
    with pytest.raises(PolicyLoadError, match="cannot be sorted by priority"):
        load(model, "p, 1, ask, allow\np, high, ask, deny\n")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"p, \xff"])
def test_files_that_are_no_text_do_not_load(options, tmp_path, content):
    made = options(MODEL, "")
    (tmp_path / "policy.csv").write_bytes(content)
    with pytest.raises(PolicyLoadError, match=r"`policy.csv` cannot be read as UTF-8"):
        CasbinEngine.from_options(made)
    (tmp_path / "model.conf").write_bytes(content)
    with pytest.raises(PolicyLoadError, match=r"`model.conf` cannot be read as UTF-8"):
        CasbinEngine.from_options(made)


class Broken:
    """Adapters that do what they should not."""

    def __init__(self, do):
        self.do = do

    def load_policy(self, model):
        self.do(model)


class TestAdapters:
    def test_what_one_raises_is_told_by_its_type_alone(self, listed):
        def fail(_):
            raise RuntimeError("mysql://root:secret@db")

        with pytest.raises(PolicyLoadError, match="the adapter `Broken` raised `RuntimeError`") as error:
            listed(MODEL, Broken(fail))
        assert "secret" not in str(error.value)

    def test_a_value_that_is_no_text_does_not_load(self, listed):
        with pytest.raises(PolicyLoadError, match="row 1 of `p`: a value is no text"):
            listed(
                MODEL, Broken(lambda model: model.model["p"]["p"].policy.append(["a", None, "b", "allow"]))
            )

    def test_a_row_of_an_unknown_type_does_not_load(self, listed):
        with pytest.raises(PolicyLoadError, match="type `p9` is none of the model's"):
            listed(MODEL, Broken(lambda model: casbin.persist.load_policy_line("p9, a, b, c, deny", model)))

    def test_a_part_of_a_policy_does_not_load(self, listed):
        adapter = Broken(lambda _: None)
        adapter.is_filtered = lambda: True
        with pytest.raises(PolicyLoadError, match="loads a part of the policy"):
            listed(MODEL, adapter)


def test_the_settings_name_file_line_and_row(tmp_path):
    (tmp_path / "model.conf").write_text(MODEL)
    (tmp_path / "policy.csv").write_text("p, *, x, invoke, allow\n")
    with pytest.raises(PolicyLoadError, match=r"`policy.csv`, line 1"):
        build_engine({"casbin": {"model": "model.conf", "policy": "policy.csv"}}, base=tmp_path)


@pytest.mark.parametrize(
    "named",
    [
        {"model": "model.conf"},
        {"model": "model.conf", "policy": "policy.csv", "adapter": {"factory": "a:b"}},
        {"model": "model.conf", "adapter": {}},
        {"model": "model.conf", "adapter": {"factory": "a:b", "sqlalchemy": {"url": "x"}}},
        {"model": "model.conf", "adapter": {"factory": "os.system('x')"}},
        {"model": "model.conf", "policy": "policy.csv", "watcher": {}},
        {"model": "model.conf", "policy": "policy.csv", "refresh": 0},
        {"model": "model.conf", "policy": "policy.csv", "domain": "subject..tenant"},
        {"model": "model.conf", "policy": "policy.csv", "functions": {"a b": "a:b"}},
        {"model": "model.conf", "policy": "policy.csv", "polcy": "x"},
        {"model": "missing.conf", "policy": "policy.csv"},
    ],
)
def test_options_are_strict(tmp_path, named):
    (tmp_path / "model.conf").write_text(MODEL)
    (tmp_path / "policy.csv").write_text("")
    with pytest.raises(SettingsError):
        build_engine({"casbin": named}, base=tmp_path)


def test_both_distributions_of_casbin_are_an_error(options, monkeypatch):
    made = options(MODEL, "")
    monkeypatch.setattr(
        engine_module, "version", lambda name: {"casbin": "1.43.0", "pycasbin": "2.8.0"}[name]
    )
    with pytest.raises(SettingsError, match="`casbin` and `pycasbin` are both installed"):
        CasbinEngine.from_options(made)
    assert metadata.version("pycasbin")


def test_loading_and_asking_leave_the_loggers_of_the_application_alone(load, asked, caplog):
    names = ("casbin", "casbin.enforcer", "casbin.policy", "casbin.role")
    loggers = [logging.getLogger(name) for name in names]
    before = [(one.disabled, one.level, list(one.handlers), one.propagate) for one in loggers]
    for one in loggers:
        one.disabled = False
    try:
        with caplog.at_level(logging.DEBUG):
            engine = load(MODEL, "g, user:alice, staff\np, staff, model:gpt-4o, invoke, allow\n")
            engine.evaluate(asked("a-name-that-nobody-logs", text="a-text-that-nobody-logs"))
        assert not any(one.disabled for one in loggers)
        # The library warns of every denied request with its values.
        assert "nobody-logs" not in caplog.text
    finally:
        for one, (disabled, *_) in zip(loggers, before, strict=True):
            one.disabled = disabled
    assert [(one.disabled, one.level, list(one.handlers), one.propagate) for one in loggers] == before


def test_a_library_that_contradicts_itself_is_an_invalid_answer(load, asked, monkeypatch):
    engine = load(MODEL, "g, user:alice, staff\np, staff, model:gpt-4o, invoke, allow\n")
    honest = CoreEnforcer.enforce_ex
    for nonsense in (
        lambda self, *given: [True, []],
        lambda self, *given: True,
        lambda self, *given: (1, honest(self, *given)[1]),
        lambda self, *given: (honest(self, *given)[0], ["another", "row"]),
        lambda self, *given: (not honest(self, *given)[0], []),
        lambda self, *given: None,
        lambda self, *given: (True, [], "more"),
    ):
        monkeypatch.setattr(CoreEnforcer, "enforce_ex", nonsense)
        for subject in ("alice", "bob"):
            with pytest.raises(EngineFailure) as failure:
                engine.evaluate(asked(subject))
            assert failure.value.cause is FailureCause.INVALID_ANSWER
    monkeypatch.setattr(CoreEnforcer, "enforce_ex", lambda self, *given: list(honest(self, *given)))
    assert engine.evaluate(asked()).effect is Effect.PERMIT


def test_the_definition_is_what_the_library_reads(load):
    ours = read_definition("model.conf", MODEL).model()
    theirs = casbin.Enforcer.new_model(text=MODEL)
    for section, key in (("r", "r"), ("p", "p"), ("g", "g"), ("e", "e")):
        assert ours[section][key].value == theirs[section][key].value
        assert ours[section][key].tokens == theirs[section][key].tokens
    assert "casbin" in sys.modules
