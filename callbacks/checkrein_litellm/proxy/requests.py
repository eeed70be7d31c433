"""Judges the requests of calls: what is asked about one, and what the decisions write into it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any

from checkrein import Decision, Stage
from checkrein_litellm import facts
from checkrein_litellm.changes import write_request
from checkrein_litellm.endpoints import STAGES, Endpoint
from checkrein_litellm.text.surfaces import Content, Surfaces, content_of, request_surfaces
from checkrein_litellm.text.turns import CONVERSATION

from .asked import Asked, context_of
from .asker import Asker, model_entity
from .calls import Call
from .logging_payload import log_changes
from .model_access import may_call
from .tool_headers import tool_header_texts
from .unseen import fixed_texts

__all__ = ["Requests"]


class Requests:
    """The requests of the calls under way.

    Args:
        asker: puts the questions.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def judge(
        self, call: Call, data: MutableMapping[str, Any], asked: Asked, selected: Decision | None = None
    ) -> str:
        """Ask about a request at one stage after the other; writes the changes into it.

        Args:
            call: whose it is.
            data: the request.
            asked: what is asked.
            selected: the decision that it may be called, where there is one already.

        Returns:
            The model that it may go to.

        Raises:
            CallDenied: to none.
        """
        model, endpoint = asked.model, asked.endpoint
        surfaces: Surfaces | None = None
        tokens: int | None = None
        about = asked.deployment or model_entity(model)
        for stage in asked.stages:
            if surfaces is None:
                surfaces = self.read(call, data, asked)
                tokens = await facts.prompt_tokens([segment.text for segment in surfaces.segments])
            known = selected if stage is Stage.MODEL_SELECTION else None
            decision = known or await self._asker.ask(
                call,
                stage,
                about,
                surfaces,
                context=context_of(call, data, endpoint, tokens),
                supports=asked.supports(stage),
            )
            if decision.changes:
                told = decision.changes, surfaces, endpoint
                change = partial(write_request, data, *told, storable=not call.is_record)
                self._asker.write(call, decision, change)
                if decision.enforced and decision.changes.texts:
                    log_changes(data, endpoint)
                if decision.changes.model is not None:
                    model = decision.changes.model
                    await self._authorize(call, model)
                about = asked.deployment or model_entity(model)
                surfaces = None
        call.model = model
        if surfaces is None:
            surfaces = self.read(call, data, asked)
        call.said |= {segment.text for segment in surfaces.segments}
        return model

    async def bridge(self, call: Call, kwargs: MutableMapping[str, Any], endpoint: Endpoint) -> None:
        """Judge what LiteLLM itself calls on the way of a judged call, where it says something new.

        Raises:
            CallDenied: it must not be sent.
        """
        keys = dict.fromkeys((*endpoint.content, *CONVERSATION))
        asked = [key for key in keys if key in kwargs]
        told = request_surfaces(kwargs, asked, self._depth, noted=False, nodes=self._nodes)
        if not call.said.issuperset(segment.text for segment in told.segments):
            await self.judge(call, kwargs, Asked(call.model, STAGES[1:2], endpoint, tuple(keys)))

    def read(self, call: Call, data: Mapping[str, Any], asked: Asked) -> Surfaces:
        """The texts that a provider would get of a request, or a tool server."""
        keys = [key for key in asked.keys if key in data]
        surfaces = request_surfaces(data, keys, self._depth, nodes=self._nodes)
        surfaces.add_fixed("api_key", call.own_key)
        for one in fixed_texts(call.key) if asked.endpoint.raw else ():
            surfaces.add_fixed(*one)
        for one in tool_header_texts(call.key) if _asks_servers(data) else ():
            surfaces.add_fixed(*one)
        return surfaces

    def content(self, data: Mapping[str, Any], endpoint: Endpoint) -> Content:
        """What a permission is bound to: the prompt, wherever it stands."""
        return content_of(data, endpoint.content, self._depth, nodes=self._nodes)

    async def _authorize(self, call: Call, model: str) -> None:
        """Refuse a route to a model that LiteLLM would not let the key call; monitored, it is judged on."""
        if call.key is not None and not await may_call(call.key, model):
            message = f"the key may not call `{model}`, which a policy routes to; add it to the key's models"
            self._asker.object_to(
                call, model_entity(model), "route.unauthorized", message, Stage.MODEL_SELECTION
            )

    @property
    def _depth(self) -> int:
        return self._asker.pep.settings.limits.depth

    @property
    def _nodes(self) -> int:
        return self._asker.pep.settings.limits.nodes


def _asks_servers(data: Mapping[str, Any]) -> bool:
    """Whether LiteLLM asks tool servers for their tools before the model: no hook hears of that."""
    tools = data.get("tools")
    return isinstance(tools, list) and any(
        isinstance(one, Mapping) and one.get("type") == "mcp" for one in tools
    )
