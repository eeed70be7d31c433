"""Agents and graphs around a model, run in one of the ways, and what was asked of policy meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import TypedDict

import httpx
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from checkrein_langchain import guard

QUICK = {"max_retries": 3, "initial_delay": 0.0, "jitter": False}
AT_ONCE = RetryPolicy(initial_interval=0.0, max_attempts=3, jitter=False)


class State(TypedDict, total=False):
    said: str


def run(make, mode, given, chat, config=None):
    """Run a graph that is made around a model, in one of the ways; what it gave and how it failed."""
    got, error = [], None

    async def arun():
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            graph = make(chat(http_async_client=client))
            if mode == "ainvoke":
                got.append(await graph.ainvoke(given, config))
            else:
                async for one in graph.astream(given, config, stream_mode=["updates", "messages"]):
                    got.append(one)  # noqa: PERF401 -- what came before an error counts

    try:
        if mode.startswith("a"):
            asyncio.run(arun())
        elif mode == "invoke":
            got.append(make(chat()).invoke(given, config))
        else:
            got.extend(make(chat()).stream(given, config, stream_mode=["updates", "messages"]))
    except Exception as raised:  # noqa: BLE001 -- what it is, the test says
        error = raised
    return SimpleNamespace(got=got, error=error)


def asked(point, stage):
    return [one for one in point.records if one.request.stage is stage]


def agent_of(point, *middleware, tools=()):
    def make(model):
        return create_agent(guard(model, point.pep), tools=tools, middleware=middleware)

    return make


HELLO = {"messages": [HumanMessage("hello")]}


def graph_of(node, *, retry=None, saver=None, handler=None):
    graph = StateGraph(State)
    graph.add_node("ask", node, retry_policy=retry, error_handler=handler)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=saver)
