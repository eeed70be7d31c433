"""Finds personal data, secrets and injection phrases in text.

`pack` is what the entry points of the group `checkrein.detectors` name: one object for all nine types.
"""

from .pack import Pack, pack

__all__ = ["Pack", "pack"]
