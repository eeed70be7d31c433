"""The decision log: one line of JSON for every decision, written beside the calls and never in their way."""

from .log import DecisionLog
from .settings import DecisionLogSettings

__all__ = ["DecisionLog", "DecisionLogSettings"]
