"""Remembers in a run of LangChain's fallbacks that one of the tries was denied, and not merely failed.

`with_fallbacks` takes a denial for a reason to go on, whatever it was called on: a guarded model, what was
bound to it, a chain around it. Nothing but the run itself tells that the next model is asked because of a
denial.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables.config import RunnableConfig, var_child_runnable_config

import checkrein
from checkrein.decision import Decision

__all__ = ["FallbackRun", "fallback_run_around", "note_denial"]

_LONGEST_CHAIN: Final = 16


class FallbackRun(BaseCallbackHandler):
    """Hears of everything inside one run of fallbacks.

    Args:
        around: the run of fallbacks around this one, or None.
    """

    def __init__(self, around: FallbackRun | None = None) -> None:
        self.denied: Decision | None = None
        self._around = around
        self._run_id: UUID | None = None
        self._inside: set[UUID] = set()

    def is_run(self, run_id: UUID | None) -> bool:
        """Whether it is the run of the fallbacks itself, so that what is called in it is a try."""
        return run_id is not None and run_id == self._run_id

    def denial(self) -> Decision | None:
        """The denial because of which a model would be asked now, or None."""
        around = self._around.denial() if self._around is not None else None
        return self.denied or around

    def on_chain_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Learn the run, then all runs inside."""
        if self._run_id is None:
            self._run_id = run_id
        else:
            self._inside.add(run_id)

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        """Take down that a try was denied; what ends inside a try, the try may still make good."""
        if run_id == self._run_id:
            if self._around is not None:
                self._around.on_chain_error(error, run_id=run_id, parent_run_id=parent_run_id)
        elif parent_run_id not in self._inside:
            self.denied = _denial_in(error) or self.denied

    on_llm_error = on_chain_error
    on_retriever_error = on_chain_error
    on_tool_error = on_chain_error


def fallback_run_around(config: RunnableConfig | None = None) -> FallbackRun | None:
    """The run of fallbacks in which something is called.

    Args:
        config: of the call, beside what the context has.
    """
    for one in (config, var_child_runnable_config.get()):
        callbacks = one.get("callbacks") if one else None
        if isinstance(callbacks, BaseCallbackManager):
            for handler in reversed(callbacks.handlers):
                if isinstance(handler, FallbackRun):
                    return handler
    return None


def note_denial(denied: Exception, config: RunnableConfig | None = None) -> None:
    """Take down that a call is denied before it has a run of its own.

    Args:
        denied: what is raised; anything but a denial is not taken down.
        config: of the call, beside what the context has.
    """
    decision = _denial_in(denied)
    if decision is None:
        return
    for one in (config, var_child_runnable_config.get()):
        callbacks = one.get("callbacks") if one else None
        if isinstance(callbacks, BaseCallbackManager):
            for handler in callbacks.handlers:
                if isinstance(handler, FallbackRun) and handler.is_run(callbacks.parent_run_id):
                    handler.denied = decision


def _denial_in(error: BaseException) -> Decision | None:
    """The denial that an error is, or was raised from."""
    one: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if isinstance(one, checkrein.PolicyDenied):
            return one.decision
        if one is None:
            return None
        one = one.__cause__
    return None
