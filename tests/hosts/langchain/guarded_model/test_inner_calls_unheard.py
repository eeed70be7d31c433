"""What a guarded model calls itself is heard by nobody but those who judge: it has not been judged."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from tracers import Runs
from verdicts import WITHHOLDING

from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, PolicyMiddleware, guard


class Cascade(BaseChatModel):
    """A chat model around another one."""

    asked: Any

    @property
    def _llm_type(self):
        return "cascade"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=self.asked.invoke(messages))])


class StreamedCascade(Cascade):
    """The same, streamed."""

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for chunk in self.asked.stream(messages):
            yield ChatGenerationChunk(message=chunk)


@pytest.fixture(params=WITHHOLDING)
def verdict(request):
    return request.param


@pytest.fixture
def point(lab, verdict):
    lab.upstream.reply = f"{'well, ' * 20}the key is {lab.secret}, keep it"
    return lab.govern({Stage.POST_COMPLETION: WITHHOLDING[verdict]})


@pytest.fixture(params=[Cascade, StreamedCascade])
def cascade(request, lab):
    return request.param(asked=lab.chat())


def _drained(stream, got):
    try:
        got.extend(stream)
    except PolicyDenied as denied:
        got.append(denied)


def test_a_graph_streams_no_message_that_is_withheld(lab, point, cascade):
    model, got, runs = guard(cascade, point.pep), [], Runs()
    graph = StateGraph(MessagesState).add_node(
        "n", lambda state: {"messages": model.invoke(state["messages"])}
    )
    graph = graph.add_edge(START, "n").add_edge("n", END).compile()

    modes = ["messages", "updates"]
    _drained(graph.stream({"messages": [HumanMessage("hi")]}, {"callbacks": [runs]}, stream_mode=modes), got)

    assert got
    assert lab.raw(got, runs.told) == 0


def test_an_agent_streams_no_message_that_is_withheld(lab, point, cascade):
    agent, got, runs = create_agent(cascade, [], middleware=[PolicyMiddleware(point.pep)]), [], Runs()

    modes = ["messages", "updates"]
    _drained(agent.stream({"messages": [HumanMessage("hi")]}, {"callbacks": [runs]}, stream_mode=modes), got)

    assert got
    assert lab.raw(got, runs.told) == 0


def test_a_chain_tells_no_event_and_no_tracer(lab, point, cascade):
    chain, got, runs = RunnableLambda(lambda said: said) | guard(cascade, point.pep), [], Runs()

    async def hear():
        try:
            async for event in chain.astream_events("hi", {"callbacks": [runs]}, version="v2"):
                got.append(event)  # noqa: PERF401 -- what came before an error counts
        except PolicyDenied as denied:
            got.append(denied)

    asyncio.run(hear())
    _drained(chain.stream("hi", {"callbacks": [runs]}), got)

    assert lab.raw(got, runs.told) == 0


def test_a_handler_that_judges_still_hears_of_the_inner_call(lab):
    point = lab.govern()
    chain = RunnableLambda(lambda said: said) | guard(Cascade(asked=lab.chat("inner")), point.pep)

    chain.invoke("hi", {"callbacks": [PolicyCallbackHandler(point.pep)]})

    asked = {one.request.resource.id for one in point.records if one.request.stage is Stage.PRE_PROMPT}
    assert asked == {"cascade", "inner"}
