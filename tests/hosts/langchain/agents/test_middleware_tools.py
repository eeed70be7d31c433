"""Tools of an agent: what is denied does not run, what is redacted nobody sees, in every way of running."""

import pytest
from langchain.tools import ToolRuntime
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langgraph.types import Command

from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Stage

pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.LangChainBetaWarning", "ignore:Pydantic serializer warnings"
)

REDACT = permit(obligation("redact", types=["secret"]))


def at(stage, answer):
    return StaticEngine(dict.fromkeys(Stage, permit()) | {stage: answer})


def failing(stage, engine):
    return at(stage, engine._answer)


DENIALS = {
    "deny": lambda stage: at(stage, deny("no")),
    "not applicable": lambda stage: at(stage, not_applicable()),
    "timeout": lambda stage: failing(stage, FailingEngine("timeout")),
    "failure": lambda stage: failing(stage, FailingEngine("engine_error")),
    "bug": lambda stage: failing(stage, FailingEngine(error=ZeroDivisionError("oops"))),
    "nonsense": lambda stage: failing(stage, FailingEngine(answer={"allow": True})),
    "unknown obligation": lambda stage: at(stage, permit(obligation("sing", song="la"))),
    "unmet obligation": lambda stage: at(stage, permit(obligation("limit_tokens", max_tokens=5))),
}


@pytest.fixture(autouse=True)
def called(office):
    """The provider calls the tool, then says that it is done."""
    office.calls()


# Before it runs


@pytest.mark.parametrize("denial", DENIALS)
def test_a_denied_tool_does_not_run_and_the_model_is_told_so(lab, office, desk, mode, denial):
    point = lab.govern(engine=DENIALS[denial](Stage.TOOL_CALL))

    done = office.run(mode, point, tools=[desk.tool])

    assert done.error is None
    assert desk.calls == []
    (refused,) = [one for one in point.records if not one.permitted]
    (told,) = done.results
    assert told.status == "error"
    assert told.name == "look"
    assert refused.decision_id in told.content
    assert refused.reasons[0].code in told.content
    assert office.upstream.requests[1].body["messages"][-1]["content"] == told.content
    assert done.messages[-1].content == "done"


def test_a_denied_tool_does_not_run_in_any_way(lab, office, desk, run_way):
    office.calls(who=lab.secret)
    engine = StaticEngine(
        dict.fromkeys(Stage, permit()) | {Stage.POST_COMPLETION: REDACT, Stage.TOOL_CALL: deny("no")}
    )

    done = office.run(run_way, lab.govern(engine=engine), tools=[desk.tool])

    assert done.error is None
    assert desk.calls == []
    assert lab.raw(*done.seen) == 0
    assert done.results[0].status == "error"


def test_policy_sees_the_tool_its_arguments_and_the_model(lab, office, desk, mode):
    point = lab.govern()

    office.run(mode, point, tools=[desk.tool])

    (called,) = [one for one in point.records if one.request.stage is Stage.TOOL_CALL]
    document = called.document
    call_id = document["context"]["tool"]["call_id"]
    assert document["resource"] == {"type": "tool", "id": "look", "properties": {}}
    assert document["context"]["tool"] == {"arguments": {"who": "bob"}, "call_id": call_id}
    assert document["context"]["model"] == "gpt-4o"
    assert [one.text for one in called.request.segments] == ["bob"]
    (result,) = [one for one in point.records if one.request.stage is Stage.TOOL_RESULT]
    assert result.call_id == called.call_id
    assert result.document["context"]["result"]["text"] == "found it"
    assert result.document["context"]["model"] == "gpt-4o"


def test_redacted_arguments_reach_the_tool_redacted(lab, office, desk, mode):
    office.calls(who=f"bob {lab.secret}", where="there")
    point = lab.govern({Stage.TOOL_CALL: REDACT})

    done = office.run(mode, point, tools=[desk.tool])

    assert desk.calls == [("bob [REDACTED:secret]", "there")]
    assert done.results[0].content == "found it"


def test_a_text_in_place_of_the_only_argument_reaches_the_tool(lab, office, desk, mode):
    point = lab.govern({Stage.TOOL_CALL: permit(obligation("replace", text="eve"))})

    office.run(mode, point, tools=[desk.tool])

    assert desk.calls == [("eve", "here")]


def test_a_text_in_place_of_several_arguments_would_be_another_call(lab, office, desk, mode):
    office.calls(who="bob", where="there")
    point = lab.govern({Stage.TOOL_CALL: permit(obligation("replace", text="eve"))})

    done = office.run(mode, point, tools=[desk.tool])

    assert desk.calls == []
    assert "unsupported_obligation" in done.results[0].content


def test_a_tool_that_nobody_registered_is_asked_about_as_well(lab, office, desk, mode):
    office.upstream.reply = [office.said(name="steal", arguments={"what": "all"}), "done"]
    point = lab.govern()

    done = office.run(mode, point, tools=[desk.tool])

    asked = [one.request.resource.id for one in point.records if one.request.stage is Stage.TOOL_CALL]
    assert asked == ["steal"]
    assert "not a valid tool" in done.results[0].content
    judged = [one for one in point.records if one.request.stage is Stage.TOOL_RESULT]
    assert "not a valid tool" in judged[0].request.segments[0].text


