"""A guarded tool is judged before it runs and after, and shows nothing of it."""

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException, tool
from used_tools import Nested, asked, look, ran
from verdicts import REDACT

from checkrein import Entity, acting_as
from checkrein.errors import SettingsError
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, as_subject, guard_tool

DENIALS = {
    "deny": deny("no"),
    "not applicable": not_applicable(),
    "timeout": FailingEngine("timeout")._answer,
    "bug": FailingEngine(error=ZeroDivisionError("oops"))._answer,
    "nonsense": FailingEngine(answer=True)._answer,
    "unknown obligation": permit(obligation("sing")),
    "approval": permit(obligation("require_approval", approvers=["ann"])),
}


# Before it runs


@pytest.mark.parametrize("denial", DENIALS)
def test_a_denied_tool_does_not_run(lab, use, denial):
    point = lab.govern(engine=StaticEngine({Stage.TOOL_CALL: DENIALS[denial], Stage.TOOL_RESULT: permit()}))

    with pytest.raises(PolicyDenied) as denied:
        use(guard_tool(look, point.pep), {"who": lab.secret})

    assert ran == []
    assert denied.value.decision is point.records[-1]
    assert lab.raw(denied.value, repr(denied.value)) == 0


def test_a_denial_can_be_a_reply(lab, use):
    point = lab.govern({Stage.TOOL_CALL: deny("no")})
    guarded = guard_tool(look, point.pep, on_denied="reply")

    told = use(guarded, {"who": "bob"})
    message = use(guarded, asked(who="bob"))

    assert ran == []
    assert point.records[0].decision_id in told
    assert isinstance(message, ToolMessage)
    assert (message.status, message.name, message.tool_call_id) == ("error", "look", "call_1")
    assert point.records[1].decision_id in message.content


def test_a_denied_result_can_be_a_reply(lab, use):
    point = lab.govern({Stage.TOOL_RESULT: deny("no")})

    @tool(response_format="content_and_artifact")
    def take(who: str) -> tuple[str, str]:
        """Take something."""
        return lab.secret, lab.secret

    for given in (look, take):
        guarded = guard_tool(given, point.pep, on_denied="reply")
        value = {**asked(who=lab.secret), "name": given.name}
        told, message = use(guarded, {"who": lab.secret}), use(guarded, value)
        assert lab.raw(told, message) == 0
        assert message.status == "error"
        assert message.artifact is None


def test_redacted_arguments_reach_the_tool_redacted_and_the_callers_stay(lab, use):
    point = lab.govern({Stage.TOOL_CALL: REDACT})
    own = {"who": lab.secret, "nested": {"deep": ["a", lab.secret]}}

    use(guard_tool(look, point.pep), own)

    assert ran == [("[REDACTED:secret]", Nested(deep=["a", "[REDACTED:secret]"]), 3)]
    assert own == {"who": lab.secret, "nested": {"deep": ["a", lab.secret]}}


def test_arguments_without_an_end_are_a_recorded_denial(lab, use):
    round_and_round = [lab.secret]
    round_and_round.append(round_and_round)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    point = lab.govern()

    for own in (round_and_round, deep):
        with pytest.raises(PolicyDenied) as denied:
            use(guard_tool(look, point.pep), {"who": "bob", "nested": {"deep": own}})
        assert denied.value.code in ("arguments_unreadable", "limit.depth")
    assert ran == []
    assert len(point.records) == 2


def test_traces_of_a_denied_tool_have_nothing_of_it(lab, use):
    told = []

    class Hears(BaseCallbackHandler):
        def on_tool_start(self, *args, **kwargs):
            told.append(repr((args, kwargs)))

        on_tool_end = on_tool_error = on_tool_start

    config = {"callbacks": [Hears()]}
    with pytest.raises(PolicyDenied):
        use(guard_tool(look, lab.govern({Stage.TOOL_CALL: deny("no")}).pep), {"who": lab.secret}, config)
    assert told == []

    with pytest.raises(PolicyDenied):
        use(guard_tool(look, lab.govern({Stage.TOOL_RESULT: deny("no")}).pep), {"who": "bob"}, config)
    assert "found" not in "".join(told)

    told.clear()
    both = lab.govern({Stage.TOOL_CALL: REDACT, Stage.TOOL_RESULT: REDACT})
    use(guard_tool(look, both.pep), {"who": lab.secret}, config)
    assert "found [REDACTED:secret]" in "".join(told)
    assert lab.raw(*told) == 0


