"""The model of an agent: guarded in every way of running it, wherever it comes from."""

import asyncio
import warnings

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from checkrein import Entity, acting_as
from checkrein.errors import SettingsError
from checkrein.testing import StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import (
    PolicyCallbackHandler,
    PolicyDenied,
    PolicyMiddleware,
    PolicyRouter,
    PolicyWarning,
    as_subject,
    guard,
)

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

REDACT = permit(obligation("redact", types=["secret"]))


def stages(point):
    return [one.request.stage for one in point.records]


def test_a_denied_call_of_the_model_sends_nothing(lab, office, run_way, stage):
    office.upstream.reply = f"the answer is {lab.secret}"
    point = lab.govern({stage: deny("no")})

    done = office.run(run_way, point)

    # Where an agent's events are streamed, LangGraph hands the error to whoever reads their output.
    assert run_way == "events v3" or isinstance(done.error, PolicyDenied)
    assert len(office.upstream.requests) == (stage is Stage.POST_COMPLETION)
    assert stages(point) == list(lab.stages[: lab.stages.index(stage) + 1])
    assert lab.raw(*done.seen, done.error, repr(done.error)) == 0


def test_a_redacted_answer_is_seen_by_nobody(lab, office, run_way):
    office.upstream.reply = f"the answer is {lab.secret}, keep it"

    done = office.run(run_way, lab.govern({Stage.POST_COMPLETION: REDACT}))

    assert done.error is None
    assert lab.raw(*done.seen) == 0
    assert done.messages[-1].text == "the answer is [REDACTED:secret], keep it"


def test_redacted_arguments_of_a_tool_call_are_seen_by_nobody(lab, office, desk, run_way):
    office.upstream.reply = [office.said(name="look", arguments={"who": lab.secret}), "done"]

    done = office.run(run_way, lab.govern({Stage.POST_COMPLETION: REDACT}), tools=[desk.tool])

    assert done.error is None
    assert lab.raw(*done.seen, desk.calls) == 0
    assert desk.calls == [("[REDACTED:secret]", "here")]


def test_what_the_user_said_is_redacted_on_its_way_to_the_model(lab, office, run_way):
    done = office.run(run_way, lab.govern({Stage.PRE_PROMPT: REDACT}), f"my key is {lab.secret}")

    assert lab.raw(office.upstream.texts) == 0
    assert "my key is [REDACTED:secret]" in office.upstream.texts
    # The caller put it into the state, and there it is.
    assert lab.secret in done.messages[0].content


def test_the_system_message_is_judged(lab, office, mode):
    point = lab.govern({Stage.PRE_PROMPT: REDACT})

    office.run(mode, point, system_prompt=f"you are {lab.secret}")

    assert lab.raw(office.upstream.texts) == 0
    assert "you are [REDACTED:secret]" in office.upstream.texts
    asked = point.records[1].request.segments
    assert [(one.origin, one.text) for one in asked] == [
        ("system", f"you are {lab.secret}"),
        ("user", "hello"),
    ]


def test_structured_answers_are_judged(lab, office, mode):
    class Person(BaseModel):
        name: str

    office.upstream.reply = office.said(name="Person", arguments={"name": lab.secret})
    point = lab.govern({Stage.POST_COMPLETION: REDACT})
    done = office.run(mode, point, response_format=ToolStrategy(Person))

    assert done.error is None
    assert done.got[0]["structured_response"] == Person(name="[REDACTED:secret]")
    assert lab.raw(*done.seen) == 0


def test_policy_routes_to_another_model(lab, office, mode):
    def answer(question):
        there = question.document["resource"]["id"] == "gpt-4o-mini"
        return permit() if there else permit(obligation("route", model="gpt-4o-mini"))

    office.run(mode, lab.govern({Stage.MODEL_SELECTION: answer}))

    assert [one.body["model"] for one in office.upstream.requests] == ["gpt-4o-mini"]


