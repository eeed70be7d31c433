"""LiteLLM's functions, governed, as an application imports them: `from checkrein_litellm import completion`.

Policy is what `install` was given; otherwise the settings that `CHECKREIN_CONFIG` names, read at the first
call.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, Final

from checkrein import EnforcementPoint

from .client import PolicyClient

__all__ = [
    "acompletion",
    "aembedding",
    "agenerate_content",
    "aimage_edit",
    "aimage_generation",
    "amoderation",
    "anthropic_messages",
    "arerank",
    "aresponses",
    "aspeech",
    "atext_completion",
    "atranscription",
    "completion",
    "embedding",
    "image_edit",
    "image_generation",
    "install",
    "moderation",
    "rerank",
    "responses",
    "speech",
    "text_completion",
    "transcription",
]

_lock: Final = Lock()
_installed: list[PolicyClient] = []


def install(client: PolicyClient | EnforcementPoint | None) -> None:
    """Say who governs this module's functions.

    Args:
        client: a client, or what decides; None forgets it, and the next call reads the settings anew.
    """
    if isinstance(client, EnforcementPoint):
        client = PolicyClient(client)
    if client is not None and not isinstance(client, PolicyClient):
        raise TypeError(f"`{type(client).__name__}` governs nothing; pass a `PolicyClient`")
    with _lock:
        _installed[:] = [] if client is None else [client]


def _client() -> PolicyClient:
    with _lock:
        if not _installed:
            _installed.append(PolicyClient(EnforcementPoint.from_settings()))
        return _installed[0]


async def acompletion(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.acompletion`, governed."""
    return await _client().acompletion(*args, **kwargs)


async def aembedding(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.aembedding`, governed."""
    return await _client().aembedding(*args, **kwargs)


async def agenerate_content(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.agenerate_content`, governed."""
    return await _client().agenerate_content(*args, **kwargs)


async def aimage_edit(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.aimage_edit`, governed."""
    return await _client().aimage_edit(*args, **kwargs)


async def aimage_generation(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.aimage_generation`, governed."""
    return await _client().aimage_generation(*args, **kwargs)


async def amoderation(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.amoderation`, governed."""
    return await _client().amoderation(*args, **kwargs)


async def anthropic_messages(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.anthropic_messages`, governed."""
    return await _client().anthropic_messages(*args, **kwargs)


async def arerank(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.arerank`, governed."""
    return await _client().arerank(*args, **kwargs)


async def aresponses(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.aresponses`, governed."""
    return await _client().aresponses(*args, **kwargs)


async def aspeech(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.aspeech`, governed."""
    return await _client().aspeech(*args, **kwargs)


async def atext_completion(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.atext_completion`, governed."""
    return await _client().atext_completion(*args, **kwargs)


async def atranscription(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.atranscription`, governed."""
    return await _client().atranscription(*args, **kwargs)


def completion(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.completion`, governed."""
    return _client().completion(*args, **kwargs)


def embedding(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.embedding`, governed."""
    return _client().embedding(*args, **kwargs)


def image_edit(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.image_edit`, governed."""
    return _client().image_edit(*args, **kwargs)


def image_generation(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.image_generation`, governed."""
    return _client().image_generation(*args, **kwargs)


def moderation(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.moderation`, governed."""
    return _client().moderation(*args, **kwargs)


def rerank(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.rerank`, governed."""
    return _client().rerank(*args, **kwargs)


def responses(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.responses`, governed."""
    return _client().responses(*args, **kwargs)


def speech(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.speech`, governed."""
    return _client().speech(*args, **kwargs)


def text_completion(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.text_completion`, governed."""
    return _client().text_completion(*args, **kwargs)


def transcription(*args: Any, **kwargs: Any) -> Any:
    """As `litellm.transcription`, governed."""
    return _client().transcription(*args, **kwargs)
