"""Counts the attempts at one call, where LangChain lets them be told from calls of their own.

A call is another attempt at an earlier one if the earlier one failed or was denied, was made in the same
place, for the same subject, and said the same. The place is LangGraph's task where there is one (it outlives
a retry of its node), and otherwise the run around the call: `with_retry`, `with_fallbacks` and the retries of
agents make all attempts at a call in one. It cannot be known where nothing is around the call (a loop of the
application's own), where each attempt has a run of its own (`(prompt | model).with_retry()`, no graph
around), or where the messages change: there, every attempt is the first at a new call. Only the record
depends on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables.config import RunnableConfig, var_child_runnable_config

from checkrein.enforcement import EnforcementPoint
from checkrein.ids import new_id
from checkrein.vocabulary import Entity
from checkrein_langchain.bounded_map import BoundedMap

__all__ = ["Attempt", "first_attempt", "next_attempt", "note_failure", "place_of"]

_MOST: Final = 1_000
_KEY: Final = secrets.token_bytes(32)
# LangGraph's name for the task that runs; it has no public one.
_TASK: Final = "__pregel_task_id"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt at which call.

    Args:
        call_id: the call.
        number: of the attempt, from 1.
        place: where it is made, or None where that is not known.
    """

    call_id: str
    number: int = 1
    place: str | None = None


_failed: WeakKeyDictionary[EnforcementPoint, BoundedMap[Attempt]] = WeakKeyDictionary()


def place_of(config: RunnableConfig | None = None, run_id: UUID | None = None) -> str | None:
    """Where a call is made, or None where nothing tells.

    Args:
        config: of the call, beside what the context has.
        run_id: the run around the call, where it is known.
    """
    told = [one for one in (config, var_child_runnable_config.get()) if one]
    for one in told:
        task = (one.get("configurable") or {}).get(_TASK)
        if isinstance(task, str):
            return task
    for one in told:
        callbacks = one.get("callbacks")
        if run_id is None and isinstance(callbacks, BaseCallbackManager):
            run_id = callbacks.parent_run_id
    return None if run_id is None else str(run_id)


def first_attempt() -> Attempt:
    """The first attempt at a new call, in a place that nobody knows."""
    return Attempt(new_id())


def next_attempt(pep: EnforcementPoint, place: str | None, subject: Entity, texts: Iterable[str]) -> Attempt:
    """The attempt that a call is.

    Args:
        pep: decides about it.
        place: where it is made.
        subject: for whom it is made.
        texts: what it says; not read unless something has failed lately.
    """
    failed = _failed.get(pep)
    if failed and place is not None:
        before = failed.pop(_key(place, subject, texts))
        if before is not None:
            return Attempt(before.call_id, before.number + 1, place)
    return Attempt(new_id(), 1, place)


def note_failure(pep: EnforcementPoint, attempt: Attempt, subject: Entity, texts: Iterable[str]) -> None:
    """Remember that an attempt failed.

    Args:
        pep: decides about it.
        attempt: that failed.
        subject: for whom it was made.
        texts: what it said.
    """
    if attempt.place is not None:
        failed = _failed.setdefault(pep, BoundedMap(_MOST))
        failed.keep(_key(attempt.place, subject, texts), attempt)


def _key(place: str, subject: Entity, texts: Iterable[str]) -> int:
    digest = blake2b(key=_KEY, digest_size=16)
    for text in (place, subject.type, subject.id, *texts):
        told: Any = text.encode("utf-8", "surrogatepass")
        digest.update(len(told).to_bytes(8))
        digest.update(told)
    return int.from_bytes(digest.digest())
