"""Tells a run of its decisions: outcomes, codes and ids, and nothing of what they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import Any, Final
from weakref import WeakSet, ref

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint

__all__ = ["Note", "Notes", "joined", "listening"]

Note = dict[str, Any]

# A conversation may go on for years; older decisions are in the decision log.
_MOST: Final = 1000
_listeners: ContextVar[Mapping[EnforcementPoint, Callable[[Decision], None]]] = ContextVar(
    "checkrein_langchain_listeners", default=MappingProxyType({})
)
_heard: WeakSet[EnforcementPoint] = WeakSet()
_lock = Lock()


class Notes:
    """The decisions of one step of a run.

    Args:
        write: writes an event into the run's stream, or None where there is no stream.
    """

    def __init__(self, write: Callable[[Any], None] | None) -> None:
        self.taken: list[Note] = []
        self.decisions: list[Decision] = []
        self._write = write

    def tell(self, decision: Decision) -> None:
        """Take a decision of ours down, and tell the stream."""
        self.decisions.append(decision)
        self.mention(decision)

    def mention(self, decision: Decision) -> None:
        """Take down a decision of whoever it is, and tell the stream."""
        note = {
            "stage": decision.request.stage.value,
            "decision_id": decision.decision_id,
            "permitted": decision.permitted,
            "codes": [reason.code for reason in decision.reasons],
        }
        self.taken.append(note)
        if self._write is not None:
            # Who listens to a stream does not decide whether the call goes on.
            with suppress(Exception):
                self._write({"type": "policy_decision", **note})


def joined(before: Sequence[Note] | None, more: Sequence[Note] | None) -> list[Note]:
    """What LangGraph makes of decisions that several steps note: all of them, the newest last."""
    return [*(before or ()), *(more or ())][-_MOST:]


@contextmanager
def listening(pep: EnforcementPoint, tell: Callable[[Decision], None]) -> Iterator[None]:
    """Hear of every decision of this context, also of threads and tasks that are started inside.

    Args:
        pep: whose decisions.
        tell: is handed them.
    """
    with _lock:
        if pep not in _heard:
            pep.subscribe(partial(_hear, ref(pep)))
            _heard.add(pep)
    token = _listeners.set({**_listeners.get(), pep: tell})
    try:
        yield
    finally:
        _listeners.reset(token)


def _hear(whose: ref[EnforcementPoint], decision: Decision) -> None:
    pep = whose()
    tell = _listeners.get().get(pep) if pep is not None else None
    if tell is not None:
        tell(decision)
