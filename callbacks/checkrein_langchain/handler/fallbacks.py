"""Asks no ungoverned model in LangChain's fallbacks once a try was denied, however they were put together.

LangChain is asked for a handler wherever it configures the callbacks of a call; there, and only in a run of
fallbacks, it is given one that refuses. With an installed `PolicyCallbackHandler` it refuses nothing: that
judges every model itself.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any, Final, cast

from langchain_core.runnables import RunnableWithFallbacks
from langchain_core.tracers.context import register_configure_hook
from typing_extensions import override

from checkrein_langchain.calls.fallback_runs import FallbackRun, fallback_run_around
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.guarded_model.facade import is_guarded

from .tripwire import is_installed

__all__: list[str] = []

_HINT: Final = (
    "its fallback calls a model that no policy governs, and the denied call would go on there: pass "
    "`guard(model, pep)`, or install a `PolicyCallbackHandler`"
)
_RUNS: Final[frozenset[CodeType]] = frozenset(
    getattr(RunnableWithFallbacks, name).__code__
    for name in ("abatch", "ainvoke", "astream", "batch", "invoke", "stream")
)
# LangChain's own functions between a run and its callbacks.
_BETWEEN: Final = frozenset({"langchain_core.callbacks.manager", "langchain_core.runnables.config"})
_FARTHEST: Final = 6


class _Refusing(FallbackRun):
    """Refuses models that nobody governs, once a try was denied."""

    raise_error: bool = True

    @override
    def on_chat_model_start(self, serialized: Any, messages: Any, **_: Any) -> None:
        if not is_guarded(serialized):
            self._refuse()

    @override
    def on_llm_start(self, serialized: Any, prompts: Any, **_: Any) -> None:
        self._refuse()

    def _refuse(self) -> None:
        decision = self.denial()
        if decision is not None and not is_installed():
            raise PolicyDenied(decision, _HINT)


class _InFallbacks:
    """Stands where LangChain looks for a `ContextVar`."""

    def get(self) -> FallbackRun | None:
        """A handler for the run of fallbacks that begins, or the one of the run around, if there is any."""
        around = fallback_run_around()
        return _Refusing(around) if _begins_in(sys._getframe(1)) else around  # noqa: SLF001 -- as in `tripwire`


def _begins_in(frame: FrameType) -> bool:
    """Whether it is a run of fallbacks whose callbacks are configured."""
    one: FrameType | None = frame
    for _ in range(_FARTHEST):
        if one is None:
            return False
        # Before Python 3.12 a comprehension has a frame of its own.
        if one.f_globals.get("__name__") not in _BETWEEN and one.f_code.co_name != "<listcomp>":
            return one.f_code in _RUNS
        one = one.f_back
    return False


# Once, when the package is imported: a guarded model may be made in one process and called in a forked one.
register_configure_hook(cast("Any", _InFallbacks()), inheritable=True)
