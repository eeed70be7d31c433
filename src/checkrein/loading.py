"""Reads the settings file, one for every host, and builds what it describes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from .building import build_engine
from .combining import All, By, EngineNode
from .errors import SettingsError
from .plugins import available, named_hosts
from .settings import Settings
from .vocabulary import Stage
from .yaml_source import YamlSource, meant, nearest

__all__ = ["CONFIG_VARIABLE", "LoadedSettings", "SettingsFile", "load"]

CONFIG_VARIABLE: Final = "CHECKREIN_CONFIG"


class SettingsFile(Settings):
    """The whole file.

    Args:
        version: of this format.
        engine: the tree of engines; a node is always one key.
    """

    version: Literal[1]
    engine: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSettings:
    """A settings file, read and built.

    Args:
        path: the file.
        settings: its sections.
        engine: the tree of engines, with every policy loaded.
        revision: hash of the file before any variable or secret was filled in.
    """

    path: Path
    settings: SettingsFile
    engine: All | By | EngineNode
    revision: str


def load(path: str | Path | None = None) -> LoadedSettings:
    """Read a settings file and build its engines.

    Args:
        path: the file; None means the one that `CHECKREIN_CONFIG` names.

    Raises:
        SettingsError: naming file, line and key.
    """
    named = path or os.environ.get(CONFIG_VARIABLE)
    if not named:
        raise SettingsError(f"no settings file is named; give its path or set `{CONFIG_VARIABLE}`")
    source = YamlSource.read(Path(named))
    if not isinstance(source.value, dict):
        raise source.error((), "the settings must be a mapping; start with `version: 1`")
    base = Path(named).resolve().parent
    try:
        settings = SettingsFile.model_validate(source.value, context={"base": base})
    except ValidationError as error:
        raise source.validated(error, SettingsFile) from None
    _check_names(settings, source)
    engine = build_engine(settings.engine, base=base, source=source)
    if settings.decision_log.content == "masked":
        for stage in Stage:
            if stage.has_text and engine.covers(stage) and not settings.detectors.get(stage):
                # What no detector reads has nothing taken out: it would stand there raw.
                raise source.error(
                    ("decision_log", "content"),
                    f"is `masked`, and no detector is named for `{stage}`; name one",
                )
    return LoadedSettings(
        path=Path(named),
        settings=settings,
        engine=engine,
        revision=hashlib.sha256(source.content).hexdigest()[:16],
    )


def _check_names(settings: Settings, source: YamlSource) -> None:
    known = available("detector")
    for stage, names in settings.detectors.items():
        for index, name in enumerate(names):
            if name not in known:
                raise source.error(
                    ("detectors", stage.value, index),
                    f"`{name}` is no installed detector{nearest(name, known)}",
                )
    hosts = named_hosts()
    for name in settings.identity:
        # A name that is near none of ours may be that of a host which another reader of the file has.
        if name not in hosts and (close := meant(name.lower(), hosts)):
            raise source.error(("identity", name), f"is no known host; did you mean `{close}`?")
