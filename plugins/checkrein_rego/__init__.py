"""Rego, embedded: an engine plug-in with two backends, `regopy` and `regorus`."""

from .engine import RegoEngine

__all__ = ["RegoEngine"]