def test_what_a_tool_says_of_wrong_arguments_is_judged(lab, office, desk, mode):
    office.calls(wrong=lab.secret)
    point = lab.govern({Stage.TOOL_RESULT: REDACT})

    done = office.run(mode, point, tools=[desk.tool])

    assert desk.calls == []
    assert lab.raw(done.results) == 0
    assert done.results[0].status == "error"


def test_monitoring_lets_a_tool_run(lab, office, desk, mode):
    point = lab.govern(
        {Stage.TOOL_CALL: deny("no"), Stage.TOOL_RESULT: deny("no")}, enforcement={"default": "monitor"}
    )

    done = office.run(mode, point, tools=[desk.tool])

    assert desk.calls == [("bob", "here")]
    assert done.results[0].content == "found it"
    assert [one.permitted for one in point.records].count(False) == 2


# What it gave back


def answers(secret):
    return {
        "text": f"it is {secret}!",
        "data": {"a": [f"{secret}"], "b": {f"key {secret}": 1}},
        "list": [secret, "x", 7],
        "blocks": [{"type": "text", "text": f"it is {secret}"}, {"type": "text", "text": "!"}],
        "message": ToolMessage(f"it is {secret}", tool_call_id="", artifact={"raw": [secret]}),
    }


KINDS = [*answers("")]


def give(desk, lab, kind):
    """Let the tool give back the secret in one of the shapes."""
    desk.answer = answers(lab.secret)[kind]
    if kind == "message":

        @tool
        def look(who: str, tool_call_id: str = "") -> object:
            """Look somebody up."""
            desk.calls.append(who)
            return desk.answer.model_copy(update={"tool_call_id": "call_1"})

        return look
    return desk.tool


@pytest.mark.parametrize("kind", KINDS)
def test_a_redacted_result_is_seen_by_nobody(lab, office, desk, run_way, kind):
    point = lab.govern({Stage.TOOL_RESULT: REDACT})

    done = office.run(run_way, point, tools=[give(desk, lab, kind)])

    assert done.error is None
    assert len(desk.calls) == 1
    assert lab.raw(*done.seen, office.upstream.texts) == 0
    assert "[REDACTED:secret]" in str(done.results[0].content)
    assert "[REDACTED:secret]" in office.upstream.texts


@pytest.mark.parametrize("kind", KINDS)
def test_a_denied_result_is_seen_by_nobody(lab, office, desk, run_way, kind):
    point = lab.govern({Stage.TOOL_RESULT: deny("no")})

    done = office.run(run_way, point, tools=[give(desk, lab, kind)])

    assert done.error is None
    assert len(desk.calls) == 1
    assert lab.raw(*done.seen, office.upstream.texts) == 0
    (told,) = done.results
    assert told.status == "error"
    assert told.artifact is None
    assert point.records[-4].decision_id in told.content


@pytest.mark.parametrize("denial", DENIALS)
def test_a_result_that_policy_cannot_permit_is_withheld(lab, office, desk, mode, denial):
    desk.answer = lab.secret
    point = lab.govern(engine=DENIALS[denial](Stage.TOOL_RESULT))

    done = office.run(mode, point, tools=[desk.tool])

    assert len(desk.calls) == 1
    assert lab.raw(*done.seen, office.upstream.texts) == 0
    assert done.results[0].status == "error"


def test_an_artifact_is_judged_and_the_tools_own_is_left_alone(lab, office, run_way):
    own = [Document(f"it is {lab.secret}", metadata={"from": lab.secret, "page": 7})]

    @tool(response_format="content_and_artifact")
    def look(who: str) -> tuple[str, list[Document]]:
        """Look somebody up."""
        return "found", own

    done = office.run(run_way, lab.govern({Stage.TOOL_RESULT: REDACT}), tools=[look])

    assert lab.raw(*done.seen) == 0
    (told,) = done.results
    # A checkpoint keeps an artifact as plain data.
    (document,) = told.artifact
    assert (told.content, document["page_content"]) == ("found", "it is [REDACTED:secret]")
    assert document["metadata"] == {"from": "[REDACTED:secret]", "page": 7}
    assert lab.raw(own) > 0


def test_a_text_in_place_of_a_result_is_all_that_is_left(lab, office, desk, mode):
    desk.answer = {"a": "one", "b": "two"}
    point = lab.govern({Stage.TOOL_RESULT: permit(obligation("replace", text="nothing to see"))})

    done = office.run(mode, point, tools=[desk.tool])

    assert done.results[0].content == '{"a": "nothing to see", "b": ""}'


