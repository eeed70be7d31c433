"""What the proxy sends in place of a denial, where the settings say `on_denied: reply`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from checkrein_litellm.denial import CallDenied
from checkrein_litellm.replies import takes_text
from checkrein_litellm.streams.reply import reply_stream, reply_whole
from checkrein_litellm.streams.sse import DONE, frame

__all__ = ["Reply", "ReplyForm", "form_of"]


class Reply(NamedTuple):
    """An answer over HTTP.

    Args:
        media_type: what it is.
        body: all of it.
    """

    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyForm:
    """How a call would be answered.

    Args:
        operation: what kind of call it is.
        model: the model that it names.
        streams: whether its answer is a stream.
    """

    operation: str
    model: str
    streams: bool

    def reply(self, denied: CallDenied) -> Reply | None:
        """The answer that tells of a denial; None where this kind of call has none of text."""
        data = {"model": self.model}
        if not self.streams:
            whole = reply_whole(denied, self.operation, data)
            return None if whole is None else Reply("application/json", json.dumps(whole).encode())
        chunks = reply_stream(denied, self.operation, data)
        told = [
            one if isinstance(one, bytes) else frame(one.model_dump(mode="json", exclude_none=True))
            for one in chunks
        ]
        if told and self.operation not in {"generate_content", "messages"}:
            told.append(frame(DONE))
        return Reply("text/event-stream", b"".join(told)) if told else None


def form_of(operation: str, data: Mapping[str, Any]) -> ReplyForm | None:
    """How a call would be answered in text; None where its caller could not read one.

    Args:
        operation: what kind of call it is.
        data: its parameters, as the proxy got them.
    """
    if not takes_text(data):
        return None
    model = data.get("model")
    return ReplyForm(
        operation=operation, model=model if isinstance(model, str) else "", streams=bool(data.get("stream"))
    )