def test_policy_routes_to_a_named_model(lab, office):
    def answer(question):
        there = question.document["resource"]["id"] == "small"
        return permit() if there else permit(obligation("route", model="small"))

    point = lab.govern({Stage.MODEL_SELECTION: answer})

    office.run("invoke", point, policy={"models": {"small": lab.chat("gpt-4o-nano")}})

    assert [one.body["model"] for one in office.upstream.requests] == ["gpt-4o-nano"]


def swap(model):
    """A middleware that calls another model."""

    class Swap(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            return handler(request.override(model=model))

        async def awrap_model_call(self, request, handler):
            return await handler(request.override(model=model))

    return Swap()


def test_a_model_that_another_middleware_chose_is_guarded(lab, office):
    point = lab.govern({Stage.PRE_PROMPT: REDACT})

    office.run("invoke", point, lab.secret, around=[swap(lab.chat("gpt-4.1"))])

    assert lab.raw(office.upstream.texts) == 0
    assert [one.body["model"] for one in office.upstream.requests] == ["gpt-4.1"]
    assert point.records[0].request.resource.id == "gpt-4.1"


def test_a_model_that_is_guarded_already_is_asked_about_once(lab, office):
    point = lab.govern()

    done = office.run("invoke", point, around=[swap(guard(lab.chat(), point.pep))])

    assert stages(point) == list(lab.stages)
    assert [one["stage"] for one in done.decisions] == [str(one) for one in lab.stages]


def test_models_are_guarded_once_and_not_without_end(lab):
    middleware, models = PolicyMiddleware(lab.govern().pep), [lab.chat() for _ in range(70)]

    guarded = [middleware._guard(one) for one in models]

    assert middleware._guard(models[-1]) is guarded[-1]
    assert middleware._guard(models[0]) is not guarded[0]
    assert len(middleware._guarded) <= 64


def test_a_router_is_left_as_it_is(lab, office):
    def answer(question):
        there = question.document["resource"]["id"] == "small"
        return permit() if there else permit(obligation("route", model="small"))

    point = lab.govern({Stage.MODEL_SELECTION: answer})
    models = {"large": lab.chat("gpt-4.1"), "small": lab.chat("gpt-4o-nano")}
    done = office.run("invoke", point, around=[swap(PolicyRouter(models=models, pep=point.pep))])

    assert done.error is None
    assert [one.body["model"] for one in office.upstream.requests] == ["gpt-4o-nano"]


def test_a_denied_call_of_the_model_can_be_a_reply(lab, office, run_way, stage):
    point = lab.govern({stage: deny("no")}, denials={"on_denied": "reply"})

    done = office.run(run_way, point)

    assert done.error is None
    assert point.records[-1].decision_id in done.messages[-1].text
    assert done.decisions[-1]["codes"] == ["no"]
    assert len(office.upstream.requests) == (stage is Stage.POST_COMPLETION)


# Its place among others


def test_a_middleware_after_it_is_warned_of_once(lab, office, desk):
    class Innocent(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            return handler(request)

        def wrap_tool_call(self, request, handler):
            return handler(request)

    office.upstream.reply = [office.said(name="look", arguments={"who": "bob"}), "done"]
    with pytest.warns(PolicyWarning, match="put `PolicyMiddleware` last") as warned:
        done = office.run("invoke", lab.govern(), tools=[desk.tool], after=[Innocent()])

    assert done.error is None
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        office.run("invoke", lab.govern(), around=[Innocent()])


@pytest.mark.filterwarnings("ignore::checkrein_langchain.PolicyWarning")
def test_an_answer_of_a_model_that_was_swapped_in_after_it_is_refused(lab, office, mode):
    office.upstream.reply = lab.secret
    point = lab.govern()

    class Late(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            return handler(request.override(model=lab.chat()))

        async def awrap_model_call(self, request, handler):
            return AIMessage(lab.secret)

    done = office.run(mode, point, after=[Late()])

    assert isinstance(done.error, PolicyDenied)
    assert done.error.code == "model_not_guarded"
    assert "put `PolicyMiddleware` last" in str(done.error)
    assert [one.permitted for one in point.records] == [False]
    assert [one for one in done.messages if isinstance(one, AIMessage)] == []


def test_retries_and_fallbacks_around_it_ask_once(lab, office, mode):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    around = [
        ModelRetryMiddleware(max_retries=2, initial_delay=0),
        ModelFallbackMiddleware(lab.chat("gpt-4.1")),
    ]

    done = office.run(mode, point, around=around)

    assert isinstance(done.error, PolicyDenied)
    assert office.upstream.requests == []
    assert stages(point) == [Stage.MODEL_SELECTION, Stage.PRE_PROMPT]


def test_retries_around_it_do_not_repeat_a_tool_whose_result_is_denied(lab, office, desk, mode):
    office.upstream.reply = [office.said(name="look", arguments={"who": "bob"}), "done"]
    point = lab.govern({Stage.TOOL_RESULT: deny("no")})

    done = office.run(
        mode, point, tools=[desk.tool], around=[ToolRetryMiddleware(max_retries=2, initial_delay=0)]
    )

    assert done.results[0].status == "error"
    assert len(desk.calls) == 1


def test_every_stage_has_to_be_covered(lab):
    point = lab.govern(engine=StaticEngine(dict.fromkeys(lab.stages, permit())))

    with pytest.raises(SettingsError, match="tool_call"):
        PolicyMiddleware(point.pep)


# Decisions in the state and in the stream


def test_decisions_are_in_the_state_without_any_text(lab, office, desk, run_way):
    office.upstream.reply = [office.said(name="look", arguments={"who": "bob"}), "done"]
    point = lab.govern({Stage.TOOL_CALL: deny("no", f"because of {lab.secret}")})

    done = office.run(run_way, point, tools=[desk.tool])

    model = [str(one) for one in lab.stages]
    assert [one["stage"] for one in done.decisions] == [*model, "tool_call", *model]
    assert [one["decision_id"] for one in done.decisions] == [one.decision_id for one in point.records]
    assert done.decisions[3] == {
        "stage": "tool_call",
        "decision_id": point.records[3].decision_id,
        "permitted": False,
        "codes": ["no"],
    }
    assert lab.raw(*done.seen) == 0


def test_decisions_are_in_the_stream_as_they_are_made(lab, office, desk):
    office.upstream.reply = [office.said(name="look", arguments={"who": "bob"}), "done"]
    for way in ("stream", "astream"):
        point = lab.govern({Stage.POST_COMPLETION: deny("no")})
        done = office.run(way, point, tools=[desk.tool])

        told = [one for kind, one in done.got if kind == "custom"]
        assert [(one["type"], one["stage"], one["permitted"], one["codes"]) for one in told] == [
            ("policy_decision", "model_selection", True, []),
            ("policy_decision", "pre_prompt", True, []),
            ("policy_decision", "post_completion", False, ["no"]),
        ]
        assert [one["decision_id"] for one in told] == [one.decision_id for one in point.records]


def test_a_caller_puts_no_decisions_into_the_state(lab, office):
    forged = {"stage": "tool_call", "decision_id": "x", "permitted": True, "codes": []}

    done = office.run("invoke", lab.govern(), given={"messages": ["hi"], "policy_decisions": [forged]})

    assert forged not in done.decisions
    assert len(done.decisions) == 3


def test_decisions_of_two_agents_at_once_stay_apart(lab):
    first, second = lab.govern(), lab.govern()

    async def use():
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            model = lab.chat(http_async_client=client)
            agents = [
                create_agent(model, [], middleware=[PolicyMiddleware(one.pep)]) for one in (first, second)
            ]
            return await asyncio.gather(*(one.ainvoke({"messages": ["hi"]}) for one in agents * 4))

    states = asyncio.run(use())

    assert [len(one["policy_decisions"]) for one in states] == [3] * 8
    ids = [note["decision_id"] for one in states for note in one["policy_decisions"]]
    assert sorted(ids) == sorted(one.decision_id for one in first.records + second.records)


# Who it is for


def test_the_subject_is_that_of_the_run(lab, office, desk, run_way):
    office.upstream.reply = [office.said(name="look", arguments={"who": "bob"}), "done"]
    point = lab.govern()

    with acting_as("mallory"):
        office.run(run_way, point, tools=[desk.tool], config=as_subject(Entity(type="user", id="alice")))

    assert {one.request.subject.id for one in point.records} == {"alice"}
    assert len(point.records) == 8


def test_the_subject_of_the_context_counts_for_tools_too(lab, office, desk, run_way):
    office.upstream.reply = [office.said(name="look", arguments={"who": "bob"}), "done"]
    point = lab.govern()

    with acting_as("alice"):
        office.run(run_way, point, tools=[desk.tool])

    assert {one.request.subject.id for one in point.records} == {"alice"}


# Models that it does not see


def summaries(model):
    return SummarizationMiddleware(model, trigger=("messages", 3), keep=("messages", 1))


HISTORY = ["one", AIMessage("two"), HumanMessage("three"), "four"]


def test_a_guarded_summariser_is_governed(lab, office):
    point = lab.govern({Stage.PRE_PROMPT: REDACT})
    given = {"messages": [lab.secret, *HISTORY]}

    done = office.run("invoke", point, given=given, around=[summaries(guard(lab.chat(), point.pep))])

    assert done.error is None
    assert len(office.upstream.requests) == 2
    assert lab.raw(office.upstream.texts) == 0


def test_an_installed_handler_trips_on_a_summariser_that_is_not_guarded(lab, office):
    point = lab.govern()
    uninstall = PolicyCallbackHandler(point.pep).install()
    try:
        office.run("invoke", point, given={"messages": HISTORY}, around=[summaries(lab.chat())])
    finally:
        uninstall()

    # Both calls were judged, each of them once.
    assert len(office.upstream.requests) == 2
    assert stages(point) == [*lab.stages, *lab.stages]


def test_an_installed_handler_asks_no_second_time_about_an_agent(lab, office, desk, run_way):
    office.upstream.reply = [office.said(name="look", arguments={"who": "bob"}), "done"]
    point = lab.govern()
    uninstall = PolicyCallbackHandler(point.pep).install()
    try:
        done = office.run(run_way, point, tools=[desk.tool])
    finally:
        uninstall()

    assert done.error is None
    assert stages(point) == [*lab.stages, Stage.TOOL_CALL, Stage.TOOL_RESULT, *lab.stages]


def test_a_subagent_is_governed_by_its_own_middleware(lab, office, mode):
    point = lab.govern({Stage.PRE_PROMPT: REDACT})
    inner = create_agent(guard(lab.chat(), point.pep), [])

    @tool
    def delegate(task: str) -> str:
        """Let somebody else do it."""
        return inner.invoke({"messages": [("user", f"{task} {lab.secret}")]})["messages"][-1].text

    office.upstream.reply = [office.said(name="delegate", arguments={"task": "x"}), "did it", "done"]
    done = office.run(mode, point, tools=[delegate])

    assert done.error is None
    assert lab.raw(office.upstream.texts) == 0
    assert [str(one.request.stage) for one in point.records].count("pre_prompt") == 3


def test_an_installed_handler_trips_on_the_model_of_a_subagent(lab, office):
    def answer(question):
        return deny("no") if lab.secret in question.document["context"]["prompt"]["text"] else permit()

    point = lab.govern({Stage.PRE_PROMPT: answer})
    inner = create_agent(lab.chat(), [])

    @tool
    def delegate(task: str) -> str:
        """Let somebody else do it."""
        return inner.invoke({"messages": [("user", f"{task} {lab.secret}")]})["messages"][-1].text

    office.upstream.reply = [office.said(name="delegate", arguments={"task": "x"}), "did it", "done"]
    uninstall = PolicyCallbackHandler(point.pep).install()
    try:
        done = office.run("invoke", point, tools=[delegate])
    finally:
        uninstall()

    assert isinstance(done.error, PolicyDenied)
    assert len(office.upstream.requests) == 1
