"""What a call tries next when a model fails: LiteLLM's fallbacks, each of them judged in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import litellm
from litellm.exceptions import ContextWindowExceededError

__all__ = ["Targets"]


class Targets:
    """The tries of one call, in their order.

    Args:
        data: the call's parameters, with `fallbacks` and `context_window_fallback_dict`.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.first = dict(data)
        fallbacks = self.first.pop("fallbacks", None)
        longer = self.first.pop("context_window_fallback_dict", None)
        self._fallbacks = list(fallbacks) if isinstance(fallbacks, list | tuple) else fallbacks
        self._longer = dict(longer) if isinstance(longer, Mapping) else longer

    def problem(self) -> tuple[str, str] | None:
        """Why they cannot be tried, as a reason's code and message; None if they can."""
        fallbacks = self._fallbacks or []
        if not isinstance(fallbacks, list) or not all(isinstance(one, str | Mapping) for one in fallbacks):
            return "unsupported_request.fallbacks", "fallbacks are a list of models, or of parameters"
        if any(isinstance(one, Mapping) and "fallbacks" in one for one in fallbacks):
            return "unsupported_request.fallbacks", "a fallback of a fallback is never tried"
        if self._longer and not isinstance(self._longer, dict):
            return "unsupported_request.context_window_fallback_dict", "it is no mapping of models"
        if litellm.model_fallbacks:
            return "unsupported_request.fallbacks", "`litellm.model_fallbacks` is tried without being judged"
        return None

    def after(self, failure: Exception, tried: Mapping[str, Any]) -> dict[str, Any] | None:
        """The parameters to try next, or None where nothing is left.

        Args:
            failure: how the last try ended.
            tried: its parameters, as the caller wrote them.
        """
        if isinstance(failure, ContextWindowExceededError) and self._longer:
            longer = self._longer.pop(tried.get("model"), None)
            if longer is not None:
                return {**tried, "model": longer}
        if not self._fallbacks:
            return None
        fallback = self._fallbacks.pop(0)
        return {**self.first, **(fallback if isinstance(fallback, Mapping) else {"model": fallback})}
