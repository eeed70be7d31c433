"""What a tool writes into the stream of its graph while it runs: held until it is judged, with the result."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass, replace
from threading import Lock
from typing import Any, Final

from langchain_core.runnables.config import var_child_runnable_config

from checkrein.settings import Limits
from checkrein_langchain.text.surface import Path, Surface
from checkrein_langchain.text.tool_outputs import Output, check_size, read_output

__all__ = ["HeldWriting"]

# Where LangGraph keeps what `get_stream_writer` gives out; it has no public name for it.
_RUNTIME: Final = "__pregel_runtime"
# The path of a piece begins with `streamed` and the event's index.
_INSIDE: Final = 2
_ROLE: Final = len("tool")

Write = Callable[[Any], None]


class HeldWriting:
    """The events that one use of a tool wrote; they leave when its result is judged, or never.

    Args:
        limits: how much policy would judge at all; of more, none leaves.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = Lock()
        self._kept: list[tuple[Write, Any]] = []
        self._nodes = 0
        self._load = _Load()
        self._open = True

    def writer(self, write: Write) -> Write:
        """What the tool is given in place of a stream's writer.

        Args:
            write: writes into the stream.
        """

        def keep(event: Any) -> None:
            # What cannot be judged never leaves; what could be changed after it was judged is copied.
            try:
                nodes = check_size(event)
                kept = copy.deepcopy(event)
                surface = _read([kept], self._limits.segments)
                load = _Load.of(surface)
            except Exception:  # noqa: BLE001 -- what cannot be read or copied cannot be judged
                return
            if surface.uninspected:
                return
            with self._lock:
                if not self._open:
                    return
                self._kept.append((write, kept))
                self._nodes += nodes
                self._load += load
                if self._nodes > self._limits.nodes or not self._load.within(self._limits):
                    self._open = False
                    self._kept = []

        return keep

    def within(self, config: Any) -> Any:
        """A config of which the tool, and a graph in it, gets such a writer."""
        told = (config or {}).get("configurable") or {}
        runtime = told.get(_RUNTIME)
        if not is_dataclass(runtime) or not callable(getattr(runtime, "stream_writer", None)):
            return config
        return {**config, "configurable": {**told, _RUNTIME: self.within_runtime(runtime)}}

    def within_runtime(self, runtime: Any) -> Any:
        """LangGraph's `Runtime` or `ToolRuntime` with such a writer."""
        return replace(runtime, stream_writer=self.writer(runtime.stream_writer))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let `get_stream_writer` give out such a writer inside."""
        token = var_child_runnable_config.set(self.within(var_child_runnable_config.get()))
        try:
            yield
        finally:
            var_child_runnable_config.reset(token)

    def events(self, beside: Output) -> dict[str, Any] | None:
        """The events as they are judged, and their text joined: whoever reads them joins the pieces.

        Nothing is held any more after this, and what cannot be judged never leaves.

        Args:
            beside: what the tool gave back: events that are too many beside it do not take it along.
        """
        with self._lock:
            self._open = False
            events = [event for _, event in self._kept]
        if not events:
            return None
        try:
            joined = _joined(_read(events, self._limits.segments))
            load = _Load.of(read_output(beside, self._limits.segments)) + self._load
        except Exception:  # noqa: BLE001 -- what cannot be read cannot be judged
            joined, load = [], _Load(self._limits.segments + 1)
        for text in joined:
            load += _Load(1, len(text.encode()) + _ROLE)
        if not load.within(self._limits):
            self._kept = []
            return None
        return {"events": events, "joined": joined}

    def give_out(self, judged: Any) -> None:
        """Write what policy left of the events.

        Args:
            judged: `events`, as policy changed it.
        """
        if judged is None:
            return
        events = judged["events"]
        try:
            joined = _joined(_read(events, self._limits.segments))
        except Exception:  # noqa: BLE001 -- as above
            return
        if [*filter(None, joined)] != [*filter(None, judged["joined"])]:
            return  # something to be redacted stands across events, and so in none of them
        for (write, _), event in zip(self._kept, events, strict=True):
            write(event)


@dataclass(frozen=True, slots=True)
class _Load:
    """How much there is to be judged.

    Args:
        pieces: of text.
        size: of them all, in bytes of UTF-8, with their roles.
    """

    pieces: int = 0
    size: int = 0

    @classmethod
    def of(cls, surface: Surface) -> _Load:
        """What a surface comes to.

        Raises:
            UnicodeEncodeError: a piece is no strict text.
        """
        segments = surface.segments
        return cls(len(segments), sum(len(one.text.encode()) + len(one.role) for one in segments))

    def __add__(self, more: _Load) -> _Load:
        return _Load(self.pieces + more.pieces, self.size + more.size)

    def within(self, limits: Limits) -> bool:
        """Whether policy would judge it."""
        return self.pieces <= limits.segments and self.size <= limits.text


def _read(events: list[Any], most: int) -> Surface:
    return read_output(Output(None, streamed=events), most)


def _joined(surface: Surface) -> list[str]:
    """The text of each field of several events in one, and that of all of them: a reader may join either."""
    fields: dict[Path, list[str]] = {}
    for segment in surface.segments:
        fields.setdefault(segment.path[_INSIDE:], []).append(segment.text)
    everything = [[segment.text for segment in surface.segments]] if len(fields) > 1 else []
    return ["".join(texts) for texts in (*everything, *fields.values()) if len(texts) > 1]
