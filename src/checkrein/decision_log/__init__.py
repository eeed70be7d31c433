"""The decision log."""

from .log import DecisionLog
from .settings import DecisionLogSettings

__all__ = ["DecisionLog", "DecisionLogSettings"]
