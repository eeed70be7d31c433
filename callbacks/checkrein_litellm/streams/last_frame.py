"""The last frame of a stream that is denied when some of it has left: an error in its endpoint's shape."""

from __future__ import annotations

from typing import Any

from checkrein_litellm.denial import CallDenied

from .sse import DONE, frame

__all__ = ["denial_frame"]


def denial_frame(denial: CallDenied, path: str, number: int) -> bytes:
    """What a client reads last.

    Every shape has an object `error`, by which the clients of OpenAI, Anthropic and Google know one; in it
    `provider_specific_fields` names the decision.

    Args:
        denial: what is told.
        path: the endpoint's address.
        number: how many frames have left, for an API that numbers them.
    """
    specific = denial.provider_specific_fields
    error: dict[str, Any] = {"message": denial.message, "provider_specific_fields": specific}
    if "/messages" in path:
        return frame({"type": "error", "error": {"type": "permission_error", **error}}, "error")
    error = {**error, "type": denial.type, "param": None, "code": str(denial.status_code)}
    if path.endswith(":streamGenerateContent"):
        return frame({"error": {**error, "code": denial.status_code, "status": "PERMISSION_DENIED"}})
    if "/responses" in path:
        told = {"code": denial.type, "message": denial.message, "param": None, "sequence_number": number}
        return frame({"type": "error", "error": error, **told}, "error") + frame(DONE)
    return frame({"error": error}) + frame(DONE)
