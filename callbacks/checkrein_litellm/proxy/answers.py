"""Judges the answers of calls: whose they are, what of them may be given out."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

from litellm.proxy._types import UserAPIKeyAuth
from pydantic import BaseModel

from checkrein import Stage
from checkrein_litellm import facts
from checkrein_litellm.changes import write_answer
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.endpoints import UNNAMED
from checkrein_litellm.text.surfaces import Surfaces, answer_surfaces

from .asked import TEXT_CHANGES
from .asker import Asker, resource_of
from .calls import Call
from .late import late_call

__all__ = ["Answers"]


class Answers:
    """The answers of the calls under way.

    Args:
        asker: puts the questions.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def answered(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any]) -> Call:
        """The call that an answer belongs to.

        Raises:
            CallDenied: nobody judged it, or it was denied before.
        """
        call = self._asker.calls.of(data) or late_call()
        if call is None:
            call = self._asker.begin(key, data, UNNAMED)
            message = "it came to an answer without having been judged"
            self._asker.refuse(call, resource_of(data, "answer"), "unsupported_endpoint", message)
        return self._asker.stand(call)

    async def release(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], answer: Any) -> None:
        """Judge a whole answer; writes the changes into it.

        Raises:
            CallDenied: it must not be given out.
        """
        call = self.answered(key, data)
        if call.let_pass or not call.endpoint.answers:
            return
        # The first of several to answer tells which deployment it is; otherwise each answers in its place.
        answers = answer if call.models and isinstance(answer, list) else [answer]
        models = call.models if answers is answer else [facts.answering_model(answer) or call.model]
        for one, model in zip(answers, models if call.models else [call.model], strict=True):
            if isinstance(one, CallDenied):
                raise one
            if not isinstance(one, BaseModel | Mapping):
                message = f"`{type(one).__name__}` is no answer"
                self._asker.refuse(call, resource_of(data, "answer"), "unsupported_answer", message)
                return
            call.model = model
            limits = self._asker.pep.settings.limits
            surfaces = answer_surfaces(one, limits.depth, call.said, nodes=limits.nodes)
            await self._judge(call, surfaces, [one])

    async def _judge(self, call: Call, surfaces: Surfaces, answers: Sequence[Any]) -> None:
        tokens, finish = facts.outcome_of(answers)
        if tokens:
            self._asker.pep.settle(call.call_id, max(call.attempt, 1), tokens)
        context = {"tokens": tokens, "partial": False, **({"finish_reason": finish} if finish else {})}
        known = call.deployment is not None and call.deployment.id == call.model
        answering = call.deployment if call.deployment is not None and known else call.model
        decision = await self._asker.ask(
            call, Stage.POST_COMPLETION, answering, surfaces, context=context, supports=TEXT_CHANGES
        )
        if decision.changes:
            self._asker.write(call, decision, partial(write_answer, answers, decision.changes, surfaces))
