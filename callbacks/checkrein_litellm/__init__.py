"""What LiteLLM calls: policy decisions in front of every chat call of a proxy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .denial import CallDenied
    from .guard import PolicyGuard

__all__ = ["CallDenied", "PolicyGuard"]

_HOMES = {"CallDenied": "denial", "PolicyGuard": "guard"}


def __getattr__(name: str) -> Any:
    # Late, because LiteLLM asks the network for prices when it is imported: `checking` forbids that first.
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