@pytest.mark.parametrize("handled", [True, "sorry", lambda error: f"oh: {error}", False])
def test_what_a_tool_raises_is_judged(lab, office, mode, handled):
    @tool
    def look(who: str) -> str:
        """Look somebody up."""
        raise ToolException(f"no {lab.secret}") from KeyError(lab.secret)

    look.handle_tool_error = handled
    point = lab.govern({Stage.TOOL_RESULT: REDACT})

    done = office.run(mode, point, tools=[look])

    assert lab.raw(*done.seen, done.error, repr(done.error)) == 0
    if handled:
        assert done.results[0].status == "error"
        assert done.error is None
    else:
        assert "[REDACTED:secret]" in str(done.error)


def test_an_error_that_policy_denies_becomes_an_error_message_without_it(lab, office, desk, mode):
    desk.error = RuntimeError(lab.secret)
    point = lab.govern({Stage.TOOL_RESULT: deny("no")})

    done = office.run(mode, point, tools=[desk.tool])

    assert done.error is None
    assert lab.raw(*done.seen) == 0
    assert done.results[0].status == "error"


def test_an_error_that_policy_permits_is_raised_as_it_is(lab, office, desk, mode):
    desk.error = RuntimeError("plain")

    done = office.run(mode, lab.govern(), tools=[desk.tool])

    assert done.error is desk.error


def test_a_command_is_judged_with_everything_that_it_changes(lab, office, run_way):
    @tool
    def look(who: str) -> Command:
        """Look somebody up."""
        told = ToolMessage(f"it is {lab.secret}", tool_call_id="call_1", name="look", artifact=[lab.secret])
        return Command(update={"messages": [told, AIMessage(lab.secret)]})

    done = office.run(run_way, lab.govern({Stage.TOOL_RESULT: REDACT}), tools=[look])

    assert done.error is None
    assert lab.raw(*done.seen, office.upstream.texts) == 0
    assert done.results[0].content == "it is [REDACTED:secret]"
    assert done.results[0].name == "look"
    assert [one["stage"] for one in done.decisions].count("tool_result") == 1


def test_a_denied_command_changes_nothing(lab, office, run_way):
    @tool
    def look(who: str) -> Command:
        """Look somebody up."""
        told = ToolMessage("it is", tool_call_id="call_1")
        return Command(update={"messages": [told, AIMessage(lab.secret)]})

    done = office.run(run_way, lab.govern({Stage.TOOL_RESULT: deny("no")}), tools=[look])

    assert done.error is None
    assert lab.raw(*done.seen, office.upstream.texts) == 0
    assert [type(one) for one in done.messages].count(AIMessage) == 2
    assert done.results[0].status == "error"


def test_what_cannot_be_read_is_withheld(lab, office, desk, mode):
    round_and_round = [lab.secret]
    round_and_round.append(round_and_round)

    @tool(response_format="content_and_artifact")
    def look(who: str) -> object:
        """Look somebody up."""
        return "found", round_and_round

    point = lab.govern()

    done = office.run(mode, point, tools=[look])

    assert done.results[0].status == "error"
    assert "result_unreadable" in done.results[0].content
    assert lab.raw(*done.seen) == 0


def test_an_object_is_shown_as_the_text_that_was_judged(lab, office, desk, mode):
    class Thing:
        def __str__(self):
            return f"thing {lab.secret}"

    desk.answer = {"thing": Thing(), "when": 1}
    desk.answer["thing"].__class__.__repr__ = Thing.__str__

    done = office.run(mode, lab.govern({Stage.TOOL_RESULT: REDACT}), tools=[desk.tool])

    assert lab.raw(*done.seen) == 0
    assert done.results[0].content == "{'thing': thing [REDACTED:secret], 'when': 1}"


def test_what_a_tool_streams_while_it_runs_is_withheld(lab, office, run_way):
    @tool
    def look(who: str, runtime: ToolRuntime) -> str:
        """Look somebody up."""
        runtime.emit_output_delta(lab.secret)
        assert runtime.tool_call_id == "call_1"
        return "found"

    done = office.run(run_way, lab.govern(), tools=[look])

    assert done.error is None
    assert done.results[0].content == "found"
    assert lab.raw(*done.seen) == 0


def test_a_tool_that_answers_the_user_itself_answers_as_judged(lab, office, desk, run_way):
    desk.answer = lab.secret
    desk.tool.return_direct = True

    done = office.run(run_way, lab.govern({Stage.TOOL_RESULT: REDACT}), tools=[desk.tool])

    assert done.messages[-1].content == "[REDACTED:secret]"
    assert lab.raw(*done.seen) == 0
    assert len(office.upstream.requests) == 1


def test_langsmith_is_sent_what_is_judged_and_of_the_conversation_nothing_twice(
    lab, office, desk, smith, mode
):
    desk.answer = lab.secret

    done = office.run(mode, lab.govern({Stage.TOOL_RESULT: REDACT}), "tell me more", tools=[desk.tool])

    assert done.error is None
    told = "".join(text for _, text in smith.told)
    assert "[REDACTED:secret]" in told
    assert lab.raw(told) == 0
    for hook in ("wrap_model_call", "wrap_tool_call"):
        spans = [text for name, text in smith.told if name and hook in name]
        assert spans
        assert "tell me more" not in "".join(spans)
