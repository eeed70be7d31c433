"""A guarded tool is the same tool: what it shows, takes, gives back and returns."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, Tool, tool
from langchain_core.tools.base import InjectedToolCallId
from langchain_core.utils.function_calling import convert_to_openai_tool
from used_tools import asked, call, look, ran
from verdicts import REDACT

from checkrein.testing import deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard_tool


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
