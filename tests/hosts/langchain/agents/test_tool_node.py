"""The gate before the tools of a plain LangGraph `ToolNode`."""

import asyncio
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Overwrite, Send

from checkrein import acting_as
from checkrein.errors import SettingsError
from checkrein.testing import StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, as_subject, atool_gate, guard_tool, tool_gate

REDACT = permit(obligation("redact", types=["secret"]))
ASK = permit(obligation("require_approval", approvers=["ann"]))
THREAD = {"configurable": {"thread_id": "1"}}
ran = []


@pytest.fixture(autouse=True)
def forget():
    ran.clear()


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]
    topic: str


@tool
def look(who: str) -> str:
    """Look somebody up."""
    ran.append(who)
    return f"found {who}"


def calling(*people, name="look"):
    calls = [
        {"id": f"call_{number}", "name": name, "args": {"who": who}} for number, who in enumerate(people)
    ]
    return AIMessage("", tool_calls=calls, response_metadata={"model_name": "gpt-4o"})


def graph(point, *, tools=(look,), saver=None, send=False, store=None):
    node = ToolNode([*tools], wrap_tool_call=tool_gate(point.pep), awrap_tool_call=atool_gate(point.pep))
    built = StateGraph(State)
    built.add_node("tools", node)
    if send:
        built.add_conditional_edges(
            START, lambda state: [Send("tools", [one]) for one in state["messages"][-1].tool_calls], ["tools"]
        )
    else:
        built.add_edge(START, "tools")
    built.add_edge("tools", END)
    return built.compile(checkpointer=saver, store=store)


@pytest.fixture(params=["invoke", "ainvoke"])
def drive(request):
    """Run a graph, blocking or awaited; gives the state and its tool messages."""

    def run(built, given, config=None):
        given = {"messages": [given], "topic": "tea"} if isinstance(given, AIMessage) else given
        if request.param == "invoke":
            state = built.invoke(given, config)
        else:
            state = asyncio.run(built.ainvoke(given, config))
        results = [one for one in state["messages"] if isinstance(one, ToolMessage)]
        return SimpleNamespace(state=state, results=results)

    return run


def test_denied_calls_do_not_run_and_become_error_messages(lab, drive):
    def answer(question):
        return deny("no") if question.document["context"]["tool"]["arguments"]["who"] == "bob" else permit()

    point = lab.govern({Stage.TOOL_CALL: answer})

    done = drive(graph(point), calling("ann", "bob", "cy"))

    assert sorted(ran) == ["ann", "cy"]
    assert [one.status for one in done.results] == ["success", "error", "success"]
    (denied,) = [one for one in point.records if not one.permitted]
    assert denied.decision_id in done.results[1].content
    assert denied.document["context"]["model"] == "gpt-4o"


def test_arguments_and_results_are_redacted(lab, drive):
    point = lab.govern({Stage.TOOL_CALL: REDACT, Stage.TOOL_RESULT: REDACT})

    @tool
    def echo(who: str) -> str:
        """Say it again."""
        ran.append(who)
        return f"{who} and {lab.secret}"

    done = drive(graph(point, tools=[echo]), calling(lab.secret, name="echo"))

    assert ran == ["[REDACTED:secret]"]
    assert done.results[0].content == "[REDACTED:secret] and [REDACTED:secret]"


def test_what_is_injected_is_injected(lab, drive):
    @tool
    def take(
        who: str,
        runtime: ToolRuntime,
        state: Annotated[dict, InjectedState],
        topic: Annotated[str, InjectedState("topic")],
        store: Annotated[Any, InjectedStore()],
    ) -> str:
        """Take something."""
        ran.append((who, runtime.tool_call_id, len(state["messages"]), topic, store is runtime.store))
        return "taken"

    point = lab.govern()
    for given in (take, guard_tool(take, lab.govern().pep)):
        built = graph(point, tools=[given], store=InMemoryStore())
        drive(built, calling("bob", name="take"))

    assert ran == [("bob", "call_0", 1, "tea", True)] * 2
    assert point.records[0].document["context"]["tool"]["arguments"] == {"who": "bob"}