# What it raises


def test_what_it_raises_is_judged_with_all_that_it_was_raised_from(lab, use):
    @tool
    def take(who: str) -> str:
        """Take something."""
        raise RuntimeError("plain") from KeyError(lab.secret)

    with pytest.raises(ToolException) as raised:
        use(guard_tool(take, lab.govern({Stage.TOOL_RESULT: REDACT}).pep), {"who": "bob"})
    assert str(raised.value) == "plain"
    assert lab.raw(repr(raised.value), raised.value.__cause__, raised.value.__context__) == 0

    with pytest.raises(PolicyDenied):
        use(guard_tool(take, lab.govern({Stage.TOOL_RESULT: deny("no")}).pep), {"who": "bob"})
    with pytest.raises(RuntimeError, match="plain"):
        use(guard_tool(take, lab.govern().pep), {"who": "bob"})


@pytest.mark.parametrize("handled", [True, "sorry", lambda error: f"oh: {error}"])
def test_errors_are_handled_as_the_tool_handles_them(lab, use, handled):
    @tool
    def take(who: str) -> str:
        """Take something."""
        raise ToolException(f"no {who}")

    take.handle_tool_error = handled
    value = {**asked(who=lab.secret), "name": "take"}
    bare = take.invoke(value)

    redacted = use(guard_tool(take, lab.govern({Stage.TOOL_RESULT: REDACT}).pep), value)
    permitted = use(guard_tool(take, lab.govern().pep), value)

    assert permitted == bare
    assert redacted.status == "error"
    assert redacted.content == bare.content.replace(lab.secret, "[REDACTED:secret]")


# Who it is for, and what else is there


def test_it_is_used_for_whoever_calls(lab, use):
    point = lab.govern()
    guarded = guard_tool(look, point.pep)

    with acting_as("carol"):
        use(guarded, {"who": "x"})
    use(guarded, {"who": "x"}, as_subject("alice"))
    use(guarded.acting_as(Entity(type="user", id="bob")), {"who": "x"}, as_subject("alice"))
    use(guarded, {"who": "x"})

    subjects = [one.request.subject.id for one in point.records]
    assert subjects == ["carol"] * 2 + ["alice"] * 2 + ["bob"] * 2 + ["anonymous"] * 2
    assert len({one.call_id for one in point.records}) == 4


def test_a_handler_asks_no_second_time_but_about_what_the_tool_calls(lab, use):
    point = lab.govern()

    @tool
    def outer(who: str) -> str:
        """Ask another tool."""
        return look.invoke({"who": who})

    use(guard_tool(outer, point.pep), {"who": "bob"}, {"callbacks": [PolicyCallbackHandler(point.pep)]})

    asked_of = [(one.request.stage.value, one.request.resource.id) for one in point.records]
    assert asked_of == [
        ("tool_call", "outer"),
        ("tool_call", "look"),
        ("tool_result", "look"),
        ("tool_result", "outer"),
    ]


def test_a_tool_that_is_guarded_already_is_asked_about_once(lab, use):
    point = lab.govern()

    use(guard_tool(guard_tool(look, point.pep), point.pep), {"who": "bob"})

    assert [one.request.stage for one in point.records] == [Stage.TOOL_CALL, Stage.TOOL_RESULT]


def test_guarding_needs_a_tool_and_covered_stages(lab):
    with pytest.raises(TypeError, match="no tool"):
        guard_tool(len, lab.govern().pep)
    with pytest.raises(SettingsError, match="tool_call"):
        guard_tool(look, lab.govern(engine=StaticEngine(dict.fromkeys(lab.stages, permit()))).pep)


def test_unchecked_stages_are_recorded_and_pass(lab, use):
    engine = StaticEngine(dict.fromkeys(lab.stages, permit()))
    point = lab.govern(engine=engine, unchecked=["tool_call", "tool_result"])

    assert use(guard_tool(look, point.pep), {"who": "bob"}) == "found bob"
    assert len(point.records) == 2


def test_it_shows_nothing_of_the_policy_or_the_call(lab):
    guarded = guard_tool(look, lab.govern().pep)

    assert repr(guarded) == "GuardedTool(name='look', inner='StructuredTool')"
    with pytest.raises(NotImplementedError, match="call the guarded tool"):
        guarded.func("bob")
