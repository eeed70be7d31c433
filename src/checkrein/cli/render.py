"""What every command prints with: consoles, styles, and text that cannot style or steer a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = [
    "BAD",
    "FAINT",
    "GOOD",
    "WARNING",
    "clean",
    "console",
    "counted",
    "field_grid",
    "indented",
    "joined",
    "plain",
    "print_json",
    "section",
    "show",
    "state_grid",
]

GOOD: Final = "green"
WARNING: Final = "yellow"
BAD: Final = "red"
FAINT: Final = "dim"

# C0 and C1 controls but for tab and line feed, bidirectional controls, line separators, lone surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def clean(value: object) -> str:
    """Text without what would move a cursor, colour a line or turn its reading direction."""
    return _UNSAFE.sub("", str(value))


def plain(value: object, style: str = "") -> Text:
    """Text from outside: never read as markup, never cut off."""
    return Text(clean(value), style=style, overflow="fold")


def joined(values: Iterable[object], style: str = "") -> Text:
    """Words with commas between them."""
    return plain(", ".join(map(str, values)), style)


def console(*, error: bool = False) -> Console:
    """A console on the standard streams of this moment, in colour on a terminal alone."""
    stream = sys.stderr if error else sys.stdout
    if hasattr(stream, "reconfigure"):
        # A terminal that cannot show a character gets its code instead of ending the command.
        stream.reconfigure(errors="backslashreplace")
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def show(parts: Iterable[RenderableType]) -> None:
    """Print to standard output; a pipe or a file gets no blanks at line ends."""
    screen = console()
    if screen.is_terminal:
        for part in parts:
            screen.print(part)
        return
    with screen.capture() as captured:
        for part in parts:
            screen.print(part)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().split("\n")[:-1])


def section(title: str, *parts: RenderableType) -> Iterator[RenderableType]:
    """A heading and what stands under it."""
    yield Text("")
    yield Text(title, style="bold")
    yield from map(indented, parts)


def indented(part: RenderableType, by: int = 2) -> RenderableType:
    """A part, moved to the right."""
    return Padding(part, (0, 0, 0, by))


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 rule`, `2 rules`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def field_grid(rows: Iterable[tuple[str, RenderableType]], width: int = 12) -> Table:
    """Labels on the left, values on the right; a value takes the lines that it needs."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=FAINT, min_width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, value)
    return grid


def state_grid() -> Table:
    """A grid of names, the state of each, and what that means; the last takes the lines that it needs."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def print_json(value: Any) -> None:
    """One JSON document on standard output, in ASCII: safe on every terminal and for every text."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
