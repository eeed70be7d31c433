"""The base of every settings model: strict, frozen, relative paths and secrets resolved against the file.

Strict means that nothing is coerced: `"true"` is no boolean and `1` is no string.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

__all__ = ["SettingsPath", "StrictModel"]


class StrictModel(BaseModel):
    """A settings section: unknown keys are errors, values are not coerced, instances do not change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,  # an input can be a secret
        allow_inf_nan=False,
    )


def _resolve(value: Any, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("must be a path")
    base: Path = (info.context or {}).get("base", Path())
    path = Path(base, value)
    if not path.exists():
        raise ValueError(f"`{value}` does not exist (paths are relative to the settings file)")
    return path


SettingsPath = Annotated[Path, BeforeValidator(_resolve)]
"""An existing file or folder, relative to the settings file."""
