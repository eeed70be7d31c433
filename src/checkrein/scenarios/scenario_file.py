"""Reads a scenario file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from checkrein.errors import SettingsError
from checkrein.yaml_source import YamlSource

from .scenario import Scenario

__all__ = ["load_scenarios"]


def load_scenarios(path: Path | str) -> tuple[Scenario, ...]:
    """Read a scenario file.

    Raises:
        SettingsError: it cannot be read, or a scenario in it is malformed or named twice; the message tells
            the file, the line and the scenario.
    """
    # A prompt may hold `${NAME}`: nothing is filled in.
    source = YamlSource.read(Path(path), variables=False)
    listed = source.value.get("scenarios") if isinstance(source.value, dict) else None
    if not isinstance(listed, list) or set(source.value) != {"scenarios"}:
        raise source.error((), "must hold one key, `scenarios`, and a list under it")
    scenarios: dict[str, Scenario] = {}
    for index, item in enumerate(listed):
        at = ("scenarios", index)
        try:
            scenario = Scenario.model_validate(item)
        except ValidationError as error:
            name = item.get("name") if isinstance(item, dict) else None
            raise SettingsError(f"{source.validated(error, Scenario, at)}; scenario `{name}`") from None
        scenario._line = source.line(at)  # noqa: SLF001 -- only its file knows
        first = scenarios.setdefault(scenario.name, scenario)
        if first is not scenario:
            raise source.error(at, f"has the name of line {first.line}, `{scenario.name}`; give it its own")
    return tuple(scenarios.values())
