"""Which errors of LiteLLM's reach the caller as they are: some quote an answer that no policy has judged."""

from __future__ import annotations

from typing import Final

import httpx
import openai
from litellm.exceptions import MidStreamFallbackError

from checkrein.errors import CheckreinError

__all__ = ["AnswerWithheldError", "shown"]

# LiteLLM's errors are OpenAI's; the others are raised before an answer is there, or about the connection.
_WITHOUT_ANSWER: Final = (
    openai.OpenAIError,
    httpx.HTTPError,
    AttributeError,
    ImportError,
    NotImplementedError,
    OSError,
    TypeError,
    CheckreinError,
)
# Where LiteLLM puts what a provider said: attributes of an error, and words of its message.
_HOLDERS: Final = ("raw_response", "generated_content")
_QUOTES: Final = ("received_args", "raw_response")


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
    """The error to raise instead: itself, unless it can hold an answer."""
    if isinstance(error, MidStreamFallbackError) and error.original_exception is not None:
        return shown(error.original_exception)
    holds = any(getattr(error, name, None) for name in _HOLDERS) or any(one in str(error) for one in _QUOTES)
    if isinstance(error, _WITHOUT_ANSWER) and not holds:
        return error
    return AnswerWithheldError(type(error).__name__)
