"""Identifiers that sort by time, and the one that joins the stages of a call."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Final

from .vocabulary import AccessRequest

__all__ = ["new_id", "with_call_id"]

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits."""
    digits = ((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10)).hex()
    variant = _VARIANT[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def with_call_id(request: AccessRequest) -> AccessRequest:
    """The request with a call id: the host's, or else a new one."""
    return request if request.call_id else replace(request, call_id=new_id())
