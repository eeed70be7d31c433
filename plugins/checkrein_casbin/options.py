"""The options of the engine `casbin`, and what they name: adapters, watchers, functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, cast

from pydantic import Field, StringConstraints, model_validator

from checkrein.engine import EngineOptions
from checkrein.errors import SettingsError
from checkrein.strict import Secret, SettingsPath, StrictModel

from .calls import RESERVED
from .redis_channel import RedisChannel
from .rows import Adapter, FileRows

__all__ = ["AdapterOptions", "CasbinOptions", "RedisOptions", "SqlAlchemyOptions", "WatcherOptions"]

Named = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""A Python object: `package.module:name`."""

_PATH: Final = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"


class SqlAlchemyOptions(StrictModel):
    """A database, read by `sqlalchemy-adapter`; nothing is created or written in it.

    Args:
        url: SQLAlchemy's URL; `{file: path}` keeps its password out of the settings.
        table: the table of the rows.
    """

    url: Secret
    table: str = Field(default="casbin_rule", min_length=1)


class AdapterOptions(StrictModel):
    """Where the rows are; exactly one of the two.

    Args:
        sqlalchemy: a database.
        factory: `module:name` of a function without arguments that makes any other Casbin adapter.
    """

    sqlalchemy: SqlAlchemyOptions | None = None
    factory: Named | None = None

    @model_validator(mode="after")
    def _one(self) -> AdapterOptions:
        if (self.sqlalchemy is None) is (self.factory is None):
            raise ValueError("must name one of `sqlalchemy` and `factory`")
        return self

    def make(self) -> Adapter:
        """Make the adapter.

        Raises:
            SettingsError: it is not installed, or cannot be made.
        """
        if self.sqlalchemy is not None:
            return _database(self.sqlalchemy)
        adapter: Adapter = _made(str(self.factory))
        return adapter


class RedisOptions(StrictModel):
    """A channel of Redis, such as writers that use `redis-watcher` publish to.

    Args:
        host: its host.
        port: its port.
        password: its password.
        tls: whether the connection is encrypted.
        channel: the channel that the writers of the policy publish to.
    """

    host: str = Field(min_length=1)
    port: int = Field(default=6379, ge=1, le=65535)
    password: Secret | None = None
    tls: bool = False
    channel: str = Field(default="/casbin", min_length=1)


class WatcherOptions(StrictModel):
    """Who tells of changes; exactly one of the two.

    Args:
        redis: Redis.
        factory: `module:name` of a function without arguments that makes any other Casbin watcher.
    """

    redis: RedisOptions | None = None
    factory: Named | None = None

    @model_validator(mode="after")
    def _one(self) -> WatcherOptions:
        if (self.redis is None) is (self.factory is None):
            raise ValueError("must name one of `redis` and `factory`")
        return self

    def make(self, changed: Callable[..., None]) -> Any:
        """Make the watcher.

        Args:
            changed: what it must call when the policy changed.

        Raises:
            SettingsError: it is not installed, or cannot be made.
        """
        if self.redis is not None:
            return RedisChannel(self.redis, changed)
        watcher = _made(str(self.factory))
        try:
            watcher.set_update_callback(changed)
        except Exception as error:  # the operator's code
            raise SettingsError(f"`{self.factory}` makes no watcher: `{type(error).__name__}`") from error
        return watcher


class CasbinOptions(EngineOptions):
    """The options of the engine `casbin`.

    Args:
        model: the model, a `.conf` file.
        policy: the rows, a `.csv` file; or
        adapter: where else the rows are.
        watcher: who tells that they changed.
        refresh: seconds after which they are read again even if nobody told; a lost message heals so.
        functions: the operator's own functions by the name that matchers call: `module:name`.
        domain: where the tenant of a request stands in the input document.
    """

    model: SettingsPath
    policy: SettingsPath | None = None
    adapter: AdapterOptions | None = None
    watcher: WatcherOptions | None = None
    refresh: int | None = Field(default=None, ge=1)
    functions: Mapping[str, Named] = Field(default_factory=dict)
    domain: str = Field(default="subject.properties.tenant", pattern=_PATH)

    @model_validator(mode="after")
    def _one_source(self) -> CasbinOptions:
        if (self.policy is None) is (self.adapter is None):
            raise ValueError("must name one of `policy` and `adapter`")
        for name in self.functions:
            if name in RESERVED or not name.isidentifier():
                raise ValueError(f"`functions.{name}` is no name, or the name of a function that there is")
        return self

    def make_adapter(self) -> Adapter:
        """Make what reads the rows.

        Raises:
            SettingsError: it is not installed, or cannot be made.
        """
        if self.adapter is not None:
            return self.adapter.make()
        return FileRows(cast(Path, self.policy))  # the validator above: one of the two is given

    def make_functions(self) -> dict[str, Callable[..., Any]]:
        """Import the operator's own functions.

        Raises:
            SettingsError: one is not there, or is none that can be called from a matcher.
        """
        functions = {name: _imported(where) for name, where in self.functions.items()}
        for name, function in functions.items():
            if not callable(function) or inspect.iscoroutinefunction(function):
                raise SettingsError(
                    f"`{self.functions[name]}` cannot be called from a matcher; name a plain function"
                )
        return functions


def _database(options: SqlAlchemyOptions) -> Adapter:
    try:
        sqlalchemy, adapters = import_module("sqlalchemy"), import_module("sqlalchemy_adapter")
    except ModuleNotFoundError as error:
        raise SettingsError(
            "the adapter `sqlalchemy` needs `sqlalchemy-adapter`; run: pip install sqlalchemy-adapter"
        ) from error
    try:
        # No connection outlives a reading: none is idle for days, and none crosses a fork.
        database = sqlalchemy.create_engine(options.url.get_secret_value(), poolclass=sqlalchemy.NullPool)
        adapter: Adapter = adapters.Adapter(database, table_name=options.table, create_table=False)
    except Exception as error:  # noqa: BLE001 -- its words can hold the password
        raise SettingsError(
            f"the adapter `sqlalchemy` raised `{type(error).__name__}`; check its `url`"
        ) from None
    return adapter


def _imported(where: str) -> Any:
    module, _, name = where.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"`{where}` cannot be imported: `{type(error).__name__}`; check the name"
        ) from error


def _made(where: str) -> Any:
    try:
        return _imported(where)()
    except SettingsError:
        raise
    except Exception as error:  # the operator's code; its words can hold a password
        raise SettingsError(f"`{where}` raised `{type(error).__name__}`") from error
