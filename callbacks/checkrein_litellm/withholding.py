"""Which errors of LiteLLM's reach the caller as they are: some quote an answer that no policy has judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpx
import openai
from fastapi import HTTPException
from litellm.exceptions import BudgetExceededError, MidStreamFallbackError
from litellm.types.router import RouterRateLimitError

from checkrein.errors import CheckreinError

__all__ = ["AnswerWithheldError", "shown", "withheld_from"]

_REFUSED: Final = 400
_BAD_GATEWAY: Final = 502
_MOST: Final = 600
_TRANSPORT: Final = (httpx.TransportError, openai.APIConnectionError, ConnectionError, TimeoutError)
# Raised before anything is sent.
_BEFORE: Final = (
    AttributeError,
    BudgetExceededError,
    CheckreinError,
    ImportError,
    NotImplementedError,
    RouterRateLimitError,
    TypeError,
    openai.AuthenticationError,
    openai.BadRequestError,
    openai.NotFoundError,
)
# Where LiteLLM puts what a provider said: attributes of an error, and the words before it in its message.
_HOLDERS: Final = ("generated_content", "raw_response")
_QUOTES: Final = (
    "error parsing",
    "failed_generation",
    "got={",
    "got unexpected",
    "input_value=",
    "original response",
    "received chunk",
    "received:",
    "received_args",
    "repeating the same chunk",
    "response:",
    "response=",
    "unexpected response",
)
_LONGEST_CHAIN: Final = 16


class AnswerWithheldError(CheckreinError):
    """LiteLLM raised an error that can hold an answer which no policy has judged; its type is named."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"`{kind}` was raised while the model's answer was read; its text is withheld, because it can "
            "hold an answer that no policy has judged; call LiteLLM itself to see it"
        )
        self.kind = kind

    def __reduce__(self) -> tuple[type[AnswerWithheldError], tuple[str]]:
        return type(self), (self.kind,)


def shown(error: Exception) -> Exception:
    """The error to raise instead: itself, unless it can hold an answer.

    A provider's refusal holds none, nor does a connection that broke or a call that was never sent.
    """
    if isinstance(error, MidStreamFallbackError) and error.original_exception is not None:
        return shown(error.original_exception)
    chain = list(_chain(error))
    if any(_quotes(one) for one in chain):
        return AnswerWithheldError(type(error).__name__)
    if isinstance(error, _BEFORE) or any(_is_refusal(one) for one in chain):
        return error
    return AnswerWithheldError(type(error).__name__)


def withheld_from(error: Exception) -> HTTPException | None:
    """What a client of a proxy is told instead, with the error's status; None if the error may be told."""
    told = shown(error)
    if not isinstance(told, AnswerWithheldError):
        return None
    status = getattr(error, "status_code", None)
    known = status if isinstance(status, int) and _REFUSED <= status < _MOST else _BAD_GATEWAY
    return HTTPException(known, str(told))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it: what somebody prints who prints a traceback."""
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting and len(seen) < _LONGEST_CHAIN:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        yield one
        waiting += [one.__cause__, one.__context__]


def _quotes(error: BaseException) -> bool:
    told = str(error).lower()
    return any(getattr(error, name, None) for name in _HOLDERS) or any(one in told for one in _QUOTES)


def _is_refusal(error: BaseException) -> bool:
    if type(error).__module__.startswith("litellm"):
        return False  # what it says of a status can be its own invention
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return isinstance(error, _TRANSPORT) or (isinstance(status, int) and status >= _REFUSED)
