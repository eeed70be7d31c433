"""Placeholder while the log is being written."""

from __future__ import annotations

from typing import Any

from ..decision import Decision
from .settings import DecisionLogSettings


class DecisionLog:
    def __init__(self, settings: DecisionLogSettings, *, settings_revision: str | None = None) -> None: ...
    def reserve(self) -> bool:
        return True

    def release(self) -> None: ...
    def record(self, decision: Decision) -> None: ...
    def event(self, name: str, **fields: Any) -> None: ...
    def flush(self, timeout: float = 5.0) -> bool:
        return True

    def close(self, timeout: float = 5.0) -> None: ...
