"""The base of every settings model: strict, frozen, relative paths and secrets resolved against the file.

Strict means that nothing is coerced: `"true"` is no boolean and `1` is no string.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo

from .vocabulary import Stage

__all__ = ["Secret", "SettingsPath", "StageName", "StrictModel", "beside_settings"]

_PACK: Final = "pack:"
_MAX_SECRET: Final = 64 * 1024


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
    if value.startswith(_PACK):
        return _in_pack(value.removeprefix(_PACK))
    path = beside_settings(value, info)
    if not path.exists():
        raise ValueError(f"`{value}` does not exist; paths are relative to the settings file")
    return path


def _in_pack(name: str) -> Path:
    try:
        root = Path(str(files("checkrein_policies"))).resolve()
    except ModuleNotFoundError:
        raise ValueError("`checkrein_policies` is not installed; reinstall checkrein") from None
    path = (root / name).resolve()
    if not path.is_relative_to(root) or path == root or not path.exists():
        packs = sorted(pack.parent.name for pack in root.glob("*/pack.yaml"))
        raise ValueError(f"`{_PACK}{name}` is no shipped pack; these are: {', '.join(packs)}")
    return path


def _read(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, Mapping):
        return SecretStr(value) if isinstance(value, str) else value
    if set(value) != {"file"} or not isinstance(value["file"], str):
        raise ValueError("a secret is a string, `${NAME}` or `{file: path}`")
    path = beside_settings(value["file"], info)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET + 1)
        text = content.decode().rstrip("\r\n")
    except (OSError, ValueError):
        raise ValueError(f"the secret's file `{value['file']}` cannot be read") from None
    if not text or len(content) > _MAX_SECRET:
        raise ValueError(f"the secret's file `{value['file']}` is empty or over `{_MAX_SECRET}` bytes")
    return SecretStr(text)


def beside_settings(name: str, info: ValidationInfo) -> Path:
    """A path as the settings name it: relative to their file, unless it is absolute."""
    return Path((info.context or {}).get("base", Path()), name)


StageName = Annotated[Stage, Field(strict=False)]
"""A stage by its name: the one place where a string becomes something else."""

SettingsPath = Annotated[Path, BeforeValidator(_resolve)]
"""An existing file or folder, relative to the settings file; `pack:NAME/...` is one inside a shipped pack."""

Secret = Annotated[SecretStr, BeforeValidator(_read)]
"""A string that is never printed; `{file: path}` reads it from a file, without the line end."""
