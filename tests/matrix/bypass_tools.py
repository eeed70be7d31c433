"""The tools of agents in the matrix: what stands before a tool, and every way of running one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
from bypass_counting import ANSWER, IN_ANSWER, IN_PROMPT, PROMPT, Came, Count, Fault, characters, sent_by
from bypass_langchain_mechanisms import Lab, Listener, Tracer
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from checkrein import EnforcementPoint, PolicyDenied, Stage
from checkrein.testing import Upstream
from checkrein_langchain import PolicyCallbackHandler, PolicyMiddleware, guard_tool, tool_gate
from checkrein_langchain import atool_gate as async_tool_gate


def fetching(runs: list[str]) -> BaseTool:
    """A tool that keeps what it was called with and answers with the secret."""

    @tool
    def fetch(query: str) -> str:
        """Fetch something."""
        runs.append(query)
        return ANSWER

    return fetch


def _agent(lab: Lab, fetch: BaseTool) -> Any:
    return create_agent(lab.chat(), [fetch], middleware=[PolicyMiddleware(lab.pep)])


def _node(lab: Lab, fetch: BaseTool) -> Any:
    gated = ToolNode([fetch], wrap_tool_call=tool_gate(lab.pep), awrap_tool_call=async_tool_gate(lab.pep))
    return _graph(lab, fetch, gated)


def _tool(lab: Lab, fetch: BaseTool) -> Any:
    guarded = guard_tool(fetch, lab.pep)
    return _graph(lab, guarded, ToolNode([guarded], handle_tool_errors=False))


def _handled(lab: Lab, fetch: BaseTool) -> Any:
    lab.stack.callback(PolicyCallbackHandler(lab.pep).install())
    return _graph(lab, fetch, ToolNode([fetch], handle_tool_errors=False))


def _graph(lab: Lab, bound: BaseTool, node: ToolNode) -> Any:
    """A plain graph of a model and a tool node; no model streams: a callback could not hold it."""
    model = lab.chat(disable_streaming=True).bind_tools([bound])

    def say(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def asay(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    said = say if lab.aclient is None else asay
    graph = StateGraph(MessagesState).add_node("model", said).add_node("tools", node)
    graph.add_edge(START, "model").add_conditional_edges("model", tools_condition).add_edge("tools", "model")
    return graph.compile()


MECHANISMS: Mapping[str, Callable[[Lab, BaseTool], Any]] = {
    "middleware": _agent,
    "tool_gate": _node,
    "guard_tool": _tool,
    "handler": _handled,
}
_MODES = ["messages", "values", "updates"]


def _invoke(agent: Any, given: Any, config: Any) -> Iterator[Any]:
    yield agent.invoke(given, config)


def _stream(agent: Any, given: Any, config: Any) -> Iterator[Any]:
    yield from agent.stream(given, config, stream_mode=_MODES)


async def _ainvoke(agent: Any, given: Any, config: Any) -> AsyncIterator[Any]:
    yield await agent.ainvoke(given, config)


async def _astream(agent: Any, given: Any, config: Any) -> AsyncIterator[Any]:
    async for one in agent.astream(given, config, stream_mode=_MODES):
        yield one


async def _events(agent: Any, given: Any, config: Any) -> AsyncIterator[Any]:
    async for event in agent.astream_events(given, config, version="v2"):
        yield event


async def _events_v3(agent: Any, given: Any, config: Any) -> AsyncIterator[Any]:
    async for event in await agent.astream_events(given, config, version="v3"):
        yield event


SYNC_WAYS = {"invoke": _invoke, "stream": _stream}
ASYNC_WAYS = {"ainvoke": _ainvoke, "astream": _astream, "events v2": _events, "events v3": _events_v3}
WAYS = (*SYNC_WAYS, *ASYNC_WAYS)


def run(mechanism: str, way: str, upstream: Upstream, pep: EnforcementPoint) -> tuple[Came, list[str]]:
    """Run an agent whose model calls a tool with the one secret, which answers with the other.

    Args:
        mechanism: stands before the tool.
        way: how the agent is run.
        upstream: the provider.
        pep: decides.

    Returns:
        What came of it, and the arguments of every run of the tool.
    """
    upstream.reply = [{"name": "fetch", "arguments": {"query": PROMPT}}, "done"]
    came, runs = Came(cell=f"{mechanism}, {way}, {id(pep)}"), []
    heard = [] if mechanism == "handler" else came.heard
    config = {"callbacks": [Listener(heard), Tracer(heard)]}
    given = {"messages": [HumanMessage("fetch it")]}
    with httpx.Client(verify=False, trust_env=False) as client, ExitStack() as stack:
        lab = Lab(upstream, pep, client, came.cell, stack=stack)
        try:
            if way in SYNC_WAYS:
                agent = MECHANISMS[mechanism](lab, fetching(runs))
                for one in SYNC_WAYS[way](agent, given, config):
                    came.given.append(one)
            else:
                asyncio.run(_arun(mechanism, way, lab, given, config, came, runs))
        except Exception as error:  # noqa: BLE001 -- what it is, the cell says
            came.error = error
    return came, runs


async def _arun(  # noqa: PLR0913, PLR0917 -- the parts of one cell
    mechanism: str, way: str, lab: Lab, given: Any, config: Any, came: Came, runs: list[str]
) -> None:
    async with httpx.AsyncClient(verify=False, trust_env=False) as lab.aclient:
        agent = MECHANISMS[mechanism](lab, fetching(runs))
        async for one in ASYNC_WAYS[way](agent, given, config):
            came.given.append(one)


def count(fault: Fault, came: Came, runs: list[str], upstream: Upstream) -> Count:
    """Count what must be zero: runs of a tool that is refused, secrets in its arguments and in its result.

    Args:
        fault: what the engine did.
        came: what came of it at the caller.
        runs: the arguments of every run of the tool.
        upstream: the provider, which sees the result as the next prompt.
    """
    called = fault.stage is Stage.TOOL_CALL
    shielded = fault.stage is Stage.TOOL_RESULT or (called and fault.refuses)
    seen = "".join([*sent_by(came, upstream), came.seen])
    told = [message for one in came.given for message in _messages(one)]
    refused = isinstance(came.error, PolicyDenied) or any(
        isinstance(message, ToolMessage) and message.status == "error" for message in told
    )
    outcome = "denied" if refused else "redacted" if fault.kind == "redact" else "passed"
    if came.error is not None and not refused:
        outcome = type(came.error).__name__
    return Count(
        requests=len(runs) if called and fault.refuses else 0,
        prompt=characters(IN_PROMPT, "".join(runs)) if called else 0,
        answer=characters(IN_ANSWER, seen) if shielded else 0,
        outcome=outcome,
    )


def _messages(given: Any) -> Iterator[Any]:
    """Every message in what a graph gave out, however deep."""
    if isinstance(given, ToolMessage | AIMessage):
        yield given
    elif isinstance(given, Mapping):
        for one in given.values():
            yield from _messages(one)
    elif isinstance(given, list | tuple):
        for one in given:
            yield from _messages(one)