def test_a_message_that_a_command_hands_on_is_no_result(lab, drive):
    @tool
    def hand_on(who: str, state: Annotated[dict, InjectedState]) -> Command:
        """Hand everything on."""
        told = ToolMessage("here you are", tool_call_id="call_0", name="hand_on")
        return Command(update={"messages": [*state["messages"], told], "topic": f"about {who}"})

    point = lab.govern({Stage.TOOL_RESULT: REDACT})
    said = {"messages": [HumanMessage(f"my key is {lab.secret}"), calling("bob", name="hand_on")]}

    done = drive(graph(point, tools=[hand_on]), said)

    assert lab.secret in done.state["messages"][0].content
    (judged,) = [one for one in point.records if one.request.stage is Stage.TOOL_RESULT]
    assert sorted(one.text for one in judged.request.segments) == ["about bob", "here you are"]
    assert done.state["topic"] == "about bob"


def test_what_a_command_sends_elsewhere_is_judged(lab, drive):
    @tool
    def send_on(who: str) -> Command:
        """Send it on."""
        told = ToolMessage("sent", tool_call_id="call_0", name="send_on")
        sent = [{"note": lab.secret, "n": 1}, lab.secret, AIMessage(lab.secret)]
        return Command(update={"messages": [told]}, goto=[Send("there", one) for one in sent])

    got = []
    point = lab.govern({Stage.TOOL_RESULT: REDACT})
    node = ToolNode([send_on], wrap_tool_call=tool_gate(point.pep), awrap_tool_call=atool_gate(point.pep))
    built = StateGraph(State)
    built.add_node("tools", node)
    built.add_node("there", lambda given: got.append(getattr(given, "content", given)) or {})
    built.add_edge(START, "tools")

    drive(built.compile(), calling("bob", name="send_on"))

    redacted = "[REDACTED:secret]"
    assert sorted(got, key=str) == sorted([{"note": redacted, "n": 1}, redacted, redacted], key=str)


def test_what_a_command_puts_in_place_of_the_state_is_judged(lab, drive):
    @tool
    def overwrite(who: str) -> Command:
        """Put something else there."""
        told = ToolMessage(lab.secret, tool_call_id="call_0", name="overwrite")
        return Command(update={"messages": [told], "topic": Overwrite(lab.secret)})

    point = lab.govern({Stage.TOOL_RESULT: REDACT})

    done = drive(graph(point, tools=[overwrite]), calling("bob", name="overwrite"))

    (judged,) = [one for one in point.records if one.request.stage is Stage.TOOL_RESULT]
    assert [one.text for one in judged.request.segments].count(lab.secret) == 2
    assert lab.raw(done.state) == 0


def test_a_denial_of_a_guarded_tool_passes_the_node(lab, drive):
    guarded = guard_tool(look, lab.govern({Stage.TOOL_CALL: deny("no")}).pep)
    built = StateGraph(State)
    built.add_node("tools", ToolNode([guarded], handle_tool_errors=True))
    built.add_edge(START, "tools")

    with pytest.raises(PolicyDenied):
        drive(built.compile(), calling("bob"))
    assert ran == []


def test_an_approval_is_asked_for_where_a_call_has_the_node_for_itself(lab, drive):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    built = graph(point, saver=InMemorySaver())

    (question,) = drive(built, calling("bob"), THREAD).state["__interrupt__"]
    assert ran == []
    answer = {"approved": True, "approver": "ann", "digest": question.value["digest"]}
    done = drive(built, Command(resume=answer), THREAD)

    assert ran == ["bob"]
    assert done.results[0].content == "found bob"


def test_calls_that_are_sent_one_by_one_are_approved_one_by_one(lab, drive):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    built = graph(point, saver=InMemorySaver(), send=True)

    questions = drive(built, calling("bob", "cy"), THREAD).state["__interrupt__"]
    answers = {
        one.id: {"approved": True, "approver": "ann", "digest": one.value["digest"]} for one in questions
    }
    done = drive(built, Command(resume=answers), THREAD)

    assert sorted(ran) == ["bob", "cy"]
    assert [one.status for one in done.results] == ["success", "success"]


def test_calls_that_share_a_node_cannot_wait_for_approvals(lab, drive):
    def answer(question):
        return ASK if question.document["context"]["tool"]["arguments"]["who"] == "bob" else permit()

    point = lab.govern({Stage.TOOL_CALL: answer})

    done = drive(graph(point, saver=InMemorySaver()), calling("ann", "bob"), THREAD)

    # If the node waited, it would run again from its start, and Ann would be looked up twice.
    assert ran == ["ann"]
    assert [one.status for one in done.results] == ["success", "error"]
    assert "unsupported_obligation" in done.results[1].content


