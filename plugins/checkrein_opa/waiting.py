"""The two things that a question to OPA waits for: a socket, and somebody else's work; each with a deadline.

They are the only code of this plug-in that knows whether its caller blocks or awaits. Neither raises when the
deadline passes: the flow tries once more, so that an answer that is there counts, however late this process
comes to look (another engine's evaluation may have held the whole process up).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import socket
import weakref
from concurrent.futures import Future, wait
from dataclasses import dataclass
from time import monotonic
from typing import Any

__all__ = ["Await", "Ready"]


@dataclass(frozen=True, slots=True)
class Ready:
    """Waits until a socket can be read from or written to, or the deadline passes.

    Args:
        sock: the socket, not blocking.
        deadline: by `time.monotonic`, in seconds.
        write: wait for room to write as well as for something to read.
    """

    sock: socket.socket
    deadline: float
    write: bool = False

    def perform(self) -> None:
        """Wait, blocking the thread."""
        left = max(0.0, self.deadline - monotonic())
        if not hasattr(select, "poll"):  # Windows
            select.select([self.sock], [self.sock] if self.write else [], [], left)
            return
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLOUT if self.write else select.POLLIN)
        poll.poll(math.ceil(left * 1000))

    async def aperform(self) -> None:
        """Wait without blocking the event loop."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(max(0.0, self.deadline - monotonic()), _wake, woken)
        loop.add_reader(self.sock, _wake, woken)
        if self.write:
            loop.add_writer(self.sock, _wake, woken)
        try:
            await woken
        finally:
            timer.cancel()
            # A loop that was closed over this question has forgotten its sockets, and refuses to forget one.
            if not loop.is_closed():
                loop.remove_reader(self.sock)
                if self.write:
                    loop.remove_writer(self.sock)


@dataclass(frozen=True, slots=True)
class Await:
    """Waits until a future is done or the deadline passes.

    Args:
        future: what another thread or task works on.
        deadline: by `time.monotonic`, in seconds.
    """

    future: Future[Any]
    deadline: float

    def perform(self) -> None:
        """Wait, blocking the thread."""
        wait([self.future], max(0.0, self.deadline - monotonic()))

    async def aperform(self) -> None:
        """Wait without blocking the event loop."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        # Weak: what another thread works on must not keep a question whose event loop was closed over it.
        waiter = weakref.ref(woken)

        def done(_: Future[Any]) -> None:
            future = waiter()
            if future is not None:
                with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                    loop.call_soon_threadsafe(_wake, future)

        timer = loop.call_later(max(0.0, self.deadline - monotonic()), _wake, woken)
        self.future.add_done_callback(done)
        try:
            await woken
        finally:
            timer.cancel()


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
