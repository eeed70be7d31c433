"""What a tool shows when it steers its graph, a question to people or a command, is judged as results are."""

from __future__ import annotations

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Interrupt, interrupt
from verdicts import REDACT

from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain.text.tool_outputs import Output
from checkrein_langchain.tools.steering import judged_steering

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.fixture
def asking(lab, office):
    """`asking(run_way, point, shown)`: a run whose tool asks people something, and how it goes on."""
    office.calls()
    question = []

    @tool
    def look(who: str) -> str:
        """Look somebody up."""
        get_stream_writer()(f"asking about {who}")
        return f"told {interrupt(question[0])}"

    def run(way, point, shown, given=None):
        question[:] = [shown]
        return office.run(way, point, tools=[look], given=given)

    return run


@pytest.mark.parametrize("shape", [str, lambda text: {"ask": text}, lambda text: [{"ask": [text]}]])
def test_a_question_is_redacted_in_every_stream(lab, asking, run_way, shape):
    point = lab.govern({Stage.TOOL_RESULT: REDACT})
    done = asking(run_way, point, shape(f"is it {lab.secret}?"))
    assert lab.raw(*done.seen) == 0
    assert done.error is None
    assert "is it [REDACTED:secret]?" in "".join(done.seen)
    assert done.results == []


def test_a_question_that_is_denied_is_not_asked(lab, asking, run_way):
    done = asking(run_way, lab.govern({Stage.TOOL_RESULT: deny("no")}), f"is it {lab.secret}?")
    assert lab.raw(*done.seen) == 0
    assert done.error is None
    assert [one.status for one in done.results] == ["error"]


def test_a_question_that_is_permitted_is_asked_and_answered(lab, asking, mode):
    point = lab.govern()
    (asked,) = asking(mode, point, {"ask": "may I?"}).got[-1]["__interrupt__"]
    assert asked.value == {"ask": "may I?"}

    done = asking(mode, point, {"ask": "may I?"}, Command(resume={asked.id: "yes"}))

    assert [one.content for one in done.results] == ["told yes"]


def test_what_a_tool_wrote_before_it_asked_leaves_once_with_the_question(lab, asking):
    done = asking("stream", lab.govern(), "may I?")
    assert [one for one in done.got if one == ("custom", "asking about bob")] == [
        ("custom", "asking about bob")
    ]


@pytest.mark.parametrize("verdict", [REDACT, deny("no")], ids=["redacted", "denied"])
def test_a_command_to_the_graph_around_is_no_exception(lab, office, run_way, verdict):
    office.calls()
    text = f"found {lab.secret}"

    def command(_):
        told = ToolMessage(text, tool_call_id="call_1")
        return Command(graph=Command.PARENT, update={"messages": [told]})

    inside = StateGraph(MessagesState).add_node("n", command).add_edge(START, "n").compile()

    @tool
    def look(who: str) -> str:
        """Look somebody up."""
        inside.invoke({"messages": []})
        return "not reached"

    done = office.run(run_way, lab.govern({Stage.TOOL_RESULT: verdict}), tools=[look])

    assert lab.raw(*done.seen) == 0
    (result,) = done.results
    assert result.content == "found [REDACTED:secret]" or result.status == "error"


def test_what_shows_nothing_is_left_as_it_is():
    for error in (ValueError("text"), ValueError(), KeyError(3), ValueError(("a", 1))):
        before = error.args
        assert list(judged_steering(error)) == []
        assert error.args == before


def test_of_several_questions_each_is_judged():
    class QuestionError(Exception):
        """As LangGraph's."""

    error = QuestionError((Interrupt("first", "1"), Interrupt("second", "2")))
    parts = judged_steering(error)
    assert next(parts).content == "first"
    assert parts.send(Output("changed")).content == "second"
    with pytest.raises(StopIteration):
        parts.send(Output("second"))
    assert [(one.value, one.id) for one in error.args[0]] == [("changed", "1"), ("second", "2")]
