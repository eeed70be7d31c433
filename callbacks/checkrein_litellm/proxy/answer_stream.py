"""The streams of the proxy: each answer held back until it is judged, in the shape of its endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from checkrein import AccessRequest, Decision, Entity, Stage
from checkrein.flow import Flow, arun
from checkrein.modes import can_stand
from checkrein.settings import Limits
from checkrein.streaming import StreamGate
from checkrein_litellm import facts
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.streams.by_operation import shape_of
from checkrein_litellm.streams.holder import EventHolder
from checkrein_litellm.streams.stopping import stop
from checkrein_litellm.withholding import shown_to_client

from .asker import Asker, resource_of
from .calls import Call

__all__ = ["held_back"]

_TEXT: Final = frozenset({"redact", "replace"})


class _Host:
    """A call of the proxy, as its stream sees it."""

    def __init__(self, asker: Asker, call: Call) -> None:
        self._asker = asker
        self._call = call
        self._model = ""
        self._windowed = False

    @property
    def let_pass(self) -> bool:
        return self._call.let_pass

    @property
    def limits(self) -> Limits:
        return self._asker.pep.settings.limits

    def gate(self) -> StreamGate:
        call = self._call
        self._model = call.model
        request = AccessRequest(
            stage=Stage.POST_COMPLETION,
            subject=call.identity.subject,
            resource=_answering(call),
            context={"operation": call.endpoint.operation, "environment": dict(call.environment)},
            supports=_TEXT,
            call_id=call.call_id,
            attempt=max(call.attempt, 1),
            identity=call.identity.facts,
        )
        gate = self._asker.pep.stream(request, exception=CallDenied)
        self._windowed = gate.mode == "window"
        return gate

    def stand(self) -> None:
        self._asker.stand(self._call)
        if self._windowed and self._call.model != self._model:
            self.refuse("unsupported_answer", "another model went on with an answer of which some has left")

    def refuse(self, code: str, message: str) -> None:
        self._asker.refuse(self._call, resource_of({"model": self._call.model}, "answer"), code, message)

    def write(self, decision: Decision, change: Callable[[], None]) -> None:
        self._asker.write(self._call, decision, change)

    def settle(self, tokens: Mapping[str, int]) -> None:
        self._asker.pep.settle(self._call.call_id, max(self._call.attempt, 1), tokens)


async def held_back(
    asker: Asker, call: Call, data: MutableMapping[str, Any], stream: AsyncIterator[Any]
) -> AsyncIterator[Any]:
    """Give out the chunks of an answer as policy lets them leave.

    Args:
        asker: puts the questions.
        call: the call.
        data: its parameters, as the hook got them.
        stream: LiteLLM's chunks.

    Raises:
        CallDenied: nothing more of it leaves.
    """
    host = _Host(asker, call)
    shape = shape_of(call.endpoint.operation, host.limits, call.said)
    if shape is None and not call.let_pass:
        host.refuse(
            "unsupported_request.stream", f"a stream of `{call.endpoint.operation}` cannot be held back"
        )
    if shape is None or call.let_pass:
        async for chunk in stream:
            yield chunk
        return
    answer = _Answer(asker, call, data, EventHolder(host, shape))
    pieces = aiter(stream)
    while not answer.ended:
        try:
            given = await answer.go_on(pieces)
        except CallDenied:
            if not answer.read:
                await stop(pieces)
            raise
        for one in given:
            yield one


def _answering(call: Call) -> Entity:
    deployment = call.deployment
    if deployment is not None and deployment.id == call.model:
        return deployment
    return Entity(type="model", id=call.model, properties=facts.model_properties(call.model))


class _Answer:
    """An answer on its way: the driver of its holder.

    Attributes:
        read: whether LiteLLM's stream has come to its end.
        ended: whether all of it has left.
    """

    def __init__(self, asker: Asker, call: Call, data: MutableMapping[str, Any], holder: EventHolder) -> None:
        self._asker = asker
        self._call = call
        self._data = data
        self._holder = holder
        self._denied: CallDenied | None = None
        self._noted: Decision | None = None
        self.read = False
        self.ended = False

    async def go_on(self, pieces: AsyncIterator[Any]) -> Sequence[Any]:
        """Take one more chunk, or the end; gives what may leave.

        Raises:
            CallDenied: nothing more of it leaves.
        """
        if self._denied is not None:
            # Anew: what led to it can hold what was denied.
            self._call.denial = self._call.last = self._denied.decision
            raise CallDenied(self._denied.decision)
        chunk = await self._next(pieces)
        given: list[Any] = []
        try:
            await self._asker.safely(self._data, self._judge(chunk, given))
            if self._call.let_pass:
                given += self._holder.rest()
        except CallDenied as error:
            self._denied = error
            self.ended = False
            given += self._holder.leftover()
        return given

    async def _judge(self, chunk: Any, given: list[Any]) -> None:
        flow: Flow[Sequence[Any]] = self._holder.finish() if self.ended else self._holder.take(chunk)
        try:
            given += await arun(flow)
        finally:
            self._note()

    def _note(self) -> None:
        decision = self._holder.decision
        if decision is not None and decision is not self._noted:
            self._noted = decision
            self._asker.note(self._call, decision)

    async def _next(self, pieces: AsyncIterator[Any]) -> Any:
        failed: Exception
        try:
            return await anext(pieces)
        except StopAsyncIteration:
            self.ended = self.read = True
            return None
        except Exception as error:
            failed = shown_to_client(error) if self._withholds else error
            if failed is error:
                raise
        raise failed

    @property
    def _withholds(self) -> bool:
        """Whether a denial of the answer could stand: what quotes it is withheld then."""
        rules = self._asker.pep.settings.enforcement
        return not self._call.let_pass and can_stand(
            rules, Stage.POST_COMPLETION, self._call.identity.subject
        )
