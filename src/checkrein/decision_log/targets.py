"""Where the lines go: a file or standard output."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Collection
from itertools import accumulate, islice
from pathlib import Path
from stat import S_ISFIFO, S_ISREG
from typing import Final

__all__ = ["File", "Stdout"]

# What a pipe takes in one piece, whoever else writes to it.
_ATOMIC: Final = getattr(select, "PIPE_BUF", 512)


class File:
    """A file that is only appended to, readable by its owner alone; `{pid}` in its name is the process id.

    It is opened again when it was moved or deleted, as logrotate does, but never within a line. Where its
    last writer was stopped within a line, ours begins on the next one and does not become a part of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._whole = True

    def write(self, lines: Collection[bytes]) -> int:
        """Write all lines at once, or nothing to see that it can be opened.

        Returns:
            How many bytes were taken.

        Raises:
            OSError: it cannot be opened or written.
        """
        data = b"".join(lines)
        path = self._path.with_name(self._path.name.replace("{pid}", str(os.getpid())))
        if self._fd is not None and self._whole and not _is(path, self._fd):
            self.close()
        if self._fd is None:
            # Python opens with O_CLOEXEC by itself (PEP 446).
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            if _is_torn(path, self._fd):
                os.write(self._fd, b"\n")
        taken = os.write(self._fd, data) if data else 0
        self._whole = data[:taken].endswith(b"\n") or not data
        return taken

    def close(self) -> None:
        """Close it; the next write opens it again."""
        fd, self._fd, self._whole = self._fd, None, True
        if fd is not None:
            os.close(fd)


class Stdout:
    """Standard output as it is at the time of writing; what the application has printed comes first."""

    def write(self, lines: Collection[bytes]) -> int:
        """Write all lines at once; to a pipe, which processes may share, as many as it takes in one piece."""
        if sys.stdout is None:
            raise OSError("there is no standard output")
        sys.stdout.flush()
        try:
            fd = sys.stdout.fileno()
        except (AttributeError, OSError):  # replaced by something in memory
            sys.stdout.write(b"".join(lines).decode())
            sys.stdout.flush()
            return sum(map(len, lines))
        if S_ISFIFO(os.fstat(fd).st_mode):
            fitting = sum(size <= _ATOMIC for size in accumulate(map(len, lines)))
            return os.write(fd, b"".join(islice(lines, max(1, fitting))))
        return os.write(fd, b"".join(lines))

    def close(self) -> None:
        """Leave it: it is the application's."""


def _is(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _is_torn(path: Path, fd: int) -> bool:
    """Whether a file ends within a line: its last writer was killed, or its disk full."""
    told = os.fstat(fd)
    if not told.st_size or not S_ISREG(told.st_mode):
        return False
    try:
        # Not by the descriptor that is written to: one that can be read is not always to be had.
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False
