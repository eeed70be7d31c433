"""Judges the tools of MCP servers behind a proxy: their calls, their answers, their descriptions."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from copy import deepcopy
from functools import partial
from typing import Any, Final

import litellm
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.proxy._types import UserAPIKeyAuth
from litellm.types.guardrails import GuardrailEventHooks
from litellm.types.utils import GenericGuardrailAPIInputs

from checkrein import Changes, Entity, Origin, Stage
from checkrein_litellm.endpoints import Endpoint
from checkrein_litellm.text.leaves import Room, leaves
from checkrein_litellm.text.surfaces import Surfaces

from .asker import Asker
from .calls import Call
from .identity import authenticated
from .tool_headers import tool_header_texts

__all__ = ["TOOL_CALLS", "ToolResultGuard", "Tools"]

TOOL_CALLS: Final = frozenset({"call_mcp_tool", "list_mcp_tools"})
"""LiteLLM's names of what it asks its hooks about tools."""

_TOOL: Final = Endpoint(operation="tool", calls=(), content=())
_LISTING: Final = Endpoint(operation="tool_listing", calls=(), content=())
_DESCRIBING: Final = ("mcp_tool_description", "mcp_input_schema")


class Tools:
    """Asks about tools.

    Args:
        asker: puts the questions.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def admit(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], call_type: str) -> None:
        """Judge a call of a tool, or how one describes itself; writes the changes into it.

        Raises:
            CallDenied: the tool must not be called, or not be shown.
        """
        ToolResultGuard.install(self)
        judged = self._describe(key, data) if call_type == "list_mcp_tools" else self._call(key, data)
        await self._asker.safely(data, judged)

    async def release(
        self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], texts: list[str]
    ) -> list[str]:
        """Judge what a tool gave back.

        Args:
            key: what the proxy authenticated.
            data: of the call: its logging object leads to it.
            texts: what it gave back.

        Returns:
            What may be given out.

        Raises:
            CallDenied: none of it may.
        """
        box = {"content": list(texts)}
        await self._asker.safely(data, self._result(key, data, box))
        return box["content"]

    async def _call(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any]) -> None:
        call = self._asker.begin(key, data, _TOOL)
        call.tool = _tool_of(data)
        self._asker.heed_opt_out(call, call.tool)
        log = data.get("litellm_logging_obj")
        if isinstance(log, Logging):
            # All that the hook after the call gets to see.
            self._asker.calls.attach(log.model_call_details, call)
        arguments = data.get("mcp_arguments")
        box = {"arguments": deepcopy(arguments)}
        context = {"tool": {"arguments": arguments, "call_id": call.call_id}}
        await self._judge(call, Stage.TOOL_CALL, box, context=context, supports=frozenset({"redact"}))
        if box["arguments"] != arguments:
            data["mcp_arguments"] = data["modified_arguments"] = box["arguments"]

    async def _describe(self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any]) -> None:
        call = self._asker.begin(key, data, _LISTING)
        call.tool = _tool_of(data)
        self._asker.heed_opt_out(call, call.tool)
        box = {"content": {name: deepcopy(data[name]) for name in _DESCRIBING if data.get(name)}}
        await self._judge(call, Stage.TOOL_RESULT, box, context={}, supports=frozenset({"redact"}))
        data.update(box["content"])

    async def _result(
        self, key: UserAPIKeyAuth | None, data: MutableMapping[str, Any], box: dict[str, Any]
    ) -> None:
        call = self._asker.calls.of(data)
        if call is None:
            call = self._asker.begin(key or authenticated(data), data, _TOOL)
            call.tool = _tool_of(data)
            self._asker.heed_opt_out(call, call.tool)
        self._asker.stand(call)
        supports = frozenset({"redact", "replace"})
        await self._judge(call, Stage.TOOL_RESULT, box, context={}, supports=supports)

    async def _judge(
        self,
        call: Call,
        stage: Stage,
        box: dict[str, Any],
        *,
        context: Mapping[str, Any],
        supports: frozenset[str],
    ) -> None:
        if call.let_pass:
            return
        (key,) = box
        origin = Origin.ASSISTANT if stage is Stage.TOOL_CALL else Origin.TOOL
        surfaces = Surfaces()
        limits = self._asker.pep.settings.limits
        found = leaves(box, key, (key,), limits.depth, room=Room(limits.nodes))
        surfaces.read(found, "tool", origin)
        for one in tool_header_texts(call.key) if stage is Stage.TOOL_CALL else ():
            surfaces.add_fixed(*one)
        tool = call.tool or _tool_of({})
        decision = await self._asker.ask(call, stage, tool, surfaces, context=context, supports=supports)
        if decision.changes:
            self._asker.write(call, decision, partial(_write, surfaces, decision.changes))


class ToolResultGuard(CustomGuardrail):
    """What LiteLLM calls when a tool has given its answer: it asks guardrails of this interface alone.

    Args:
        tools: judges the answer.
    """

    def __init__(self, tools: Tools) -> None:
        super().__init__(
            guardrail_name="checkrein-tools", event_hook=GuardrailEventHooks.post_mcp_call, default_on=True
        )
        self._tools = tools

    @classmethod
    def install(cls, tools: Tools) -> None:
        """Make LiteLLM call it from now on; it throws its list of callbacks away while it starts."""
        installed = [one for one in litellm.callbacks if isinstance(one, cls)]
        if not any(one.judges(tools) for one in installed):
            litellm.callbacks[:] = [one for one in litellm.callbacks if one not in installed]
            litellm.callbacks.append(cls(tools))

    def judges(self, tools: Tools) -> bool:
        """Whether it asks these."""
        return self._tools is tools

    def should_run_guardrail(self, data: Any, event_type: GuardrailEventHooks) -> bool:  # noqa: ARG002 -- nobody's data decides
        """Whether LiteLLM calls it: for the answers of tools, whatever a request, a key or a team says."""
        return event_type is GuardrailEventHooks.post_mcp_call

    async def apply_guardrail(
        self,
        inputs: GenericGuardrailAPIInputs,
        request_data: dict[str, Any],
        input_type: Any,  # noqa: ARG002 -- LiteLLM's signature
        logging_obj: Any = None,
    ) -> GenericGuardrailAPIInputs:
        """Judge the texts of an answer."""
        data = {**request_data, **({"litellm_logging_obj": logging_obj} if logging_obj is not None else {})}
        texts = await self._tools.release(None, data, list(inputs.get("texts") or ()))
        return GenericGuardrailAPIInputs(texts=texts)


def _tool_of(data: Mapping[str, Any]) -> Entity:
    name = data.get("mcp_tool_name") or data.get("name")
    server = data.get("mcp_server_name")
    properties = {"server": server} if isinstance(server, str) else {}
    return Entity(type="tool", id=name if isinstance(name, str) else "unknown", properties=properties)


def _write(surfaces: Surfaces, changes: Changes) -> None:
    surfaces.write(changes.texts)
