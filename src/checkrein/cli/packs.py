"""Finds the shipped policy packs, and what each of them has for which engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from checkrein.errors import SettingsError
from checkrein.yaml_source import YamlSource

__all__ = ["ENGINES", "Pack", "pack_at", "shipped_packs"]

# By engine, the folder of a pack that holds its language.
ENGINES: Final[Mapping[str, str]] = {
    "casbin": "casbin",
    "cedar": "cedar",
    "opa": "rego",
    "oso": "polar",
    "rego": "rego",
}
_PACK: Final = "pack.yaml"
_SETTINGS: Final = "settings.yaml"
_SCENARIOS: Final = "scenarios.yaml"
# `scenarios.only-rego-polar.yaml` holds what these languages can say and others cannot.
_SOME: Final = "scenarios.only-"
OPA_URL: Final = "http://127.0.0.1:8181"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A policy pack: a folder with `pack.yaml`, `settings.yaml`, `scenarios.yaml`, and one for each language.

    Args:
        name: its name.
        folder: where it is.
        told: what `pack.yaml` says.
        settings: what `settings.yaml` says, and its text.
    """

    name: str
    folder: Path
    told: Mapping[str, Any]
    settings: YamlSource

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines whose language it is written in."""
        return tuple(kind for kind in ENGINES if self.options(kind) is not None)

    def scenarios(self, kind: str) -> list[Path]:
        """The scenario files: that of all languages, then those of the ones that this engine's is among."""
        language = ENGINES[kind]
        own = [
            path
            for path in sorted(self.folder.glob(f"{_SOME}*.yaml"))
            if language in path.stem.removeprefix(_SOME).split("-")
        ]
        return [self.folder / _SCENARIOS, *own]

    @property
    def decides(self) -> list[str]:
        """What it decides, in words."""
        return [str(one) for one in self.told.get("decides") or ()]

    def not_in(self, kind: str) -> list[str]:
        """What of it an engine's language cannot say, in words."""
        missing = self.told.get("not_in")
        told = missing.get(ENGINES[kind]) if isinstance(missing, Mapping) else None
        return [str(one) for one in told] if isinstance(told, list) else []

    def options(self, kind: str, url: str = OPA_URL) -> dict[str, Any] | None:
        """The part of the settings that loads it in an engine, paths relative to its folder.

        What `pack.yaml` says under `engines` counts, then what `settings.yaml` does, then where things are.

        Args:
            kind: the engine.
            url: where OPA answers.

        Returns:
            The options, or None when it is not written in that language.
        """
        folder = self.folder / ENGINES[kind]
        if not folder.is_dir():
            return None
        engines = self.told.get("engines")
        own = engines.get(kind) if isinstance(engines, Mapping) else None
        own = own if isinstance(own, Mapping) else None
        if kind == "opa":
            return {"url": url, "stages": self.stages} | {**(own or {}), "url": url}
        if own is not None:
            return dict(own)
        configured = self.settings.value.get("engine", {}).get(kind)
        if isinstance(configured, Mapping):
            return dict(configured)
        return dict(_FOUND[kind](folder, self.folder))

    @property
    def stages(self) -> list[str]:
        """The stages that it decides."""
        stages = self.told.get("entrypoints") or self.told.get("stages") or ()
        return [str(stage) for stage in stages]

    def needed(self, kind: str) -> list[Path]:
        """The files and folders that its policies consist of for an engine, relative to it."""
        found = {Path(ENGINES[kind]): None}
        for value in _strings(self.options("rego" if kind == "opa" else kind)):
            path = Path(value)
            if value and not path.is_absolute() and ".." not in path.parts and (self.folder / path).exists():
                inside = path.parts and path.parts[0] == ENGINES[kind]
                found |= {} if inside else {path: None}
        return list(found)


def shipped_packs() -> tuple[Pack, ...]:
    """Every shipped pack, sorted by name.

    Raises:
        SettingsError: the packs are not installed, or one of them cannot be read.
    """
    try:
        root = Path(str(files("checkrein_policies")))
    except ModuleNotFoundError:
        raise SettingsError("`checkrein_policies` is not installed; reinstall checkrein") from None
    return tuple(pack_at(path.parent) for path in sorted(root.glob(f"*/{_PACK}")))


def pack_at(folder: Path) -> Pack:
    """The pack in a folder.

    Raises:
        SettingsError: there is none, or it cannot be read.
    """
    told = YamlSource.read(folder / _PACK, variables=False)
    settings = YamlSource.read(folder / _SETTINGS, variables=False)
    for source in (told, settings):
        if not isinstance(source.value, dict):
            raise source.error((), "must be a mapping")
    if not isinstance(settings.value.get("engine", {}), dict):
        raise settings.error(("engine",), "must be a mapping")
    return Pack(name=folder.resolve().name, folder=folder, told=told.value, settings=settings)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(item)


def _below(folder: Path, name: str, pack: Path) -> str:
    return (folder / name).relative_to(pack).as_posix()


def _rego(folder: Path, pack: Path) -> Iterator[tuple[str, Any]]:
    yield "bundle", f"{folder.relative_to(pack).as_posix()}/"
    if (pack / "data.yaml").is_file():
        yield "data", ["data.yaml"]


def _cedar(folder: Path, pack: Path) -> Iterator[tuple[str, Any]]:
    yield "policies", f"{folder.relative_to(pack).as_posix()}/"
    for schema in sorted(folder.glob("*.cedarschema"))[:1]:
        yield "schema", schema.relative_to(pack).as_posix()
    for key in ("entities", "links"):
        if (folder / f"{key}.json").is_file():
            yield key, _below(folder, f"{key}.json", pack)


def _casbin(folder: Path, pack: Path) -> Iterator[tuple[str, Any]]:
    for key, name in (("model", "model.conf"), ("policy", "policy.csv")):
        yield key, _below(folder, name, pack)


def _polar(folder: Path, pack: Path) -> Iterator[tuple[str, Any]]:
    yield "policies", f"{folder.relative_to(pack).as_posix()}/"


_FOUND: Final = {"casbin": _casbin, "cedar": _cedar, "oso": _polar, "rego": _rego}
