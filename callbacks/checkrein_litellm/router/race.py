"""Several models of a router at once, of which the fastest answers: LiteLLM drops why none of them did."""

from __future__ import annotations

from typing import Any

from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.router import Router

from checkrein_litellm.denial import CallDenied
from checkrein_litellm.sdk.answer_stream import HeldStream

__all__ = ["Race"]


class Race:
    """A router as LiteLLM's race sees it: its calls, and what it was told of those that were denied.

    Args:
        router: makes the calls.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._denied: list[CallDenied] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
        """Let one model take part.

        Raises:
            CallDenied: it must not.
        """
        try:
            answer = await self._router.acompletion(*args, **kwargs)
        except CallDenied as denial:
            self._denied.append(denial)
            raise
        return _Started(answer) if isinstance(answer, HeldStream) else answer

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """The answer of the fastest.

        Raises:
            CallDenied: none answered, and one was denied: the first of those.
        """
        race: Any = Router.abatch_completion_fastest_response
        try:
            won = await race(self, *args, **kwargs)
        except Exception:
            if not self._denied:
                raise
        else:
            return won.held if isinstance(won, _Started) else won
        raise CallDenied(self._denied[0].decision)


class _Started(CustomStreamWrapper):
    """A held stream while it races: LiteLLM lets no stream but its own win."""

    def __init__(self, held: HeldStream) -> None:
        self.held = held
        self._hidden_params = {}
