"""What LiteLLM calls, and what calls LiteLLM: policy around every call of a proxy, a router or the SDK.

Its parts, each of which imports only what stands below it:

* `router`: a `litellm.Router` whose every call is governed
* `proxy` and `sdk`: the guard of a LiteLLM proxy; LiteLLM's functions in an application
* `streams`: what of a streamed answer may leave, endpoint by endpoint
* `changes`, `replies` and `steps`: policy's changes, written; what the denied read; what is waited for
* `facts` and `deployments`: what LiteLLM knows of a call, and of the deployments behind a model's name
* `text`: what requests and answers say, with the way back
* `endpoints`, `denial` and `withholding`: what is governed, and what is raised
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .denial import CallDenied
    from .proxy.guard import PolicyGuard
    from .router.router import PolicyRouter
    from .sdk.client import PolicyClient
    from .sdk.functions import (
        acompletion,
        aembedding,
        agenerate_content,
        aimage_edit,
        aimage_generation,
        amoderation,
        anthropic_messages,
        arerank,
        aresponses,
        aspeech,
        atext_completion,
        atranscription,
        completion,
        embedding,
        image_edit,
        image_generation,
        install,
        moderation,
        rerank,
        responses,
        speech,
        text_completion,
        transcription,
    )
    from .withholding import AnswerWithheldError

__all__ = [
    "AnswerWithheldError",
    "CallDenied",
    "PolicyClient",
    "PolicyGuard",
    "PolicyRouter",
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

_HOMES: Final = {
    "AnswerWithheldError": "withholding",
    "CallDenied": "denial",
    "PolicyClient": "sdk.client",
    "PolicyGuard": "proxy.guard",
    "PolicyRouter": "router.router",
}


def __getattr__(name: str) -> Any:
    # Late, because LiteLLM asks the network for prices when it is imported: `checking` forbids that first.
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'sdk.functions')}"), name)
    raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
