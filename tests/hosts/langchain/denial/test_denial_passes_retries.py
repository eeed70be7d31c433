"""A denial passes the retries of LangChain and LangGraph: asked about once, and never made up for."""

import pickle
import subprocess
import sys

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage
from langgraph.errors import GraphBubbleUp
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from tried import HELLO, QUICK, agent_of, asked, run

import checkrein
from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def test_a_denial_is_what_lets_it_pass():
    assert issubclass(PolicyDenied, checkrein.PolicyDenied)
    assert issubclass(PolicyDenied, ModelError)
    assert issubclass(PolicyDenied, GraphBubbleUp)
    assert not PolicyDenied.is_retryable


def test_without_langgraph_a_denial_is_still_a_model_error():
    script = """
import sys

class NoLangGraph:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "langgraph":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoLangGraph())
from langchain_core.exceptions import ModelError
from checkrein_langchain import PolicyDenied
assert issubclass(PolicyDenied, ModelError)
assert not any(name.startswith("langgraph") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_denial_survives_pickling_with_its_decision(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).invoke("hi")

    again = pickle.loads(pickle.dumps(denied.value))

    assert type(again) is PolicyDenied
    assert (again.code, again.decision_id) == (denied.value.code, denied.value.decision_id)
    assert str(again) == str(denied.value)


@pytest.mark.parametrize("on_failure", ["continue", "error"])
def test_model_retry_middleware_asks_once_and_makes_no_answer_up(lab, denied_at, mode, on_failure):
    point = lab.govern({denied_at: deny("no")})
    retry = ModelRetryMiddleware(**QUICK, retry_on=(Exception,), on_failure=on_failure)

    done = run(agent_of(point, retry), mode, HELLO, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert done.error.code == "no"
    assert len(asked(point, denied_at)) == 1
    assert done.got == []


def test_model_fallback_middleware_asks_once_and_falls_back_to_nothing(lab, denied_at, mode):
    point = lab.govern({denied_at: deny("no")})
    fallback = ModelFallbackMiddleware(lab.chat("gpt-4o-mini"))

    done = run(agent_of(point, fallback), mode, HELLO, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert len(asked(point, denied_at)) == 1
    assert {one.body["model"] for one in lab.upstream.requests} <= {"gpt-4o"}


@pytest.mark.parametrize(
    "middleware",
    [
        ToolRetryMiddleware(**QUICK, retry_on=(Exception,)),
        ToolErrorMiddleware(on_error=lambda error, request: "made up"),
    ],
    ids=["retry", "error"],
)
def test_the_middleware_of_tools_lets_a_denial_out_of_one(lab, denied_at, mode, middleware):
    point = lab.govern({denied_at: deny("no")})
    lab.upstream.reply = {"name": "ask", "arguments": {"question": "hello"}}
    inner = guard(lab.chat(), point.pep)

    def ask(question: str) -> str:
        """Ask another model."""
        return inner.invoke(question).text

    done = run(lambda model: create_agent(model, tools=[ask], middleware=[middleware]), mode, HELLO, lab.chat)

    assert isinstance(done.error, PolicyDenied)
    assert len(asked(point, denied_at)) == 1


def test_a_tool_node_lets_a_denial_out_instead_of_telling_the_model(lab, denied_at):
    point = lab.govern({denied_at: deny("no")})
    inner = guard(lab.chat(), point.pep)

    def ask(question: str) -> str:
        """Ask another model."""
        return inner.invoke(question).text

    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([ask], handle_tool_errors=True))
    graph.add_edge(START, "tools")
    call = {"name": "ask", "args": {"question": "hello"}, "id": "1", "type": "tool_call"}

    with pytest.raises(PolicyDenied):
        graph.compile().invoke({"messages": [AIMessage("", tool_calls=[call])]})

    assert len(asked(point, denied_at)) == 1
