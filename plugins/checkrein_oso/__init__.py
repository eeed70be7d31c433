"""Oso, embedded: an engine plug-in that asks policies in Polar."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

from checkrein.errors import MissingExtraError, SettingsError

# Its C interface is spoken to directly, and 0.27.3 is the last release: upstream has moved on to a service.
_KNOWN: Final = "0.27.3"
_PYTHONS: Final = ((3, 11), (3, 12))


def _check_library() -> None:
    try:
        found = version("oso") if find_spec("_polar_lib") else None
    except PackageNotFoundError:
        found = None
    if found == _KNOWN:
        return
    if found is not None:
        raise SettingsError(f"engine `oso` knows oso `{_KNOWN}` and found `{found}`; install `oso=={_KNOWN}`")
    machine = platform.machine()
    if sys.version_info[:2] not in _PYTHONS or (sys.platform == "linux" and machine != "x86_64"):
        # No source release either: pip would say that it finds no version at all.
        here = f"{platform.python_version()}, {sys.platform} {machine}"
        raise SettingsError(
            f"engine `oso` cannot be had on Python `{here}`: its library has wheels for Python 3.11 and 3.12 "
            "alone, and for Linux on x86-64 alone; use one of these, or another engine"
        )
    raise MissingExtraError("engine", "oso", "oso")


_check_library()

from .engine import OsoEngine, OsoOptions  # noqa: E402 -- it imports the library

__all__ = ["OsoEngine", "OsoOptions"]
