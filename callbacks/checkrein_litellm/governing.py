"""The way of a call through the proxy: judged before it is routed, at every deployment, and at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from litellm.proxy._types import UserAPIKeyAuth
from pydantic import BaseModel

from checkrein import EnforcementPoint, Stage

from . import facts
from .asking import Asker, resource_of
from .calls import Call
from .identity import authenticated
from .requests import max_tokens_of, problem_of, text_keys, tool_names
from .surfaces import (
    Surfaces,
    answer_surfaces,
    message_segments,
    request_surfaces,
    stream_surfaces,
    text_size,
)
from .writing import write_answer, write_request

__all__ = ["STAGES", "Governor"]

STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)
"""Where the guard asks."""

_CHAT: Final = frozenset({"acompletion", "completion"})
_BEFORE: Final = frozenset({"limit_tokens", "no_store", "remove_tools", "set_parameters"})
_TEXT: Final = frozenset({"redact", "replace"})
# A stream's pieces are small and each is an object: so many are held in memory, whatever their text.
_MAX_CHUNKS: Final = 200_000


@dataclass(slots=True)
class _Held:
    """The part of a stream that has come, and the bytes of its text."""

    chunks: list[Any] = field(default_factory=list)
    size: int = 0


class Governor:
    """Judges calls at the hooks of LiteLLM, and carries out what the decisions say.

    Args:
        pep: the enforcement point.
        guardrail: this guardrail's name in the proxy's configuration.
    """

    def __init__(self, pep: EnforcementPoint, guardrail: str) -> None:
        self.asker = Asker(pep)
        self._guardrail = guardrail

    async def admit(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], call_type: str) -> None:
        """Judge a request before it is routed; writes the changes into it.

        Raises:
            CallDenied: the call must not go on.
        """
        await self.asker.safely(data, self._admit(key, data, call_type))

    async def attempt(self, kwargs: MutableMapping[str, Any], call_type: str) -> None:
        """Judge what is about to be sent to a deployment, on every try, unless it was permitted just so.

        Raises:
            CallDenied: it must not be sent.
        """
        await self.asker.safely(kwargs, self._attempt(kwargs, call_type))

    async def count(self, model: str) -> None:
        """Refuse a deployment to whoever would count tokens with it.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        data = {"model": model}
        call = self.asker.begin(None, data)
        self.asker.refuse(call, resource_of(data, "count"), "unsupported_endpoint", "a count of tokens")

    async def release(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], answer: Any) -> None:
        """Judge a whole answer; writes the changes into it.

        Raises:
            CallDenied: it must not be given out.
        """
        await self.asker.safely(data, self._release(key, data, answer))

    async def hold(
        self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], stream: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        """Hold a stream until its end, judge it, write the changes into its chunks, and give them out.

        Raises:
            CallDenied: nothing of it must be given out.
        """
        call = self._answered(key, data)
        held = _Held()
        async for chunk in stream:
            held.chunks.append(chunk)
            if not call.let_pass:
                await self.asker.safely(data, self._weigh(call, held))
            if call.let_pass:
                for one in held.chunks:
                    yield one
                held.chunks.clear()
        if held.chunks:
            await self.asker.safely(data, self._release_chunks(call, held.chunks))
        for one in held.chunks:
            yield one

    async def _admit(
        self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], call_type: str
    ) -> None:
        call = self.asker.begin(key, data)
        problem = problem_of(data, self._guardrail)
        if call_type not in _CHAT:
            problem = "unsupported_endpoint", f"`{call_type}` is no chat"
        if problem is not None:
            self.asker.refuse(call, resource_of(data, call_type), *problem)
            return
        call.keys = tuple(text_keys(data))
        await self._judge(call, facts.model_name(data["model"]), data, STAGES[:2], routable=True)

    async def _attempt(self, kwargs: MutableMapping[str, Any], call_type: str) -> None:
        call = self.asker.calls.of(kwargs) or self.asker.begin(authenticated(kwargs), kwargs)
        self.asker.stand(call)
        call.attempt += 1
        if call.let_pass:
            return
        if call_type not in _CHAT:
            # What LiteLLM calls on the way of a judged chat, such as a bridge to another endpoint, is judged.
            if not call.permitted:
                message = f"`{call_type}` is no chat"
                self.asker.refuse(call, resource_of(kwargs, call_type), "unsupported_endpoint", message)
            return
        model = facts.called_model(kwargs)
        known = model in call.permitted
        if known and call.permitted[model] == message_segments(kwargs, self._depth):
            call.model = model
            return
        await self._judge(call, model, kwargs, STAGES[1:2] if known else STAGES[:2], routable=False)

    async def _release(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], answer: Any) -> None:
        call = self._answered(key, data)
        if call.let_pass:
            return
        if not isinstance(answer, BaseModel | Mapping):
            message = f"`{type(answer).__name__}` is no answer"
            self.asker.refuse(call, resource_of(data, "answer"), "unsupported_answer", message)
            return
        await self._judge_answer(call, answer_surfaces(answer, self._depth), [answer])

    async def _weigh(self, call: Call, held: _Held) -> None:
        chunk = held.chunks[-1]
        resource = resource_of({"model": call.model}, "answer")
        if not isinstance(chunk, BaseModel | Mapping):
            message = f"`{type(chunk).__name__}` is no chunk"
            self.asker.refuse(call, resource, "unsupported_answer", message)
            return
        held.size += text_size(chunk, self._depth)
        if held.size > self.asker.pep.settings.limits.text or len(held.chunks) > _MAX_CHUNKS:
            self.asker.refuse(call, resource, "limit.text", "the stream is over the limit `limits.text`")

    async def _release_chunks(self, call: Call, chunks: Sequence[Any]) -> None:
        await self._judge_answer(call, stream_surfaces(chunks, self._depth), chunks)

    async def _judge(
        self,
        call: Call,
        model: str,
        data: MutableMapping[str, Any],
        stages: Iterable[Stage],
        *,
        routable: bool,
    ) -> None:
        # Once a deployment is chosen, no other model can be called instead.
        supports = _BEFORE | {"route"} if routable else _BEFORE
        surfaces: Surfaces | None = None
        tokens: int | None = None
        for stage in stages:
            if surfaces is None:
                keys = [key for key in call.keys if key in data]
                surfaces = request_surfaces(data, keys, self._depth)
                tokens = await facts.prompt_tokens([segment.text for segment in surfaces.segments])
            decision = await self.asker.ask(
                call,
                stage,
                model,
                surfaces,
                context=_context(call, data, tokens),
                supports=supports | _TEXT if stage.has_text else supports,
            )
            if decision.changes:
                self.asker.write(call, decision, partial(write_request, data, decision.changes, surfaces))
                model = decision.changes.model or model
                surfaces = None
        call.model = model
        call.permitted[model] = message_segments(data, self._depth)

    async def _judge_answer(self, call: Call, surfaces: Surfaces, answers: Sequence[Any]) -> None:
        tokens, finish = facts.outcome_of(answers)
        if tokens:
            self.asker.pep.settle(call.call_id, max(call.attempt, 1), tokens)
        context = {"tokens": tokens, "partial": False, **({"finish_reason": finish} if finish else {})}
        decision = await self.asker.ask(
            call, Stage.POST_COMPLETION, call.model, surfaces, context=context, supports=_TEXT
        )
        if decision.changes:
            self.asker.write(call, decision, partial(write_answer, answers, decision.changes, surfaces))

    def _answered(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any]) -> Call:
        call = self.asker.calls.of(data)
        if call is None:
            call = self.asker.begin(key, data)
            message = "it came to an answer without having been judged"
            self.asker.refuse(call, resource_of(data, "answer"), "unsupported_endpoint", message)
        return self.asker.stand(call)

    @property
    def _depth(self) -> int:
        return self.asker.pep.settings.limits.depth


def _context(call: Call, data: Mapping[str, Any], tokens: int | None) -> dict[str, Any]:
    estimated = {"prompt_tokens": tokens, "max_tokens": max_tokens_of(data)}
    context: dict[str, Any] = {
        "tools": tool_names(data),
        "estimated": {name: count for name, count in estimated.items() if count is not None},
    }
    if call.usage:
        context["usage"] = dict(call.usage)
    return context
