"""Which errors of LiteLLM's reach the caller as they are: some quote an answer that no policy has judged."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterator
from typing import Any, Final

import httpx
import openai
from fastapi import HTTPException
from litellm.exceptions import BudgetExceededError, MidStreamFallbackError
from litellm.types.router import RouterRateLimitError

from checkrein.errors import CheckreinError

__all__ = ["AnswerWithheldError", "shown", "shown_to_client", "withheld_from"]

_REFUSED: Final = 400
_FAILED: Final = 500
_MOST: Final = 600
_BAD_GATEWAY: Final = 502
_FAILED_MODEL: Final = 424
# What a provider's HTTP status says: the request was refused, or something went wrong.
_HTTP_ERRORS: Final = frozenset(range(_REFUSED, _MOST))
# By 424 Bedrock tells that a model failed while it spoke.
_REFUSALS: Final = frozenset(range(_REFUSED, _FAILED)) - {_FAILED_MODEL}
_TRANSPORT: Final = (CancelledError, OSError, httpx.TransportError, openai.APIConnectionError)
_TRANSPORT_PACKAGES: Final = ("aiohttp", "anyio", "h11", "h2", "httpcore", "ssl")
# Raised before anything is sent, if nothing that came back has led to it.
_BEFORE: Final = (
    BudgetExceededError,
    CheckreinError,
    RouterRateLimitError,
    openai.AuthenticationError,
    openai.BadRequestError,
    openai.NotFoundError,
)
# A caller's mistake where they are raised as they are; LiteLLM's, over an answer, where it raises another.
_MISTAKES: Final = (AttributeError, ImportError, NotImplementedError, TypeError)
# Where LiteLLM puts what a provider said: attributes of an error, and the words before it in its message.
_HOLDERS: Final = ("generated_content", "raw_response")
_QUOTES: Final = (
    "also failed:",
    "doing the fallback",
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
# LiteLLM's adapter of Google's API says this, and then what led to it.
_ADAPTED: Final = "Error calling litellm.acompletion for generate_content: "
_LONGEST_CHAIN: Final = 16


class AnswerWithheldError(CheckreinError):
    """LiteLLM raised an error that can hold an answer which no policy has judged.

    Args:
        kind: its type.
        status_code: its HTTP status, 400 to 599.
    """

    def __init__(self, kind: str, status_code: int = _BAD_GATEWAY) -> None:
        super().__init__(
            f"`{kind}` was raised for a call that was sent; its text is withheld, because it can hold an "
            "answer that no policy has judged; call LiteLLM itself to see it"
        )
        self.kind = kind
        self.status_code = status_code

    def __reduce__(self) -> tuple[type[AnswerWithheldError], tuple[str, int]]:
        return type(self), (self.kind, self.status_code)


def shown(error: Exception, statuses: frozenset[int] = _HTTP_ERRORS) -> Exception:
    """The error to raise instead: itself, unless it can hold an answer.

    A provider's refusal holds none, nor does a connection that broke or a call that was never sent.

    Args:
        error: what LiteLLM raised.
        statuses: the HTTP statuses of a provider that tell that what it said is no answer.
    """
    if isinstance(error, MidStreamFallbackError) and error.original_exception is not None:
        return shown(error.original_exception, statuses)
    behind = _behind(error)
    if behind is not None:
        told = shown(behind, statuses)
        return error if told is behind else told
    chain = list(_chain(error))
    held = len(chain) == _LONGEST_CHAIN or any(_quotes(one) for one in chain)
    if not held and (isinstance(error, _MISTAKES) or all(_holds_none(one, statuses) for one in chain)):
        return error
    status = getattr(error, "status_code", None)
    failed = status if isinstance(status, int) and status in _HTTP_ERRORS else _BAD_GATEWAY
    return AnswerWithheldError(type(error).__name__, failed)


def shown_to_client(error: Exception) -> Exception:
    """As `shown`, for a client of a proxy.

    What a provider says where it failed is for the code that called it, which may retry: a model can have
    spoken before.
    """
    return shown(error, _REFUSALS)


def withheld_from(error: Exception) -> HTTPException | None:
    """What a client of a proxy is told instead, with the error's status; None if the error may be told."""
    told = shown_to_client(error)
    return HTTPException(told.status_code, str(told)) if isinstance(told, AnswerWithheldError) else None


def _behind(error: BaseException) -> Exception | None:
    """The error that an adapter of LiteLLM's repeats, word for word; None where there is none."""
    origins = _direct_origins(error)
    behind = origins[0].__context__ if origins else None
    repeated = all(str(one) == f"{_ADAPTED}{behind}" for one in origins)
    return behind if isinstance(behind, Exception) and repeated else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it: what somebody prints who prints a traceback."""
    waiting: list[BaseException] = [error]
    seen: list[BaseException] = []
    while waiting and len(seen) < _LONGEST_CHAIN:
        one = waiting.pop()
        if one in seen:
            continue
        seen.append(one)
        yield one
        waiting += _direct_origins(one)


def _direct_origins(error: BaseException) -> list[BaseException]:
    return [one for one in (error.__cause__, error.__context__) if one is not None]


def _origins(error: BaseException) -> Iterator[BaseException]:
    """What led to an error, past what LiteLLM puts in between where a stream breaks."""
    for one in _direct_origins(error):
        if isinstance(one, MidStreamFallbackError):
            yield from _direct_origins(one)
        else:
            yield one


def _quotes(error: BaseException) -> bool:
    told = str(error).lower()
    return any(getattr(error, name, None) for name in _HOLDERS) or any(one in told for one in _QUOTES)


def _holds_none(error: BaseException, statuses: frozenset[int]) -> bool:
    """Whether its own words are known to be no answer."""
    if _is_http(error):
        return _status(error) in statuses
    if _is_transport(error) or _repeats_transport(error):
        return True
    if isinstance(error, _BEFORE) and not _is_providers(error):
        return True
    # LiteLLM raises its own where HTTP fails and where an answer cannot be read: what led to it tells.
    return _is_litellms(error) and any(
        _is_http(one) or _is_transport(one) or _is_providers(one) for one in _origins(error)
    )


def _repeats_transport(error: BaseException) -> bool:
    """Whether it says what LiteLLM says of a connection, word for word, in a class of a provider."""
    origins = _direct_origins(error)
    return bool(origins) and all(
        str(one) == str(error) and _is_litellms(one) and any(map(_is_transport, _direct_origins(one)))
        for one in origins
    )


def _status(error: BaseException) -> Any:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_http(error: BaseException) -> bool:
    return isinstance(error, httpx.HTTPStatusError) or (
        isinstance(error, openai.APIStatusError) and not _is_litellms(error)
    )


def _is_transport(error: BaseException) -> bool:
    if type(error).__module__.partition(".")[0] in _TRANSPORT_PACKAGES:
        return True
    return isinstance(error, _TRANSPORT) and not _is_litellms(error)


def _is_litellms(error: BaseException) -> bool:
    return type(error).__module__.startswith("litellm.")


def _is_providers(error: BaseException) -> bool:
    """Whether it is of LiteLLM's code for one provider, which words what the provider said."""
    return type(error).__module__.startswith("litellm.llms.") and not _is_http(error)
