"""What is raised besides denials, and what is warned of."""

from __future__ import annotations

from langchain_core.exceptions import ModelError

from checkrein.errors import CheckreinError

__all__ = ["AnswerWithheldError", "MissingPackageError", "PolicyWarning", "withholding"]


class MissingPackageError(CheckreinError, ImportError):
    """Something needs a package besides `langchain-core`.

    Args:
        wanted: what was asked for.
        package: what it needs.
    """

    def __init__(self, wanted: str, package: str) -> None:
        super().__init__(f"`{wanted}` needs the package `{package}`; run: pip install {package}")
        self.wanted = wanted
        self.package = package

    def __reduce__(self) -> tuple[type[MissingPackageError], tuple[str, str]]:
        return type(self), (self.wanted, self.package)


class PolicyWarning(UserWarning):
    """Something is set up in a way that can pass by the policy."""


class AnswerWithheldError(CheckreinError, ModelError):
    """The model raised an error that can hold an answer which no policy has judged; its type is named."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"`{kind}` was raised while the model's answer was read; its text is withheld, because it can "
            "hold an answer that no policy has judged; call the model without `guard` to see it"
        )
        self.kind = kind

    def __reduce__(self) -> tuple[type[AnswerWithheldError], tuple[str]]:
        return type(self), (self.kind,)


# Raised before an answer is there, or about the connection.
_WITHOUT_ANSWER = (AttributeError, ImportError, ModelError, NotImplementedError, OSError, TypeError)


def withholding(error: Exception) -> Exception:
    """The error to raise instead: itself, unless it can hold an answer.

    Errors of parsing quote what they could not parse, and LangChain puts the whole response of an error into
    traces. HTTP errors and errors of the connection hold none.
    """
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    answered = getattr(response, "status_code", status)
    if isinstance(answered, int):
        refused = answered >= 400  # noqa: PLR2004 -- HTTP: an error, so its body is no answer
        return error if refused else AnswerWithheldError(type(error).__name__)
    # Looked up, not read: httpx raises where a request is missing.
    of_connection = "request" in vars(error) or hasattr(type(error), "request")
    if response is None and (isinstance(error, _WITHOUT_ANSWER) or of_connection):
        return error
    return AnswerWithheldError(type(error).__name__)
