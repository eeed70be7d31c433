"""The input document: what every engine sees of a request (AuthZEN 1.0, extended; see the README)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from .vocabulary import AccessRequest, Finding, Stage

__all__ = ["EvaluationRequest"]


@dataclass(slots=True, kw_only=True)
class EvaluationRequest:
    """A request as engines see it: checked, with facts, encoded at most once.

    Args:
        request: what the host asked.
        document: the input document, plain JSON values; not to be changed.
        findings: what the detectors found, as in the document.
    """

    request: AccessRequest
    document: Mapping[str, Any] = field(repr=False)
    findings: tuple[Finding, ...] = ()
    _json: bytes | None = field(default=None, repr=False)

    @property
    def stage(self) -> Stage:
        """The stage of the request."""
        return self.request.stage

    def json(self) -> bytes:
        """The document as UTF-8 JSON; encoded on the first call and reused by every engine."""
        if self._json is None:
            self._json = orjson.dumps(self.document)
        return self._json
