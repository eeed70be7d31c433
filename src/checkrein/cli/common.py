"""What every command shares: exit codes, common options, loading, and how an error ends a command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, NoReturn

import typer

from checkrein.decision import Decision
from checkrein.errors import SettingsError
from checkrein.loading import CONFIG_VARIABLE, LoadedSettings, load

from .render import clean, console

__all__ = [
    "DOES_NOT_LOAD",
    "FAILED",
    "USAGE",
    "AsJson",
    "Config",
    "fail",
    "forget",
    "loaded_from",
    "standard_input",
]

USAGE: Final = 2
DOES_NOT_LOAD: Final = 3
FAILED: Final = 4

Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="PATH", envvar=CONFIG_VARIABLE, help="The settings file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


@contextmanager
def loaded_from(config: str | None) -> Iterator[LoadedSettings]:
    """The settings with their engines, closed in the end; whatever does not load ends the command."""
    if not config:
        hint = f"no settings file is named; give its path or set {CONFIG_VARIABLE}"
        raise typer.BadParameter(hint, param_hint="--config")
    try:
        loaded = load(config)
    except SettingsError as error:
        fail(DOES_NOT_LOAD, str(error))
    except Exception as error:  # noqa: BLE001 -- a plug-in's fault is told in a line as well
        fail(DOES_NOT_LOAD, f"loading `{config}` raised `{type(error).__name__}`: {error}")
    try:
        yield loaded
    except SettingsError as error:
        fail(DOES_NOT_LOAD, str(error))
    finally:
        for engine in loaded.engine.engines:
            engine.close()


def standard_input(limit: int) -> str:
    """A prompt from a pipe, without its last line end; no more is read than would be denied."""
    content = sys.stdin.buffer.read(limit + 2)
    # What is over the limit may be cut inside a character; it is denied for its size, not for that.
    text = content.decode(errors="surrogateescape" if len(content) <= limit else "replace")
    return text.removesuffix("\n").removesuffix("\r")


def fail(code: int, message: str) -> NoReturn:
    """End the command with one line of error."""
    console(error=True).print(clean(f"error: {message}"), style="red", soft_wrap=True)
    raise typer.Exit(code)


def forget(decision: Decision) -> None:
    """No decision is made by looking."""
