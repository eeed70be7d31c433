"""Finds engines, detectors, hosts and log sinks by their entry points: a third party's exactly like ours."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from .errors import MissingExtraError, SettingsError

__all__ = ["available", "load_plugin", "named_hosts"]

# Our own plug-ins, and the extra that brings each: so that a missing one is named with its next step.
_DETECTORS: Final = (
    "api_key", "credit_card", "email", "iban", "injection", "password", "phone", "private_key", "us_ssn",
)  # fmt: skip
_EXTRAS: Final = {
    **{("engine", name): name for name in ("casbin", "cedar", "opa", "oso", "rego")},
    **{("host", name): name for name in ("langchain", "litellm")},
    **{("detector", name): "detectors" for name in _DETECTORS},
}


@cache
def available(kind: str) -> dict[str, EntryPoint]:
    """The installed plug-ins of a kind (`engine`, `detector`, `host`) by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=f"checkrein.{kind}s")}


def named_hosts() -> frozenset[str]:
    """The hosts whose names we know: ours, installed here or not, and whatever else is installed."""
    return frozenset(available("host")) | {name for kind, name in _EXTRAS if kind == "host"}


def load_plugin(kind: str, name: str) -> Any:
    """Import a plug-in.

    Raises:
        MissingExtraError: nothing of this name is installed, or the library that it needs is not.
        SettingsError: its module does not import.
    """
    extra = _EXTRAS.get((kind, name))
    point = available(kind).get(name)
    if point is None:
        raise MissingExtraError(kind, name, extra)
    try:
        return point.load()
    except ModuleNotFoundError as error:
        if extra is not None:
            raise MissingExtraError(kind, name, extra) from error
        raise SettingsError(f"{kind} `{name}` needs the module `{error.name}`; install it") from error
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{kind} `{name}` does not import: {error}; reinstall the package") from error
