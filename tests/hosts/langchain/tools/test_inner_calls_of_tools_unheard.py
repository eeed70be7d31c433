"""What a tool hears from its own models, retrievers and subagents escapes no denial of its result."""

import asyncio

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import create_retriever_tool, tool
from tracers import Runs
from verdicts import WITHHOLDING

from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyMiddleware, guard_tool

MODES = ["messages", "updates", "values"]


class Retriever(BaseRetriever):
    """Finds the secret."""

    found: str

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(f"doc {self.found} end")]


def _asking(lab):
    inner = lab.chat("inner")

    @tool
    def look(q: str) -> str:
        """Look it up."""
        return inner.invoke(q).text

    return look


def _configured(lab):
    inner = lab.chat("inner")

    @tool
    def look(q: str, config: RunnableConfig) -> str:
        """Look it up."""
        return inner.invoke(q, config).text

    return look


def _in_runtime(lab):
    inner = lab.chat("inner")

    @tool
    def look(q: str, runtime: ToolRuntime) -> str:
        """Look it up."""
        return inner.invoke(q, runtime.config).text

    return look


def _retrieving(lab):
    return create_retriever_tool(Retriever(found=lab.secret), "look", "Look it up.")


def _delegating(lab):
    agent = create_agent(lab.chat("inner"), [])

    @tool
    def look(q: str) -> str:
        """Look it up."""
        return agent.invoke({"messages": [HumanMessage(q)]})["messages"][-1].text

    return look


TOOLS = {
    "asks a model": _asking,
    "asks with its config": _configured,
    "asks with its runtime": _in_runtime,
    "retrieves": _retrieving,
    "asks a subagent": _delegating,
}


@pytest.fixture(params=TOOLS)
def made(request, lab):
    return TOOLS[request.param](lab)


@pytest.fixture(params=WITHHOLDING)
def point(request, lab):
    return lab.govern({Stage.TOOL_RESULT: WITHHOLDING[request.param]})


@pytest.fixture
def agent(lab, made, point):
    def reply(body):
        if body["model"] == "inner":
            return f"the key is {lab.secret}"
        if body["messages"][-1]["role"] == "user":
            argument = "query" if made.args.keys() == {"query"} else "q"
            return {"tool_calls": [{"id": "c1", "name": "look", "arguments": {argument: "x"}}]}
        return "done"

    lab.upstream.reply = reply
    return create_agent(lab.chat(), [made], middleware=[PolicyMiddleware(point.pep)])


def test_no_stream_and_no_tracer_tells_it(lab, agent):
    runs = Runs()
    config = {"callbacks": [runs]}
    got = list(agent.stream({"messages": [HumanMessage("hi")]}, config, stream_mode=MODES, subgraphs=True))

    assert got
    assert lab.raw(got, runs.told) == 0


def test_no_event_tells_it(lab, made, point):
    given = {"query": "x"} if made.args.keys() == {"query"} else {"q": "x"}
    if "runtime" in made.get_input_schema().model_fields:
        given["runtime"] = ToolRuntime(
            state={}, context=None, config={}, stream_writer=print, tool_call_id="c", store=None
        )
    lab.upstream.reply = f"the key is {lab.secret}"
    governed, got = guard_tool(made, point.pep, on_denied="reply"), []

    async def hear():
        got.extend([event async for event in governed.astream_events(given, version="v2")])

    asyncio.run(hear())

    assert got
    assert lab.raw(got) == 0


def test_a_handler_that_judges_still_hears_of_a_tool_s_model(lab):
    point = lab.govern()

    guard_tool(_asking(lab), point.pep).invoke({"q": "x"}, {"callbacks": [PolicyCallbackHandler(point.pep)]})

    asked = {one.request.resource.id for one in point.records}
    assert asked == {"look", "inner"}


def test_everybody_hears_where_no_denial_of_results_can_stand(lab):
    point, runs = lab.govern(enforcement={"default": "monitor"}), Runs()

    guard_tool(_asking(lab), point.pep).invoke({"q": "x"}, {"callbacks": [runs]})

    assert any("hello there" in told and "llm" in told for told in runs.told)