def test_without_a_checkpointer_nobody_can_be_asked(lab, drive):
    done = drive(graph(lab.govern({Stage.TOOL_CALL: ASK})), calling("bob"))

    assert ran == []
    assert done.results[0].status == "error"


@pytest.mark.parametrize("bent", [("bob",), {1: "bob"}, float("nan"), b"bob", {"bob"}], ids=repr)
def test_arguments_that_json_would_bend_cannot_be_approved(lab, drive, bent):
    @tool
    def take(who: Any) -> str:
        """Take anything."""
        ran.append(who)
        return "taken"

    point = lab.govern({Stage.TOOL_CALL: ASK})

    done = drive(graph(point, tools=[take], saver=InMemorySaver()), calling(bent, name="take"), THREAD)

    assert ran == []
    assert done.results[0].status == "error"


def test_an_approval_reaches_a_subgraph(lab, drive):
    point = lab.govern({Stage.TOOL_CALL: ASK})
    outer = StateGraph(State)
    outer.add_node("inner", graph(point))
    outer.add_edge(START, "inner")
    built = outer.compile(checkpointer=InMemorySaver())

    (question,) = drive(built, calling("bob"), THREAD).state["__interrupt__"]
    answer = {"approved": True, "approver": "ann", "digest": question.value["digest"]}
    done = drive(built, Command(resume=answer), THREAD)

    assert ran == ["bob"]
    assert done.results[0].content == "found bob"


def test_decisions_are_told_to_a_stream(lab):
    point = lab.govern({Stage.TOOL_CALL: deny("no")})

    given = {"messages": [calling("bob")], "topic": ""}
    (told,) = graph(point).stream(given, stream_mode="custom")

    assert told == {
        "type": "policy_decision",
        "stage": "tool_call",
        "decision_id": point.records[0].decision_id,
        "permitted": False,
        "codes": ["no"],
    }


def test_it_is_for_whoever_runs_the_graph(lab, drive):
    point = lab.govern()

    with acting_as("carol"):
        drive(graph(point), calling("bob"))
    drive(graph(point), calling("bob"), as_subject("alice"))

    assert [one.request.subject.id for one in point.records] == ["carol"] * 2 + ["alice"] * 2


def test_a_tool_that_is_bound_to_a_subject_stays_so_and_is_asked_about_once(lab, drive):
    point = lab.govern()
    bound = guard_tool(look, point.pep).acting_as("service")

    drive(graph(point, tools=[bound]), calling("bob"), as_subject("alice"))

    assert [one.request.subject.id for one in point.records] == ["service"] * 2


def test_trusted_metadata_names_the_caller(lab, drive):
    named = {"langchain": {"metadata": {"id": "user_id"}, "trusted": True}}
    point = lab.govern(identity=named)

    drive(graph(point), calling("bob"), {"metadata": {"user_id": "carol"}})

    assert [one.request.subject.id for one in point.records] == ["carol"] * 2
    assert point.records[0].request.identity["asserted"]


def test_a_list_of_results_is_judged(lab, drive):
    @tool
    def many(who: str) -> list:
        """Say several things."""
        told = ToolMessage(f"one {lab.secret}", tool_call_id="call_0", name="many")
        return [told, Command(update={"topic": lab.secret})]

    done = drive(graph(lab.govern({Stage.TOOL_RESULT: REDACT}), tools=[many]), calling("bob", name="many"))

    assert done.results[0].content == "one [REDACTED:secret]"
    assert done.state["topic"] == "[REDACTED:secret]"


def test_both_stages_have_to_be_covered(lab):
    point = lab.govern(engine=StaticEngine(dict.fromkeys(lab.stages, permit())))

    for gate in (tool_gate, atool_gate):
        with pytest.raises(SettingsError, match="tool_call"):
            gate(point.pep)


def test_an_interrupt_of_a_tool_passes_by_the_judgement(lab):
    @tool
    def stop(who: str) -> str:
        """Stop here."""
        raise GraphInterrupt([])

    point = lab.govern({Stage.TOOL_RESULT: deny("no")})
    with pytest.raises(GraphInterrupt):
        guard_tool(stop, point.pep).invoke({"who": "bob"})
    assert [one.request.stage for one in point.records] == [Stage.TOOL_CALL]
