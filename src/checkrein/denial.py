"""What a client can read of a denial, whichever library told it: the decision id and the reasons."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from .errors import PolicyDenied

__all__ = ["DECISION_ID_HEADER", "Denial", "denial_from"]

DECISION_ID_HEADER: Final = "x-checkrein-decision-id"
"""Response header of a host that is a server: the decision that the answer stands for."""

_DENIED: Final = "policy_denied"
# The status of a stream was sent before its denial.
_STATUSES: Final = (200, 403, None)
# A message ends with the id unless the settings' catalogue says otherwise, and begins with the code.
_MESSAGE: Final = re.compile(r"denied by policy: ([\w.\-]{1,200}) ")
_DECISION_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_CHAIN: Final = 16
_MAX_BODY: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A denial as a client sees it.

    Args:
        decision_id: what to quote to whoever reads the decision log (UUIDv7).
        stage: where in the call it was denied; empty where the API has no place for it.
        reasons: the reasons' codes; empty where neither the API nor the message tells.
        message: what the caller was told.
    """

    decision_id: str
    stage: str = ""
    reasons: tuple[str, ...] = ()
    message: str = ""

    @property
    def code(self) -> str | None:
        """The first reason's code, or None where none is told."""
        return self.reasons[0] if self.reasons else None


def denial_from(error: BaseException) -> Denial | None:
    """Read a denial out of an exception: our own, or what a client library made of a server's answer.

    It knows `PolicyDenied`, whatever has a `response` with a status and headers as `openai`, `anthropic` and
    `httpx` do, and whatever has such a `body`; and it looks behind an exception for what it was raised from.

    Args:
        error: what was caught.

    Returns:
        The denial, or None: it is another error.
    """
    for one in _chain(error):
        if isinstance(one, PolicyDenied):
            decision = one.decision
            return Denial(
                decision_id=decision.decision_id,
                stage=decision.request.stage.value,
                reasons=tuple(reason.code for reason in decision.reasons),
                message=decision.message,
            )
        found = _from_answer(one)
        if found is not None:
            return found
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen and len(seen) < _MAX_CHAIN:
        yield one
        seen.append(one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _from_answer(error: BaseException) -> Denial | None:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status_code", None)
    if status not in _STATUSES:
        return None
    told = _error_of(getattr(error, "body", None)) or _error_of(_body_of(response))
    specific = told.get("provider_specific_fields")
    details = specific if isinstance(specific, Mapping) else {}
    message = told.get("message")
    message = message if isinstance(message, str) else ""
    headers: Any = getattr(response, "headers", None)
    named = headers.get(DECISION_ID_HEADER) if hasattr(headers, "get") else None
    # Some APIs have no place for our type. The header alone says nothing: what was permitted has one, too.
    known = told.get("type") == _DENIED or bool(details.get("decision_id"))
    if not known and not (isinstance(named, str) and named and named in message):
        return None
    decision_id = details.get("decision_id") or named or _first(_DECISION_ID, message)
    if not isinstance(decision_id, str) or not _DECISION_ID.fullmatch(decision_id):
        return None
    stage, reasons = details.get("stage"), details.get("reasons")
    codes = [code for code in reasons if isinstance(code, str)] if isinstance(reasons, list) else []
    matched = _MESSAGE.match(message)
    if not codes and matched:
        codes = [matched.group(1)]
    return Denial(
        decision_id=decision_id,
        stage=stage if isinstance(stage, str) else "",
        reasons=tuple(codes),
        message=message,
    )


def _error_of(body: Any) -> Mapping[str, Any]:
    """The error in a body: `openai` hands over what stands under `error`, others all of it."""
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error")
    return inner if isinstance(inner, Mapping) else body


def _body_of(response: Any) -> Any:
    try:
        content = response.content
        return json.loads(content) if len(content) <= _MAX_BODY else None
    except Exception:  # noqa: BLE001 -- a stream that was not read, a body that is no JSON: nothing is told there
        return None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found.group() if found else None
