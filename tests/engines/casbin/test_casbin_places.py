"""Where a row that a verdict names stands in its file, and which rows stand in none."""

import pytest
import sqlalchemy
import sqlalchemy_adapter

from checkrein.engine import LocatingEngine, SearchableEngine
from checkrein.vocabulary import Effect
from checkrein_casbin import CasbinEngine

POLICY = """# who may

g, user:alice, staff
p,staff ,  *, ask, allow,
  p, staff, *, sell, allow, sold
p, staff, *, sell, deny, not.today
"""


def test_every_row_that_a_verdict_names_is_located(load, asked):
    engine = load(policy=POLICY)
    assert isinstance(engine, LocatingEngine)
    assert not isinstance(engine, SearchableEngine)  # its ids are the rows: no reason leads further
    (permit,) = engine.evaluate(asked(act="ask")).policy_ids
    (deny,) = engine.evaluate(asked(act="sell")).policy_ids
    assert engine.locate(permit) == ("policy.csv", 4)
    assert engine.locate(deny) == ("policy.csv", 6)


def test_the_rows_of_obligations_are_located_beside_those_of_the_permit(load, rules, asked):
    rows = "p, ask, True, allow,\np2, ask, False, redact types=ssn\n\np2, ask, True, redact types=ssn\n"
    engine = load(rules, rows + "p2, ask, True, redact types=mail\n")
    named = engine.evaluate(asked(act="ask")).policy_ids
    assert [engine.locate(one) for one in named] == [("policy.csv", 1), ("policy.csv", 4), ("policy.csv", 5)]


def test_rows_keep_their_lines_when_priorities_sort_them(load, asked, matching):
    model = matching(
        "r.act == p.act && r.sub == p.sub",
        columns="priority, sub, act, eft, code",
        effect="priority(p.eft) || deny",
        graphs=["g = _, _"],
    )
    engine = load(model, "p, 2, user:alice, ask, deny, late\np, 1, user:alice, ask, allow, early\n")
    verdict = engine.evaluate(asked(act="ask"))
    assert verdict.effect is Effect.PERMIT
    assert engine.locate(*verdict.policy_ids) == ("policy.csv", 2)


def test_a_matcher_that_decides_alone_is_located_in_the_model(load, asked, matching):
    matcher = "r.subject.tier == 'pro'"
    model = matching(matcher, "note", "some(where (p.eft == allow))", graphs=["g = _, _"])
    engine = load(model, "")
    (named,) = engine.evaluate(asked(properties={"tier": "pro"})).policy_ids
    file, line = engine.locate(named)
    assert file == "model.conf"
    assert model.split("\n")[line - 1] == f"m = {matcher}"
    assert load(policy=POLICY).locate("m") is None


def test_rows_of_another_adapter_stand_in_no_file(listed, basic, asked):
    engine = listed(basic, {"p": [["user:alice", "*", "ask", "allow", ""]], "g": []})
    (named,) = engine.evaluate(asked(act="ask")).policy_ids
    assert engine.locate(named) is None


def test_rows_of_a_database_stand_in_no_file(tmp_path, options, asked, basic):
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    database = sqlalchemy.create_engine(url)
    sqlalchemy_adapter.Adapter(database)
    with database.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "insert into casbin_rule (ptype, v0, v1, v2, v3) "
                "values ('p', 'user:alice', '*', 'ask', 'allow')"
            )
        )
    database.dispose()
    engine = CasbinEngine.from_options(options(basic, None, adapter={"sqlalchemy": {"url": url}}))
    (named,) = engine.evaluate(asked(act="ask")).policy_ids
    assert engine.locate(named) is None
    engine.close()


def test_an_id_that_is_cut_short_is_located_only_if_it_is_of_one_row(load, rules, asked):
    long = " || ".join(["r.subject.tier == 'pro'"] * 20)
    one = f"p, ask, {long}, allow,\n"
    asking = asked(act="ask", properties={"tier": "pro"})
    engine = load(rules, f"p, sell, True, allow,\n{one}")
    (named,) = engine.evaluate(asking).policy_ids
    assert named.endswith("...")
    assert engine.locate(named) == ("policy.csv", 2)
    other = f"p, ask, {long}, allow, other\n"
    for rows in (one + other, other + one, one + other + one.replace("allow,", "allow, third")):
        engine = load(rules, rows)
        assert set(engine.evaluate(asking).policy_ids) == {named}
        assert engine.locate(named) is None


@pytest.mark.parametrize("name", ["", "p", "g, user:alice, staff", "p, staff", "m2", "policy.csv"])
def test_what_no_verdict_names_is_nowhere(load, name):
    assert load(policy=POLICY).locate(name) is None


def test_a_reload_moves_the_lines(load, asked, tmp_path):
    engine = load(policy=POLICY)
    (named,) = engine.evaluate(asked(act="ask")).policy_ids
    assert engine.locate(named) == ("policy.csv", 4)
    (tmp_path / "policy.csv").write_text(f"\n\n{POLICY}p, staff, *, new, allow,\n")
    engine.reload()
    assert engine.locate(named) == ("policy.csv", 6)
