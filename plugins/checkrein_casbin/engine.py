"""The engine plug-in: loads a model and its rows, answers from one version of them, swaps in the next."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from typing import Any, ClassVar, Final
from weakref import WeakSet

from checkrein.document import EvaluationRequest
from checkrein.engine import EngineOptions
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError, SettingsError
from checkrein.vocabulary import Stage, Verdict

from .definition import Definition, read_definition
from .following import Follower
from .options import CasbinOptions
from .rows import Adapter, read_rows
from .snapshot import Snapshot

__all__ = ["CasbinEngine"]

_log = logging.getLogger("checkrein.casbin")
_MAX_WARNINGS: Final = 10
_MAX_MODEL: Final = 1024 * 1024
_TENANT: Final = "subject.properties.tenant"


class CasbinEngine:
    """Answers from a Casbin policy, in this process.

    Args:
        name: what the record calls it.
        definition: the model.
        make_adapter: makes what reads the rows; called again after a fork.
        functions: functions that matchers call, by name.
        stages: the stages that it answers.
        domain: where the tenant stands in the input document.
        on_swap: called with the revision of every version that comes into force after the first.

    Raises:
        PolicyLoadError: the policy does not load.
    """

    Options: ClassVar[type[EngineOptions]] = CasbinOptions
    remote: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913 -- each is one thing that a policy is made of
        self,
        name: str,
        definition: Definition,
        make_adapter: Callable[[], Adapter],
        *,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        stages: frozenset[Stage] = frozenset(Stage),
        domain: str = _TENANT,
        on_swap: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.stages = stages
        self._definition = definition
        self._make_adapter = make_adapter
        self._functions = dict(functions or {})
        self._domain = tuple(domain.split("."))
        self._on_swap = on_swap
        self._follow: Callable[[], Follower] | None = None
        self._follower: Follower | None = None
        self._lock = Lock()
        self._forked = False
        self._closed = False
        self._adapter = make_adapter()
        self._snapshot = self._read()
        _ENGINES.add(self)

    @classmethod
    def from_options(cls, options: CasbinOptions) -> CasbinEngine:
        """Make the engine.

        Raises:
            PolicyLoadError: the policy does not load; the message names file and line.
            SettingsError: an adapter, a watcher or a function cannot be used, or both distributions of
                Casbin are installed.
        """
        _check_distributions()
        engine = cls(
            options.name or "casbin",
            _definition(options),
            options.make_adapter,
            functions=options.make_functions(),
            stages=frozenset(options.stages or Stage),
            domain=options.domain,
        )
        if options.watcher is not None or options.refresh is not None:
            engine.follow(options.watcher.make if options.watcher else None, options.refresh)
        return engine

    @property
    def revision(self) -> str | None:
        """The version of the policy that is in force now."""
        return self._snapshot.revision

    def entrypoint(self, stage: Stage) -> str | None:
        """What is asked at a stage, in Casbin's words, or None where it answers nothing."""
        asked = "; ".join(
            f"enforce({', '.join(section.request)}) by m{section.suffix}"
            for section in self._definition.sections
        )
        return asked if stage in self.stages else None

    def locate(self, policy_id: str) -> tuple[str, int] | None:
        """Where a row stands, and where there are no rows, the matcher that decides alone.

        None is a row from no file, or an id that was cut short and could be of several rows.
        """
        return self._snapshot.locate(policy_id)

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Answer one request, all of it from one version of the policy.

        Raises:
            EngineFailure: `engine_error` when a matcher cannot be computed or the engine is closed,
                `request_rejected` when the request names an entity or a path that could be taken for another,
                `invalid_answer` when the library contradicts itself.
        """
        if self._closed:
            raise EngineFailure(FailureCause.ENGINE_ERROR, "the engine is closed")
        if self._forked:
            self._after_fork()
        return self._snapshot.verdict(request)

    def follow(
        self, make_watcher: Callable[[Callable[..., None]], Any] | None, refresh: float | None = None
    ) -> None:
        """Reload whenever a watcher tells of a change, or time has passed; again in a forked process.

        Args:
            make_watcher: makes a Casbin watcher from the callback that it must call.
            refresh: seconds between readings that nobody asked for.
        """
        self._follow = lambda: Follower(self._try_reload, make_watcher, refresh)
        self._follower = self._follow()

    def reload(self) -> str:
        """Read the rows anew and put them into force at once; requests under way end with the old ones.

        Returns:
            The revision that is in force now.

        Raises:
            PolicyLoadError: the rows do not load; the old ones stay in force.
        """
        with self._lock:
            if self._closed:
                raise SettingsError("the engine is closed")
            snapshot = self._read()
            swapped = snapshot.revision != self._snapshot.revision
            self._snapshot = snapshot
        if swapped:
            _log.info("`%s`: policy %s is in force, `%d` rows", self.name, snapshot.revision, snapshot.size)
            if self._on_swap is not None:
                self._on_swap(snapshot.revision)
        return snapshot.revision

    def close(self) -> None:
        """Give everything back; may be called again."""
        self._closed = True
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _read(self) -> Snapshot:
        rows = read_rows(self._definition, self._adapter)
        snapshot = Snapshot(self._definition, rows, self._functions, self._domain)
        for warning in snapshot.warnings[:_MAX_WARNINGS]:
            _log.warning("`%s`: %s", self.name, warning)
        return snapshot

    def _try_reload(self) -> None:
        try:
            self.reload()
        except SettingsError as error:
            if not self._closed:
                _log.error("`%s`: policy %s stays in force: %s", self.name, self.revision, error)
        except Exception as error:  # noqa: BLE001 -- the thread must live; the words could hold a password
            _log.error("`%s`: policy %s stays in force: `%s`", self.name, self.revision, type(error).__name__)

    def _after_fork(self) -> None:
        """Make anew what does not cross a fork: connections, threads, a lock that another thread held."""
        with self._lock:
            if not self._forked:
                return
            self._adapter = self._make_adapter()
            self._follower = self._follow() if self._follow is not None else None
            self._forked = False
        self._try_reload()


_ENGINES: Final[WeakSet[CasbinEngine]] = WeakSet()


def _mark_forked() -> None:
    for engine in list(_ENGINES):
        engine._lock = Lock()  # noqa: SLF001 -- its own module
        engine._follower = None  # noqa: SLF001
        engine._forked = engine._follow is not None  # noqa: SLF001


os.register_at_fork(after_in_child=_mark_forked)


def _check_distributions() -> None:
    try:
        version("casbin")
        version("pycasbin")
    except PackageNotFoundError:
        return
    raise SettingsError(
        "`casbin` and `pycasbin` are both installed and overwrite each other's module; "
        "run: pip uninstall casbin pycasbin && pip install 'checkrein[casbin]'"
    )


def _definition(options: CasbinOptions) -> Definition:
    name = options.model.name
    try:
        with options.model.open("rb") as file:
            content = file.read(_MAX_MODEL + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError):
        raise PolicyLoadError(f"`{name}` cannot be read as UTF-8") from None
    if len(content) > _MAX_MODEL:
        raise PolicyLoadError(f"`{name}` is over `{_MAX_MODEL}` bytes")
    return read_definition(name, text)
