"""A guarded tool: the same tool to whoever calls it, and policy before and after."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, Tool, ToolException, tool
from langchain_core.tools.base import InjectedToolCallId
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from verdicts import REDACT

from checkrein import Entity, acting_as
from checkrein.errors import SettingsError
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, as_subject, guard_tool

ran = []


@pytest.fixture(autouse=True)
def forget():
    ran.clear()


class Nested(BaseModel):
    deep: list[str] = Field(default_factory=list)


@tool
def look(who: str, nested: Nested | None = None, n: int = 3) -> str:
    """Look somebody up."""
    ran.append((who, nested, n))
    return f"found {who}"


@tool
async def wait(who: str) -> str:
    """Look somebody up, and wait."""
    ran.append(who)
    await asyncio.sleep(0)
    return f"found {who}"


class Custom(BaseTool):
    name: str = "custom"
    description: str = "made by hand"

    def _run(self, who: str, run_manager: CallbackManagerForToolRun | None = None) -> str:
        assert run_manager is not None
        ran.append(who)
        return f"found {who}"


class Told(BaseTool):
    """Wants to know about its call."""

    name: str = "told"
    description: str = "made by hand"

    def _run(self, who: str, *, config: RunnableConfig, run_manager: Any = None) -> str:
        ran.append((who, config["metadata"]["x"], run_manager is not None))
        return f"found {who}"

    async def _arun(self, who: str, *, config: RunnableConfig, run_manager: Any = None) -> str:
        return self._run(who, config=config, run_manager=run_manager)


def call(kind="invoke"):
    """Invoke a tool, blocking or awaited."""

    def use(given, value, config=None):
        if kind == "invoke":
            return given.invoke(value, config)
        return asyncio.run(given.ainvoke(value, config))

    return use


@pytest.fixture(params=["invoke", "ainvoke"])
def use(request):
    return call(request.param)


def asked(**args):
    return {"type": "tool_call", "id": "call_1", "name": "look", "args": args}


# The same tool


@pytest.mark.parametrize("given", [look, wait, Custom(), Told()], ids=lambda one: one.name)
def test_it_shows_itself_as_the_tool_does(lab, given):
    guarded = guard_tool(given, lab.govern().pep)

    assert convert_to_openai_tool(guarded) == convert_to_openai_tool(given)
    assert (guarded.name, guarded.description) == (given.name, given.description)
    assert (guarded.args, guarded.is_single_input) == (given.args, given.is_single_input)
    assert guarded.args_schema is given.args_schema
    assert guarded.get_input_schema() is given.get_input_schema() or given.args_schema is None


def test_a_tool_without_a_schema_is_called_with_one_string(lab, use):
    given = Tool("shout", lambda text: text.upper(), "shout it")
    point = lab.govern({Stage.TOOL_CALL: REDACT})
    guarded = guard_tool(given, point.pep)

    assert use(guarded, f"hi {lab.secret}") == "HI [REDACTED:SECRET]"
    assert use(guarded, {"__arg1": "hi"}) == "HI"
    bare = convert_to_openai_tool(given)["function"]["parameters"]
    shown = convert_to_openai_tool(guarded)["function"]["parameters"]
    assert shown["properties"].keys() == bare["properties"].keys()
    assert shown["required"] == bare["required"]


@pytest.mark.parametrize("given", [look, wait, Custom(), Told()], ids=lambda one: one.name)
def test_it_gives_back_what_the_tool_does(lab, given):
    guarded = guard_tool(given, lab.govern().pep)
    config = {"metadata": {"x": 1}}

    for value in ({"who": "bob"}, {**asked(who="bob"), "name": given.name}):
        assert call("ainvoke")(guarded, value, config) == call("ainvoke")(given, value, config)
        if given is not wait:
            assert guarded.invoke(value, config) == given.invoke(value, config)


def test_a_tool_that_can_only_be_awaited_can_only_be_awaited(lab):
    guarded = guard_tool(wait, lab.govern().pep)

    with pytest.raises(NotImplementedError):
        guarded.invoke({"who": "bob"})


def test_it_streams_batches_and_pipes_as_tools_do(lab):
    point = lab.govern({Stage.TOOL_CALL: REDACT})
    guarded = guard_tool(look, point.pep)

    assert guarded.batch([{"who": "a"}, {"who": lab.secret}]) == ["found a", "found [REDACTED:secret]"]
    assert list(guarded.stream({"who": lab.secret})) == ["found [REDACTED:secret]"]
    assert (RunnableLambda(lambda who: {"who": who}) | guarded).invoke(
        lab.secret
    ) == "found [REDACTED:secret]"
    assert guarded.run({"who": lab.secret}) == "found [REDACTED:secret]"


def test_injected_arguments_are_passed_and_not_judged(lab, use):
    @tool
    def take(who: str, key: Annotated[str, InjectedToolArg], call: Annotated[str, InjectedToolCallId]) -> str:
        """Take something."""
        ran.append((who, key, call))
        return "taken"

    point = lab.govern({Stage.TOOL_CALL: REDACT})
    result = use(guard_tool(take, point.pep), {**asked(who=lab.secret, key=lab.secret), "name": "take"})

    assert result.content == "taken"
    assert ran == [("[REDACTED:secret]", lab.secret, "call_1")]
    arguments = point.records[0].document["context"]["tool"]["arguments"]
    assert arguments == {"who": lab.secret}


def test_names_that_langchain_hides_from_callbacks_are_judged(lab, use):
    given = StructuredTool.from_function(
        lambda **given: ran.append(given),
        name="any",
        description="takes anything",
        args_schema={"type": "object", "properties": {"who": {"type": "string"}}},
    )

    def answer(question):
        return deny("no") if question.document["context"]["findings"] else permit()

    with pytest.raises(PolicyDenied):
        use(guard_tool(given, lab.govern({Stage.TOOL_CALL: answer}).pep), {"callbacks": lab.secret})
    assert ran == []


def test_it_returns_what_it_is_to_return_directly_and_keeps_its_artifact(lab, use):
    @tool(return_direct=True, response_format="content_and_artifact")
    def take(who: str) -> tuple[str, dict]:
        """Take something."""
        return f"it is {lab.secret}", {"raw": [lab.secret, 7]}

    guarded = guard_tool(take, lab.govern({Stage.TOOL_RESULT: REDACT}).pep)

    assert guarded.return_direct
    result = use(guarded, {**asked(who="bob"), "name": "take"})
    assert (result.content, result.artifact) == ("it is [REDACTED:secret]", {"raw": ["[REDACTED:secret]", 7]})
    assert use(guarded, {"who": "bob"}) == "it is [REDACTED:secret]"


def test_objects_of_the_tools_own_are_judged_and_kept_where_they_are_permitted(lab, use):
    @dataclass(frozen=True)
    class Found:
        name: str
        more: list

    own = Found(lab.secret, [lab.secret, 7])

    @tool(response_format="content_and_artifact")
    def take(who: str) -> tuple[object, object]:
        """Take something."""
        return own, own

    value = {**asked(who="bob"), "name": "take"}
    kept = use(guard_tool(take, lab.govern().pep), value)
    redacted = use(guard_tool(take, lab.govern({Stage.TOOL_RESULT: REDACT}).pep), value)

    assert kept.artifact is own
    assert redacted.artifact == Found("[REDACTED:secret]", ["[REDACTED:secret]", 7])
    assert lab.raw(redacted) == 0
    assert use(guard_tool(take, lab.govern().pep), {"who": "bob"}) is own


def test_what_cannot_be_read_is_told_of_and_policy_decides(lab, use):
    def careful(question):
        return deny("opaque") if question.document["context"].get("uninspected") else permit()

    @tool
    def take(who: str) -> object:
        """Take something."""
        return iter([lab.secret])

    with pytest.raises(PolicyDenied) as denied:
        use(guard_tool(take, lab.govern({Stage.TOOL_RESULT: careful}).pep), {"who": "bob"})
    assert denied.value.code == "opaque"
    assert next(use(guard_tool(take, lab.govern().pep), {"who": "bob"})) == lab.secret


# Before it runs

DENIALS = {
    "deny": deny("no"),
    "not applicable": not_applicable(),
    "timeout": FailingEngine("timeout")._answer,
    "bug": FailingEngine(error=ZeroDivisionError("oops"))._answer,
    "nonsense": FailingEngine(answer=True)._answer,
    "unknown obligation": permit(obligation("sing")),
    "approval": permit(obligation("require_approval", approvers=["ann"])),
}


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
