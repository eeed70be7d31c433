"""Tools of a router: bound in the words of the model that is chosen."""

import copy

import pytest
from foreign_model import IN_FOREIGN_WAY, IN_OPENAIS_WAY, Foreign, Key, hide, look
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from routed_models import body, of, only, route_to
from verdicts import REDACT

from checkrein.testing import obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, PolicyMiddleware, PolicyRouter

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.mark.parametrize(
    "given", [look, tool(look), IN_OPENAIS_WAY, IN_FOREIGN_WAY], ids=["function", "tool", "openai", "foreign"]
)
def test_tools_are_bound_in_the_way_of_the_model_that_is_chosen(lab, pair, given):
    one = pair({Stage.MODEL_SELECTION: lambda q: only(q.document["subject"]["id"])(q)})
    before = copy.deepcopy(given) if isinstance(given, dict) else None

    for name in ("openai", "foreign"):
        one.router.acting_as(name).bind_tools([given]).invoke("hi")

    assert body(lab)["tools"] == [IN_OPENAIS_WAY]
    (asked,) = one.foreign.asked
    assert asked.tools == [IN_FOREIGN_WAY]
    assert before is None or given == before
    assert one.records[0].document["context"]["tools"] == ["look"]


CHOICES = {
    "any": ("any", "required", {"type": "any"}),
    "required": ("required", "required", {"type": "any"}),
    "true": (True, "required", {"type": "any"}),
    "auto": ("auto", "auto", {"type": "auto"}),
    "none": ("none", "none", {"type": "none"}),
    "name": ("look", {"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    "openai's": (
        {"type": "function", "function": {"name": "look"}},
        {"type": "function", "function": {"name": "look"}},
        {"type": "tool", "name": "look"},
    ),
    "responses'": (
        {"type": "function", "name": "look"},
        {"type": "function", "function": {"name": "look"}},
        {"type": "tool", "name": "look"},
    ),
    "foreign": (
        {"type": "tool", "name": "look"},
        {"type": "function", "function": {"name": "look"}},
        {"type": "tool", "name": "look"},
    ),
    "foreign any": ({"type": "any"}, "required", {"type": "any"}),
    "bedrock's": ({"any": {}}, "required", {"type": "any"}),
    "bedrock's name": (
        {"tool": {"name": "look"}},
        {"type": "function", "function": {"name": "look"}},
        {"type": "tool", "name": "look"},
    ),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_of_tools_is_said_in_the_chosen_models_words(lab, pair, choice):
    given, openais, foreign = CHOICES[choice]
    one = pair()
    bound = one.router.bind_tools([look], tool_choice=given)

    bound.invoke("hi")
    bound.invoke("hi", model="foreign")

    assert body(lab)["tool_choice"] == openais
    assert one.foreign.asked[0].tool_choice == foreign


def test_no_choice_is_none(lab, pair):
    one = pair()

    one.router.bind_tools([look], tool_choice=None).invoke("hi")

    assert "tool_choice" not in body(lab)


def test_calling_one_by_one_is_said_where_it_can_be(lab, pair):
    one = pair()
    bound = one.router.bind_tools(
        [look], tool_choice={"type": "auto", "disable_parallel_tool_use": True}, strict=True
    )

    bound.invoke("hi")
    bound.invoke("hi", model="foreign")

    assert body(lab)["parallel_tool_calls"] is False
    assert body(lab)["tools"][0]["function"]["strict"] is True
    assert not {"parallel_tool_calls", "strict"} & vars(one.foreign.asked[0]).keys()


def test_what_data_says_to_its_own_provider_reaches_it(pair):
    one = pair()
    given = {**IN_FOREIGN_WAY, "cache_control": {"type": "ephemeral"}}

    one.router.bind_tools([given]).invoke("hi", model="foreign")

    assert one.foreign.asked[0].tools == [given]


@pytest.mark.parametrize("name", ["openai", "foreign"])
def test_what_a_tool_says_is_redacted_before_it_is_bound(lab, pair, name):
    one = pair({Stage.PRE_PROMPT: REDACT})

    def tell(who: str) -> str:
        return who

    tell.__doc__ = f"Tell {lab.secret}."
    one.router.bind_tools([tell]).invoke("hi", model=name)

    seen = lab.upstream.texts + str(one.foreign.asked)
    assert lab.raw(seen) == 0
    assert "Tell [REDACTED:secret]." in seen


def test_redaction_and_a_route_in_one_answer_both_hold(lab, pair):
    def judge(question):
        route = () if of(question) == "foreign" else (obligation("route", model="foreign"),)
        return permit(*route, obligation("redact", types=["secret"]))

    one = pair({Stage.PRE_PROMPT: judge})
    given = {
        **IN_OPENAIS_WAY,
        "function": {**IN_OPENAIS_WAY["function"], "description": f"Tell {lab.secret}."},
    }

    one.router.bind_tools([given]).invoke(f"my key is {lab.secret}")

    assert lab.upstream.requests == []
    (asked,) = one.foreign.asked
    assert lab.raw(str(asked)) == 0
    assert asked.tools[0]["description"] == "Tell [REDACTED:secret]."


@pytest.mark.parametrize("name", ["openai", "foreign"])
def test_a_tool_that_policy_removes_is_bound_to_no_model(lab, pair, name):
    one = pair({Stage.PRE_PROMPT: permit(obligation("remove_tools", names=["look"]))})

    one.router.bind_tools([look, hide], tool_choice="look").invoke("hi", model=name)
    one.router.bind_tools([look], tool_choice="look", strict=True).invoke("hi", model=name)

    assert "Look somebody up." not in lab.upstream.texts + str(one.foreign.asked)
    sent = [request.body for request in lab.upstream.requests] or [vars(asked) for asked in one.foreign.asked]
    assert "Hide somebody." in str(sent[0])
    assert not {"tools", "tool_choice", "strict"} & sent[1].keys()


def test_a_model_that_cannot_have_tools_is_no_candidate(lab):
    point = lab.govern()
    models = {"mute": FakeListChatModel(responses=["x"]), "openai": lab.chat()}
    router = PolicyRouter(models=models, pep=point.pep)

    router.bind_tools([look]).invoke("hi")

    assert body(lab)["model"] == "gpt-4o"
    assert [one.resource.id for one in point.records[0].candidates] == ["openai"]
    assert router.invoke("hi").text == "x"


def test_where_no_model_can_have_tools_nothing_is_asked(lab):
    point = lab.govern()
    router = PolicyRouter(models={"mute": FakeListChatModel(responses=["x"])}, pep=point.pep)

    for ask in ({}, {"model": "mute"}):
        with pytest.raises(ValueError, match="cannot be offered the tools"):
            router.bind_tools([look]).invoke("hi", **ask)
    assert point.records == []


def test_policy_cannot_route_tools_to_a_model_that_cannot_have_them(lab):
    point = lab.govern({Stage.PRE_PROMPT: route_to("mute")})
    models = {"openai": lab.chat(), "mute": FakeListChatModel(responses=["x"])}

    with pytest.raises(PolicyDenied) as denied:
        PolicyRouter(models=models, pep=point.pep).bind_tools([look]).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == []


def test_tools_that_a_call_brings_itself_are_bound_too(lab, pair):
    one = pair()

    one.router.invoke("hi", tools=[look, hide])

    assert [tool["function"]["name"] for tool in body(lab)["tools"]] == ["look", "hide"]
    assert one.records[0].document["context"]["tools"] == ["look", "hide"]


def test_something_that_is_no_tool_is_told_when_it_is_bound(pair):
    with pytest.raises(ValueError, match="nsupported"):
        pair().router.bind_tools([7])


def test_tools_do_not_change_which_stages_are_asked_in_any_way_of_calling(lab, runnable_way):
    lab.upstream.reply = {"name": "look", "arguments": {"who": lab.secret}}
    point = lab.govern({Stage.MODEL_SELECTION: only("openai"), Stage.POST_COMPLETION: REDACT})

    done = lab.call(
        runnable_way,
        lambda model: PolicyRouter(models={"foreign": Foreign(), "openai": model}, pep=point.pep).bind_tools(
            [look]
        ),
    )

    assert done.error is None
    assert body(lab)["tools"] == [IN_OPENAIS_WAY]
    assert lab.raw(*map(repr, done.got), *done.seen) == 0
    assert len(point.records) == 4


def test_an_agent_may_be_made_of_a_router(lab, pair):
    lab.upstream.reply = [{"name": "hide", "arguments": {"who": "bob"}}, "hidden"]
    one = pair()

    came = create_agent(one.router, [hide]).invoke({"messages": [HumanMessage("hide bob")]})

    assert came["messages"][-1].text == "hidden"
    assert len(lab.upstream.requests) == 2
    assert len([record for record in one.records if record.candidates]) == 2


def test_a_middleware_of_the_same_policy_does_not_ask_about_a_router_twice(lab, pair):
    # Not all of the models say that they can answer in a schema: the agent makes a tool of it.
    lab.upstream.reply = {"name": "Key", "arguments": {"key": "abc"}}
    one = pair()
    agent = create_agent(one.router, [hide], middleware=[PolicyMiddleware(one.pep)], response_format=Key)

    came = agent.invoke({"messages": [HumanMessage("the key?")]})

    assert came["structured_response"] == Key(key="abc")
    assert [record.request.resource.id for record in one.records] == ["router", *["openai"] * 3]
