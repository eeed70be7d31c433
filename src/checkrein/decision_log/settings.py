"""The settings of the decision log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..strict import Secret, StrictModel

__all__ = ["DecisionLogSettings"]


class DecisionLogSettings(StrictModel):
    """Where decisions go."""

    to: str = "stdout"
    content: Literal["facts", "masked", "full"] = "facts"
    required: bool = False
    queue: int = Field(default=10_000, ge=1)
    digest_key: Secret | None = None
