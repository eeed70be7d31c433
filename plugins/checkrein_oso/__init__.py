"""Oso, embedded: an engine plug-in that asks policies in Polar."""

import platform
import sys

from checkrein.errors import MissingExtraError, SettingsError

try:
    import _polar_lib as _polar_lib  # noqa: PLC0414 -- only whether it is there; `core` uses it
except ImportError as error:
    # Upstream stopped at 0.27.3: wheels for CPython up to 3.12, none for Linux on ARM, and no source release.
    if sys.version_info >= (3, 13) or (sys.platform == "linux" and platform.machine() not in ("x86_64", "AMD64")):
        raise SettingsError(
            f"engine `oso` cannot be had here: its library has no wheel for Python "
            f"`{sys.version_info.major}.{sys.version_info.minor}` on `{sys.platform} {platform.machine()}`; "
            "use Python 3.11 or 3.12 on x86-64 Linux, macOS or Windows, or another engine"
        ) from error
    raise MissingExtraError("engine", "oso", "oso") from error

from .engine import OsoEngine, OsoOptions

__all__ = ["OsoEngine", "OsoOptions"]
