"""What a tool writes into the stream of its graph while it runs: held until it is judged, with the result."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from threading import Lock
from typing import Any, Final

from langchain_core.runnables.config import var_child_runnable_config

from checkrein_langchain.text.tool_outputs import Output, is_data, read_output

__all__ = ["HeldWriting"]

# Where LangGraph keeps what `get_stream_writer` gives out; it has no public name for it.
_RUNTIME: Final = "__pregel_runtime"

Write = Callable[[Any], None]


class HeldWriting:
    """The events that one use of a tool wrote; they leave when its result is judged, or never.

    Args:
        most: how many pieces of text policy would judge at all; of more, none leaves.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._kept: list[tuple[Write, Any]] = []
        self._open = True

    def writer(self, write: Write) -> Write:
        """What the tool is given in place of a stream's writer.

        Args:
            write: writes into the stream.
        """

        def keep(event: Any) -> None:
            try:
                kept = copy.deepcopy(event) if is_data(event) else None
            except Exception:  # noqa: BLE001 -- what cannot be copied could be changed after it was judged
                kept = None
            with self._lock:
                if self._open and kept is not None and len(self._kept) <= self._most:
                    self._kept.append((write, kept))

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

    def events(self) -> dict[str, Any] | None:
        """The events as they are judged, and all of their text in one: whoever reads them joins the pieces.

        Nothing is held any more after this, and what cannot be judged never leaves.
        """
        with self._lock:
            self._open = False
            events = [event for _, event in self._kept]
        texts = self._texts(events) if 0 < len(events) <= self._most else None
        if texts is None:
            self._kept = []
            return None
        return {"events": events, "joined": "".join(texts) if len(texts) > 1 else ""}

    def give_out(self, judged: Any) -> None:
        """Write what policy left of the events.

        Args:
            judged: `events`, as policy changed it.
        """
        if judged is None:
            return
        events = judged["events"]
        texts = self._texts(events)
        if texts is None or (len(texts) > 1 and "".join(texts) != judged["joined"]):
            return  # something to be redacted stands across events, and so in none of them
        for (write, _), event in zip(self._kept, events, strict=True):
            write(event)

    def _texts(self, events: list[Any]) -> list[str] | None:
        try:
            surface = read_output(Output(None, streamed=events), self._most)
        except Exception:  # noqa: BLE001 -- what cannot be read cannot be judged
            return None
        return None if surface.uninspected else [slot.segment.text for slot in surface.slots]
