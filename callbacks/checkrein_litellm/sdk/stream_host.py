"""The stream of a call outside of the proxy, as what holds it back sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from checkrein import Decision
from checkrein.settings import Limits
from checkrein.streaming import StreamGate
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.streams.by_operation import shape_of
from checkrein_litellm.streams.holder import EventHolder

from .passage import Passage

__all__ = ["holder_of"]

_TEXT: Final = frozenset({"redact", "replace"})


class _Host:
    """A call, as its stream sees it."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._model = passage.model
        self._windowed = False

    @property
    def let_pass(self) -> bool:
        return self._passage.let_pass

    @property
    def limits(self) -> Limits:
        return self._passage.pep.settings.limits

    def gate(self) -> StreamGate:
        passage = self._passage
        self._model = passage.model
        gate = passage.pep.stream(passage.streamed(_TEXT), exception=CallDenied)
        self._windowed = gate.mode == "window"
        return gate

    def stand(self) -> None:
        self._passage.stand()
        if self._windowed and self._passage.model != self._model:
            self.refuse("unsupported_answer", "another model went on with an answer of which some has left")

    def refuse(self, code: str, message: str) -> None:
        self._passage.refuse(self._passage.model, code, message)

    def write(self, decision: Decision, change: Callable[[], None]) -> None:
        self._passage.write(decision, change)

    def settle(self, tokens: Mapping[str, int]) -> None:
        self._passage.pep.settle(self._passage.call_id, max(self._passage.attempt, 1), tokens)


def holder_of(passage: Passage) -> EventHolder | None:
    """What holds a call's stream back, as the settings say; None where it passes unjudged.

    Raises:
        CallDenied: nobody knows how to hold it, unless the settings only monitor.
    """
    host = _Host(passage)
    shape = shape_of(passage.endpoint.operation, host.limits, passage.said)
    if shape is None and not passage.let_pass:
        operation = passage.endpoint.operation
        host.refuse("unsupported_request.stream", f"a stream of `{operation}` cannot be held back")
    return None if shape is None or passage.let_pass else EventHolder(host, shape)
