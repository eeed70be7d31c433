"""Every exception that Checkrein raises on purpose.

* CheckreinError
  x SettingsError            the settings cannot be used; nothing was started
    + MissingExtraError      a plug-in that they name is not installed
    + PolicyLoadError        a policy that they name does not load
  x RequestError             an access request that cannot be asked
  x EngineFailure            an engine has no usable answer; the outcome table concludes
  x PolicyDenied             the call is denied; carries the `Decision`

Messages are lower-case, name the offending value in backticks and say what to do next. None of them ever
holds text of a prompt or a completion.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .decision import Decision

__all__ = [
    "CheckreinError",
    "EngineFailure",
    "FailureCause",
    "MissingExtraError",
    "PolicyDenied",
    "PolicyLoadError",
    "RequestError",
    "SettingsError",
]


class CheckreinError(Exception):
    """The root of the tree: catches everything that Checkrein raises on purpose."""


class SettingsError(CheckreinError):
    """The settings cannot be used. Raised while building, never per call."""


class MissingExtraError(SettingsError):
    """The settings name a plug-in that is not installed.

    Args:
        kind: what is missing, as a reader would call it: `engine`, `detector`.
        name: its name in the settings.
        extra: the extra of this distribution that brings it, or None for a third party's plug-in.
    """

    def __init__(self, kind: str, name: str, extra: str | None = None) -> None:
        step = (
            f"run: pip install 'checkrein[{extra}]'"
            if extra
            else f"install the package that brings it (entry point group `checkrein.{kind}s`)"
        )
        super().__init__(f"{kind} `{name}` is not installed; {step}")
        self.kind = kind
        self.name = name
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str | None]]:
        return type(self), (self.kind, self.name, self.extra)


class PolicyLoadError(SettingsError):
    """A policy does not load; the message names file, line and rule where the engine tells them."""


class RequestError(CheckreinError):
    """An access request is not well-formed.

    Args:
        code: the reason code of the denial that it becomes, for instance `limit.text`.
        message: what is wrong, without any text of the request.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[RequestError], tuple[str, str]]:
        return type(self), (self.code, self.message)


class FailureCause(StrEnum):
    """Why there is no usable answer."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    ENGINE_ERROR = "engine_error"
    INVALID_ANSWER = "invalid_answer"
    REQUEST_REJECTED = "request_rejected"

    __hash__ = str.__hash__

    @property
    def is_outage(self) -> bool:
        """Whether the engine was away; nothing else can ever open."""
        return self in (FailureCause.TIMEOUT, FailureCause.UNREACHABLE)


class EngineFailure(CheckreinError):  # noqa: N818 -- an engine's third kind of answer, named so
    """Raised by an engine that has no usable answer.

    Args:
        cause: one of the five causes; only `timeout` and `unreachable` of a remote engine can ever open.
        detail: what an operator needs to mend it. It is logged: no text of a prompt or a completion.
    """

    def __init__(self, cause: FailureCause | str, detail: str) -> None:
        self.cause = FailureCause(cause)
        self.detail = detail
        super().__init__(f"{self.cause}: {detail}")

    def __reduce__(self) -> tuple[type[EngineFailure], tuple[str, str]]:
        return type(self), (str(self.cause), self.detail)


class PolicyDenied(CheckreinError):  # noqa: N818 -- a denial is an answer, not an error (AuthZEN 1.0)
    """The call is denied. Host exceptions subclass it.

    `str()` of it is what the caller may see: the reason's code, the message of the settings' catalogue
    and the decision id; never a policy-written message unless the settings say `expose: policy_message`.

    Args:
        decision: the denied decision, as it was recorded.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.message)
        self.decision = decision

    def __reduce__(self) -> tuple[type[PolicyDenied], tuple[Decision]]:
        return type(self), (self.decision,)

    @property
    def code(self) -> str:
        """The first reason's code, for instance `pii.us_ssn`."""
        return self.decision.reasons[0].code

    @property
    def decision_id(self) -> str:
        """The id to quote to whoever reads the decision log (UUIDv7)."""
        return self.decision.decision_id
