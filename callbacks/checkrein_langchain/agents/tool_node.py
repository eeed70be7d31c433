"""Governs the tools of LangGraph's `ToolNode`: denials as error messages, approvals by interrupts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command, interrupt

from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow, arun, run
from checkrein.vocabulary import Entity
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.identity import identity_of
from checkrein_langchain.text.tool_outputs import Output
from checkrein_langchain.tools.execution import refusal
from checkrein_langchain.tools.tool import around
from checkrein_langchain.tools.use import TOOL_STAGES, Use, call_id_of, place_of

from .notes import Notes

__all__ = ["Execute", "ToolGate", "atool_gate", "tool_gate"]

Result = ToolMessage | Command[Any] | list[Any]

# LangGraph's keys in a config; it has no public way to tell whether an interrupt could be resumed.
_CHECKPOINTER: Final = "__pregel_checkpointer"
_SCRATCHPAD: Final = "__pregel_scratchpad"
_SENT: Final = "__pregel_push"


def tool_gate(
    pep: EnforcementPoint, *, messages_key: str = "messages"
) -> Callable[[ToolCallRequest, Callable[[ToolCallRequest], Any]], Any]:
    """Govern the tools of a `ToolNode` in synchronous runs.

        ToolNode(tools, wrap_tool_call=tool_gate(pep), awrap_tool_call=atool_gate(pep))

    A node that runs again after an interrupt runs all its calls again. So approvals can be asked for only
    where a call has its node for itself: the message has one call, or each is sent by
    `Send("tools", [call])`.

    Args:
        pep: decides, before a tool runs and about what it gave back.
        messages_key: where the state keeps messages.

    Raises:
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """
    return ToolGate(pep, messages_key=messages_key).wrap


def atool_gate(
    pep: EnforcementPoint, *, messages_key: str = "messages"
) -> Callable[[ToolCallRequest, Callable[[ToolCallRequest], Awaitable[Any]]], Awaitable[Any]]:
    """As `tool_gate`, in asynchronous runs."""
    return ToolGate(pep, messages_key=messages_key).awrap


@dataclass(slots=True)
class Execute:
    """Let what is wrapped go on."""

    handler: Callable[[Any], Any]
    request: Any

    def perform(self) -> Any:
        """Go on, blocking."""
        return self.handler(self.request)

    async def aperform(self) -> Any:
        """Go on and wait."""
        return await self.handler(self.request)


class ToolGate:
    """What stands before the tools of a node.

    Args:
        pep: decides.
        messages_key: where the state keeps messages.
        decisions_key: where the state keeps decisions, or None where it does not.
        alone: whether every call is known to have its node for itself.
    """

    def __init__(
        self,
        pep: EnforcementPoint,
        *,
        messages_key: str = "messages",
        decisions_key: str | None = None,
        alone: bool = False,
    ) -> None:
        pep.require(TOOL_STAGES)
        self.pep = pep
        self._messages_key = messages_key
        self._decisions_key = decisions_key
        self._alone = alone

    def wrap(self, request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
        """Govern a call."""
        return run(self._governed(request, execute))

    async def awrap(
        self, request: ToolCallRequest, execute: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """Govern a call and wait."""
        return await arun(self._governed(request, execute))

    def _governed(self, request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Flow[Result]:
        notes = Notes(getattr(request.runtime, "stream_writer", None))
        use = self._use(request, notes)
        try:
            yield from use.before()
        except PolicyDenied as error:
            denied = error
        else:
            result = yield Execute(execute, self._judged(request, use))
            result = yield from self._given(use, result)
            return self._noted(result, notes)
        return self._noted(refusal(denied, use), notes)

    def _use(self, request: ToolCallRequest, notes: Notes) -> Use:
        config, call = request.runtime.config, request.tool_call
        messages = self._messages(request.state)
        said = next((one for one in reversed(messages) if _says(one, call["id"])), None)
        model = _model_of(said)
        return Use(
            self.pep,
            identity_of(self.pep.settings, config, None, getattr(request.tool, "identity", None)),
            Entity(type="tool", id=call["name"]),
            call_id_of(config, call["id"]),
            call["args"],
            call["id"],
            facts={"model": model} if model else {},
            approve=interrupt if self._can_ask(config, said) else None,
            place=place_of(config),
            tell=notes.tell,
            seen=messages,
            replies=True,
        )

    def _messages(self, state: Any) -> list[Any]:
        if isinstance(state, Mapping):
            found = state.get(self._messages_key)
        else:
            found = state if isinstance(state, list) else getattr(state, self._messages_key, None)
        return list(found) if isinstance(found, list | tuple) else []

    def _can_ask(self, config: Mapping[str, Any], said: AIMessage | None) -> bool:
        known = config.get("configurable") or {}
        if known.get(_CHECKPOINTER) is None or _SCRATCHPAD not in known:
            return False
        path = (config.get("metadata") or {}).get("langgraph_path") or ("",)
        return self._alone or path[0] == _SENT or (said is not None and len(said.tool_calls) == 1)

    def _judged(self, request: ToolCallRequest, use: Use) -> ToolCallRequest:
        """The request with the arguments and the tool that are judged: callbacks hear of judged output."""
        call: Any = {**request.tool_call, "args": use.arguments}
        if request.tool is None:
            return request.override(tool_call=call)
        tool = around(request.tool, self.pep, replies=True).model_copy(update={"use": use})
        return request.override(tool_call=call, tool=tool)

    def _given(self, use: Use, result: Result) -> Flow[Result]:
        if use.is_shown(result):
            return result
        # A middleware in between, or the node itself, says something else than the tool.
        try:
            output = yield from use.after(Output(result))
        except PolicyDenied as error:
            denied = error
        else:
            given: Result = output.content
            return given
        return refusal(denied, use)

    def _noted(self, result: Result, notes: Notes) -> Result:
        key = self._decisions_key
        if key is None:
            return result
        if isinstance(result, list):
            return [*result, Command(update={key: notes.taken})]
        if isinstance(result, ToolMessage):
            return Command(update={self._messages_key: [result], key: notes.taken})
        if result.graph is None and (result.update is None or isinstance(result.update, dict)):
            return replace(result, update={**(result.update or {}), key: notes.taken})
        return result


def _says(message: Any, call_id: str | None) -> bool:
    return isinstance(message, AIMessage) and any(call["id"] == call_id for call in message.tool_calls)


def _model_of(message: AIMessage | None) -> str | None:
    told = message.response_metadata if message is not None else {}
    name = told.get("model_name") or told.get("model")
    return name if isinstance(name, str) else None
