"""The section `decision_log` of the settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from checkrein.strict import Secret, StrictModel, beside_settings

__all__ = ["Content", "DecisionLogSettings"]

Content = Literal["facts", "masked", "full"]
"""How much of the input a record shows."""

# BLAKE2b takes 64 bytes at most; a shorter key than this could be tried out.
_SHORTEST_KEY: Final = 16
_LONGEST_KEY: Final = 64
_PLACE: Final = re.compile(r"\{[A-Za-z_]{1,64}\}", re.ASCII)


def _target(value: Any, info: ValidationInfo) -> Any:
    if value == "stdout" or isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be `stdout` or the path of a file")
    for word in _PLACE.findall(Path(value).name):
        if word != "{pid}":
            raise ValueError(f"`{word}` is filled in by nothing; did you mean `{{pid}}`?")
    path = beside_settings(value, info)
    if not path.parent.is_dir():
        raise ValueError(f"the folder of `{value}` does not exist; make it (paths are relative to the file)")
    if path.exists() and not path.is_file():
        raise ValueError(f"`{value}` is no ordinary file; name one")
    return path


class DecisionLogSettings(StrictModel):
    """Where the decision log goes and what it shows.

    Args:
        to: `stdout`, or a file relative to the settings file; `{pid}` in its name becomes the process id.
        content: `facts` (no text), `masked` (text without what the detectors found) or `full`.
        required: deny what cannot be recorded, instead of counting it as dropped.
        queue: most events that wait to be written.
        digest_key: secret key of the digests, 16 to 64 bytes of UTF-8; without one, each process makes its
            own, and digests of equal texts are equal within a process only.
    """

    to: Annotated[Literal["stdout"] | Path, BeforeValidator(_target)] = "stdout"
    content: Content = "facts"
    required: bool = False
    queue: int = Field(default=10_000, ge=1, le=1_000_000)
    digest_key: Secret | None = None

    @field_validator("digest_key")
    @classmethod
    def _long_enough(cls, value: Secret | None) -> Secret | None:
        if value is not None and not _SHORTEST_KEY <= len(value.get_secret_value().encode()) <= _LONGEST_KEY:
            raise ValueError(f"must have `{_SHORTEST_KEY}` to `{_LONGEST_KEY}` bytes of UTF-8")
        return value
