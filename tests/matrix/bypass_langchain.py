"""The LangChain half of the matrix: every way of calling what a mechanism governs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
from bypass_counting import ANSWER, PROMPT, Came
from bypass_langchain_mechanisms import Lab, Listener, Mechanism, Tracer
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel

from checkrein import EnforcementPoint
from checkrein.testing import Upstream


class Key(BaseModel):
    """A key."""

    key: str


@tool
def look(query: str) -> str:
    """Look something up."""
    return f"nothing about {len(query)} characters"


AS_KEY = json.dumps({"key": ANSWER})
AS_CALL = {"name": "look", "arguments": {"query": ANSWER}}


SyncWay = Callable[[Mechanism, Lab, Any], Iterator[Any]]
AsyncWay = Callable[[Mechanism, Lab, Any], AsyncIterator[Any]]


def _invoke(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    yield it.target(lab).invoke(it.input, config)


def _stream(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    more = {"stream_mode": ["messages", "values", "updates"]} if it.agents_alone else {}
    yield from it.target(lab).stream(it.input, config, **more)


def _batch(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    yield from it.target(lab).batch([it.input, it.input], config)


def _retry(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    again = it.target(lab).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    yield again.invoke(it.input, config)


def _fallbacks(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    target = it.target(lab)
    yield target.with_fallbacks([it.target(lab) if not it.callback else lab.chat("gpt-4o-mini")]).invoke(
        it.input, config
    )


def _cache(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    target = it.target(lab, cache=InMemoryCache())
    try:
        yield target.invoke(it.input, config)
    except Exception:  # noqa: BLE001 -- the second caller is the point
        yield "the first caller got nothing"
    yield target.invoke(it.input, config)


def _nested(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    target = it.target(lab)
    inner = RunnableLambda(lambda given: target.invoke(given, {"callbacks": []}))
    yield (RunnableLambda(lambda given: given) | inner).invoke(it.input, config)


def _thread(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    target = it.target(lab)
    came: list[Any] = []

    def call() -> None:
        try:
            came.append(target.invoke(it.input))
        except Exception as error:  # noqa: BLE001 -- raised again below
            came.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if isinstance(came[0], Exception):
        raise came[0]
    yield came[0]


def _subgraph(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    target = it.target(lab)

    def node(state: MessagesState) -> Any:
        said = target.invoke({"messages": state["messages"]} if it.agents_alone else state["messages"])
        return said if it.agents_alone else {"messages": [said]}

    inner = StateGraph(MessagesState).add_node("call", node).add_edge(START, "call").add_edge("call", END)
    outer = StateGraph(MessagesState).add_node("inner", inner.compile())
    graph = outer.add_edge(START, "inner").add_edge("inner", END).compile()
    yield from graph.stream(
        {"messages": [HumanMessage(PROMPT)]}, config, subgraphs=True, stream_mode=["messages", "values"]
    )


def _structured(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    lab.upstream.reply = AS_KEY
    if it.agents_alone:
        from langchain.agents.structured_output import ProviderStrategy  # noqa: PLC0415 -- here alone

        yield it.agent(lab, response_format=ProviderStrategy(Key)).invoke(it.input, config)
        return
    made: Runnable[Any, Any] = it.target(lab).with_structured_output(Key, include_raw=True)
    yield made.invoke(it.input, config)


def _tools(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    lab.upstream.reply = [AS_CALL, ANSWER]
    if it.agents_alone:
        yield it.agent(lab, tools=[look]).invoke(it.input, config)
        return
    yield it.target(lab).bind_tools([look]).invoke(it.input, config)


def _agent(it: Mechanism, lab: Lab, config: Any) -> Iterator[Any]:
    lab.upstream.reply = [AS_CALL, ANSWER]
    agent = it.agent(lab, tools=[look])
    yield from agent.stream(
        {"messages": [HumanMessage(PROMPT)]}, config, stream_mode=["messages", "values", "updates"]
    )


SYNC_WAYS: Mapping[str, SyncWay] = {
    "invoke": _invoke,
    "stream": _stream,
    "batch": _batch,
    "with_retry": _retry,
    "with_fallbacks": _fallbacks,
    "cache hit": _cache,
    "nested, callbacks=[]": _nested,
    "thread": _thread,
    "subgraph": _subgraph,
    "structured output": _structured,
    "tools": _tools,
    "create_agent": _agent,
}


async def _ainvoke(it: Mechanism, lab: Lab, config: Any) -> AsyncIterator[Any]:
    yield await it.target(lab).ainvoke(it.input, config)


async def _astream(it: Mechanism, lab: Lab, config: Any) -> AsyncIterator[Any]:
    async for one in it.target(lab).astream(it.input, config):
        yield one


async def _abatch(it: Mechanism, lab: Lab, config: Any) -> AsyncIterator[Any]:
    for one in await it.target(lab).abatch([it.input, it.input], config):
        yield one


async def _events(it: Mechanism, lab: Lab, config: Any) -> AsyncIterator[Any]:
    async for event in it.target(lab).astream_events(it.input, config, version="v2"):
        yield event


async def _events_v3(it: Mechanism, lab: Lab, config: Any) -> AsyncIterator[Any]:
    stream = await it.target(lab).astream_events(it.input, config, version="v3")
    try:
        async for event in stream:
            yield event
    finally:
        # Its callbacks hear of the end after the caller does.
        task = getattr(stream, "_producer_task", None)
        if task is not None:
            await asyncio.wait([task])


ASYNC_WAYS: Mapping[str, AsyncWay] = {
    "ainvoke": _ainvoke,
    "astream": _astream,
    "abatch": _abatch,
    "events v2": _events,
    "events v3": _events_v3,
}
WAYS = (*SYNC_WAYS, *ASYNC_WAYS)
STREAMED = frozenset({"stream", "subgraph", "create_agent", "astream", "events v2", "events v3"})


def call(mechanism: Mechanism, way: str, upstream: Upstream, pep: EnforcementPoint) -> Came:
    """Call what a mechanism governs, in one way, and keep everything that the caller got.

    Args:
        mechanism: governs it.
        way: the name of the way.
        upstream: the provider.
        pep: decides.
    """
    came = Came(cell=uuid4().hex)
    listeners = [Listener(came.heard), Tracer(came.heard)] if not mechanism.callback else []
    config = {"callbacks": listeners}
    with httpx.Client(verify=False, trust_env=False) as client, ExitStack() as stack:
        lab = Lab(upstream, pep, client, came.cell, stack=stack)
        try:
            if way in SYNC_WAYS:
                for one in SYNC_WAYS[way](mechanism, lab, config):
                    came.given.append(one)
            else:
                asyncio.run(_acall(mechanism, ASYNC_WAYS[way], lab, config, came))
        except Exception as error:  # noqa: BLE001 -- what it is, the cell says
            came.error = error
    return came


async def _acall(mechanism: Mechanism, way: AsyncWay, lab: Lab, config: Any, came: Came) -> None:
    async with httpx.AsyncClient(verify=False, trust_env=False) as lab.aclient:
        async for one in way(mechanism, lab, config):
            came.given.append(one)
