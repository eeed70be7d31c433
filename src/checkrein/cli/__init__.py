"""The `checkrein` command: check the settings, try a prompt, test the policies (extra `cli`)."""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = frozenset({"click", "rich", "typer"})


def main() -> None:
    """Run the command line; exits 0, 2 (usage), 3 (does not load) or 4 (a test or check failed)."""
    try:
        from .app import app  # noqa: PLC0415 -- the kernel is installed without the libraries that it needs
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(f"error: `{error.name}` is not installed; run: pip install 'checkrein[cli]'\n")
        sys.exit(2)
    app()
