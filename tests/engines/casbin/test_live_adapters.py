"""Policies out of a database or an adapter of the operator's own, and the watchers that tell of changes."""

import sys
import types

import casbin
import pytest
import sqlalchemy
import sqlalchemy_adapter
from watched import ALICE, ALLOWED, Swaps, Watcher, append_rows, told_of

from checkrein.errors import PolicyLoadError, SettingsError
from checkrein.vocabulary import Effect


@pytest.fixture
def database(tmp_path):
    """The URL of a SQLite database with an empty table of rows."""
    url = f"sqlite:///{tmp_path}/policy.db"
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    sqlalchemy_adapter.Adapter(engine)
    return url


@pytest.fixture
def administrator(database, tmp_path):
    """The library's own enforcer over the database, as an application that administers the policy has it."""

    def made(model, watcher=None):
        engine = sqlalchemy.create_engine(database, poolclass=sqlalchemy.NullPool)
        enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=model), sqlalchemy_adapter.Adapter(engine))
        if watcher is not None:
            enforcer.set_watcher(watcher)
        return enforcer

    return made


class TestADatabase:
    def test_its_rows_are_the_policy(self, load, asked, basic, database, administrator):
        admin = administrator(basic)
        admin.add_named_policy("p", ALLOWED)
        admin.add_named_policy("p", "staff", "*", "delete", "deny", "no.delete")
        admin.add_named_grouping_policy("g", ALICE)
        engine = load(basic, policy=None, adapter={"sqlalchemy": {"url": database}})
        assert engine.evaluate(asked()).effect is Effect.PERMIT
        denied = engine.evaluate(asked(act="delete"))
        assert [reason.code for reason in denied.reasons] == ["no.delete"]
        assert denied.reasons[0].message == "row 2 of `p`"

    def test_a_last_code_that_the_database_did_not_keep_is_empty(
        self, load, asked, basic, database, administrator
    ):
        administrator(basic.replace(", code", "")).add_named_policy("p", ALLOWED[:4])
        administrator(basic).add_named_grouping_policy("g", ALICE)
        engine = load(basic, policy=None, adapter={"sqlalchemy": {"url": database}})
        assert engine.evaluate(asked()).effect is Effect.PERMIT

    def test_a_comma_in_a_value_is_no_second_value(self, load, basic, database, administrator):
        # The adapter joins the columns by commas and parts them again.
        administrator(basic).add_named_policy("p", "staff, *", "*", "invoke", "deny", "")
        with pytest.raises(PolicyLoadError, match="row 1 of `p`: has `6` values"):
            load(basic, policy=None, adapter={"sqlalchemy": {"url": database}})

    def test_a_row_of_a_misspelt_type_does_not_load(self, load, basic, database, administrator):
        engine = sqlalchemy.create_engine(database, poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("insert into casbin_rule (ptype, v0) values ('P', 'staff')"))
        with pytest.raises(PolicyLoadError, match="a row of type `P`"):
            load(basic, policy=None, adapter={"sqlalchemy": {"url": database}})

    def test_nothing_is_created_in_it(self, load, basic, tmp_path):
        url = f"sqlite:///{tmp_path}/empty.db"
        with pytest.raises(PolicyLoadError, match="the adapter `Adapter` raised `OperationalError`"):
            load(basic, policy=None, adapter={"sqlalchemy": {"url": url}})
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        assert sqlalchemy.inspect(engine).get_table_names() == []

    def test_its_password_is_not_told(self, load, basic):
        with pytest.raises(SettingsError) as error:
            load(basic, policy=None, adapter={"sqlalchemy": {"url": "nosuch://root:secret-word@host/db"}})
        assert "secret-word" not in str(error.value)

    def test_an_application_changes_it_and_a_watcher_tells(  # noqa: PLR0913, PLR0917 -- fixtures
        self, listed, asked, basic, database, administrator, swaps
    ):
        channel = []
        admin = administrator(basic, Watcher(channel))
        admin.add_named_policy("p", ALLOWED)
        source = sqlalchemy.create_engine(database, poolclass=sqlalchemy.NullPool)
        engine = listed(basic, sqlalchemy_adapter.Adapter(source, create_table=False), on_swap=swaps)
        engine.follow(lambda changed: told_of(Watcher(channel), changed))
        first = engine.revision
        assert engine.evaluate(asked()).effect is Effect.NOT_APPLICABLE
        admin.add_named_grouping_policy("g", ALICE)
        # The library tells before the row is written at times: what is told last counts.
        admin.watcher.update()
        while engine.evaluate(asked()).effect is not Effect.PERMIT:
            swaps.wait()
        admin.remove_named_grouping_policy("g", *ALICE)
        admin.watcher.update()
        while engine.evaluate(asked()).effect is Effect.PERMIT:
            swaps.wait()
        assert engine.revision == first
        assert set(swaps.seen) >= {first}


class TestFactories:
    @pytest.fixture
    def acme(self, tmp_path, monkeypatch, basic):
        """A module of the operator's with an adapter and a watcher."""
        module = types.ModuleType("acme_policies")
        module.channel = []
        module.rows = {"p": [ALLOWED], "g": [ALICE]}
        module.adapter = lambda: types.SimpleNamespace(
            load_policy=lambda model: append_rows(model, module.rows)
        )
        module.watcher = lambda: Watcher(module.channel)
        module.broken = lambda: 1 / 0
        monkeypatch.setitem(sys.modules, "acme_policies", module)
        return module

    def test_any_other_adapter_and_watcher(self, load, asked, basic, acme):
        engine = load(
            basic,
            policy=None,
            adapter={"factory": "acme_policies:adapter"},
            watcher={"factory": "acme_policies:watcher"},
        )
        assert engine.evaluate(asked()).effect is Effect.PERMIT
        swaps = engine._on_swap = Swaps()
        acme.rows = {"p": [ALLOWED]}
        Watcher(acme.channel).update()
        swaps.wait()
        assert engine.evaluate(asked()).effect is Effect.NOT_APPLICABLE

    @pytest.mark.parametrize(
        "named", ["acme_policies:broken", "acme_policies:missing", "no_such_module:adapter"]
    )
    def test_one_that_cannot_be_made_is_an_error(self, load, basic, acme, named):
        with pytest.raises(SettingsError, match=named):
            load(basic, policy=None, adapter={"factory": named})
