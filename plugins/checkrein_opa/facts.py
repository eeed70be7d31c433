"""What of the input document is sent: facts, and of the text only what the settings name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from checkrein.document import EvaluationRequest

__all__ = ["Facts"]

# Keys of the context that hold facts; whatever else a host puts there could be text.
_FACTS: Final = frozenset((
    "approval", "candidates", "environment", "estimated", "findings", "finish_reason", "identity", "model",
    "operation", "partial", "released", "supported_obligations", "tokens", "tools", "uninspected", "usage",
))  # fmt: skip
# Keys of the context that hold text under one key and facts under the others.
_TEXTS: Final = {"prompt": "text", "completion": "text", "result": "text", "tool": "arguments"}


class Facts:
    """Encodes requests as OPA's data API takes them.

    Args:
        added: dotted paths below `context` that are sent besides.
    """

    def __init__(self, added: Iterable[str] = ()) -> None:
        self._added = tuple(tuple(path.split(".")[1:]) for path in added)

    def encode(self, request: EvaluationRequest) -> bytes:
        """The body of the request to OPA: `{"input": ...}`, UTF-8."""
        context = request.document["context"]
        sent: dict[str, Any] = {}
        for key, value in context.items():
            if key in _FACTS:
                sent[key] = value
            elif key in _TEXTS and isinstance(value, dict):
                hidden = _TEXTS[key]
                sent[key] = {name: one for name, one in value.items() if name != hidden}
        for path in self._added:
            _add(sent, context, path)
        return orjson.dumps({"input": {**request.document, "context": sent}})


def _add(sent: dict[str, Any], context: Mapping[str, Any], path: tuple[str, ...]) -> None:
    """Copy the value at a path, if there is one; what is shared with the document is never changed."""
    *parents, last = path
    for parent in parents:
        inner = context.get(parent)
        if not isinstance(inner, dict):
            return
        mine = sent.get(parent)
        sent[parent] = dict(mine) if isinstance(mine, dict) else {}
        context, sent = inner, sent[parent]
    if last in context:
        sent[last] = context[last]
