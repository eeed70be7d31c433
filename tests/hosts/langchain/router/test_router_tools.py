"""Tools and schemas of a router, and of a guarded model that policy routes to another provider's."""

import asyncio
import copy
from enum import Enum
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, PolicyMiddleware, PolicyRouter, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

REDACT = permit(obligation("redact", types=["secret"]))


class Foreign(BaseChatModel):
    """Another provider's model: it has tools, a choice and an answer of a shape that OpenAI's has not."""

    asked: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self):
        return "foreign"

    def _get_ls_params(self, stop=None, **kwargs):
        return {"ls_provider": "foreign", "ls_model_name": "foreign-1", "ls_model_type": "chat"}

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        made = [one if isinstance(one, dict) and "input_schema" in one else self._made(one) for one in tools]
        if tool_choice is not None:
            free = tool_choice in ("any", "auto", "none") if isinstance(tool_choice, str) else False
            kwargs["tool_choice"] = (
                tool_choice
                if isinstance(tool_choice, dict)
                else {"type": tool_choice}
                if free
                else {"type": "tool", "name": tool_choice}
            )
        return self.bind(tools=made, **kwargs)

    def _made(self, one):
        function = convert_to_openai_tool(one)["function"]
        return {
            "name": function["name"],
            "description": function.get("description", ""),
            "input_schema": function["parameters"],
        }

    def _get_request_payload(self, input_, *, stop=None, **options):
        return {"model": "foreign-1", "max_tokens": 64, **options}

    def _generate(self, messages, stop=None, run_manager=None, **options):
        self.asked.append(SimpleNamespace(text=str([one.content for one in messages]), **options))
        calls = (
            [{"name": options["tools"][0]["name"], "args": {"key": "abc"}, "id": "1"}]
            if "tools" in options
            else []
        )
        told = AIMessage("" if calls else "from abroad", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=told)])


class Key(BaseModel):
    """A key."""

    key: str = Field(description="what it is")


class TypedKey(TypedDict):
    """A key."""

    key: str


KEY_SCHEMA = {
    "title": "Key",
    "description": "A key.",
    "type": "object",
    "properties": {"key": {"type": "string"}},
    "required": ["key"],
}


def look(who: str) -> str:
    """Look somebody up."""
    return who


@tool
def hide(who: str) -> str:
    """Hide somebody."""
    return who


LOOK_PARAMETERS = {"properties": {"who": {"type": "string"}}, "required": ["who"], "type": "object"}
IN_OPENAIS_WAY = {
    "type": "function",
    "function": {"name": "look", "description": "Look somebody up.", "parameters": LOOK_PARAMETERS},
}
IN_FOREIGN_WAY = {"name": "look", "description": "Look somebody up.", "input_schema": LOOK_PARAMETERS}


def of(question):
    return question.document["resource"]["id"]


def only(*names):
    return lambda question: permit() if of(question) in names else deny("model.forbidden")


def route_to(name):
    return lambda question: permit() if of(question) == name else permit(obligation("route", model=name))


@pytest.fixture
def pair(lab):
    """A router over OpenAI's model, which comes first, and another provider's."""

    def make(answers=None, **settings):
        point, foreign = lab.govern(answers, **settings), Foreign()
        router = PolicyRouter(models={"openai": lab.chat(), "foreign": foreign}, pep=point.pep)
        return SimpleNamespace(router=router, foreign=foreign, records=point.records, pep=point.pep)

    return make


def body(lab):
    (request,) = lab.upstream.requests
    return request.body


# Tools


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


# Schemas


SCHEMAS = {
    "class": (Key, Key(key="abc")),
    "typed dict": (TypedKey, {"key": "abc"}),
    "data": (KEY_SCHEMA, {"key": "abc"}),
}


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("name", ["openai", "foreign"])
def test_an_answer_in_a_schema_is_asked_for_and_read_in_the_chosen_models_way(lab, pair, schema, name):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair({Stage.MODEL_SELECTION: only(name)})
    given, expected = SCHEMAS[schema]

    answer = one.router.with_structured_output(given).invoke("hi")

    assert answer == expected
    if name == "openai":
        assert body(lab)["response_format"]["type"] == "json_schema"
    else:
        assert one.foreign.asked[0].tool_choice == {"type": "any"}
        assert "response_format" not in vars(one.foreign.asked[0])


def test_the_method_and_the_raw_message_are_as_the_caller_says(lab, pair):
    lab.upstream.reply = {"name": "Key", "arguments": {"key": "abc"}}
    one = pair()

    came = one.router.with_structured_output(
        Key, include_raw=True, method="function_calling", strict=True
    ).invoke("hi")

    assert came["parsed"] == Key(key="abc")
    assert came["parsing_error"] is None
    assert came["raw"].tool_calls[0]["name"] == "Key"
    assert body(lab)["tools"][0]["function"]["strict"] is True


def test_every_way_of_asking_for_a_schema_is_judged_once(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair()
    structured = one.router.with_structured_output(Key)
    prompt = ChatPromptTemplate.from_messages([("human", "{text}")])

    assert list(structured.stream("hi")) == [Key(key="abc")]
    assert structured.batch(["hi", "ho"]) == [Key(key="abc")] * 2
    assert (prompt | structured).invoke({"text": "hi"}) == Key(key="abc")
    assert list((prompt | structured).stream({"text": "hi"})) == [Key(key="abc")]
    assert structured.with_retry().invoke("hi") == Key(key="abc")
    assert structured.with_config({"tags": ["x"]}).invoke("hi") == Key(key="abc")
    assert len(one.records) == 4 * 7


def test_asynchronous_ways_of_asking_for_a_schema_are_judged_as_well(lab):
    lab.upstream.reply = '{"key": "abc"}'
    point = lab.govern()

    for way in ("ainvoke", "abatch", "astream", "events"):
        done = lab.call(
            way,
            lambda model: (
                PolicyRouter(models={"openai": model}, pep=point.pep).with_structured_output(Key) | str
            ),
            listen=False,
        )
        assert done.error is None
        assert "abc" in str(done.got[-1])

    assert len(point.records) == 16
    assert len(lab.upstream.requests) == 4


@pytest.mark.parametrize(
    "schema_way", ["invoke", "stream", "batch", "transform", "ainvoke", "abatch", "astream", "events"]
)
def test_a_prompt_for_a_schema_is_redacted_for_models_and_traces(lab, schema_way):
    lab.upstream.reply = f'{{"key": "{lab.secret}"}}'
    point = lab.govern({Stage.PRE_PROMPT: REDACT, Stage.POST_COMPLETION: REDACT})

    def wrap(model):
        return PolicyRouter(models={"openai": model}, pep=point.pep).with_structured_output(KEY_SCHEMA) | str

    done = lab.call(schema_way, wrap, f"my key is {lab.secret}")

    assert done.error is None
    assert lab.raw(lab.upstream.texts, *map(repr, done.got), *done.seen) == 0
    assert "[REDACTED:secret]" in "".join(map(repr, done.got))


def test_what_a_schema_says_is_judged_and_redacted(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair({Stage.PRE_PROMPT: REDACT})
    schema = {**KEY_SCHEMA, "description": f"The key, not {lab.secret}."}

    assert one.router.with_structured_output(schema).invoke("hi") == {"key": "abc"}

    assert lab.raw(lab.upstream.texts) == 0
    assert "The key, not [REDACTED:secret]." in lab.upstream.texts
    assert lab.secret in schema["description"]


def test_a_class_cannot_be_redacted_and_is_denied(lab, pair):
    one = pair({Stage.PRE_PROMPT: REDACT})
    schema = type("Key", (Key,), {"__doc__": f"The key, not {lab.secret}."})

    with pytest.raises(PolicyDenied) as denied:
        one.router.with_structured_output(schema).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == []


def test_all_that_a_class_says_is_judged(lab, pair):
    lab.upstream.reply = '{"key": "abc", "kind": "a"}'
    one = pair({Stage.PRE_PROMPT: lambda q: deny("no") if q.document["context"]["findings"] else permit()})

    class Kind(Enum):
        A = "a"

    Kind.__doc__ = lab.secret
    for field in (
        (str, Field(title=lab.secret)),
        (str, Field(description=lab.secret)),
        (str, Field(default=lab.secret)),
        (str, Field(examples=[lab.secret])),
        (Literal["§¤¶"], ...),
        (Kind, ...),
        (create_model("Inner", __doc__=lab.secret, word=(str, ...)), ...),
    ):
        schema = create_model("Outer", key=field)
        with pytest.raises(PolicyDenied):
            one.router.with_structured_output(schema, method="json_schema").invoke("hi")
    assert lab.upstream.requests == []


def test_a_schema_that_its_owner_changes_later_is_the_one_that_was_given(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one, schema = pair(), copy.deepcopy(KEY_SCHEMA)
    structured = one.router.with_structured_output(schema)

    schema["description"] = lab.secret
    structured.invoke("hi")

    assert lab.raw(lab.upstream.texts) == 0


def test_policy_routes_a_schema_to_another_providers_model(lab, pair):
    one = pair({Stage.PRE_PROMPT: route_to("foreign")})

    assert one.router.with_structured_output(Key).invoke("hi") == Key(key="abc")

    assert lab.upstream.requests == []
    assert len(one.foreign.asked) == 1


@pytest.mark.parametrize("on_denied", ["raise", "reply"])
def test_a_denied_call_for_a_schema_raises(lab, pair, stage, on_denied):
    lab.upstream.reply = f'{{"key": "{lab.secret}"}}'
    one = pair({stage: deny("no")}, denials={"on_denied": on_denied})
    structured = one.router.with_structured_output(Key, include_raw=True)

    for way in (structured.invoke, lambda text: list(structured.stream(text))):
        with pytest.raises(PolicyDenied) as denied:
            way("hi")
        assert lab.raw(denied.value, repr(denied.value)) == 0


def test_a_model_that_cannot_answer_in_a_schema_is_no_candidate(lab):
    lab.upstream.reply = '{"key": "abc"}'
    point = lab.govern()
    models = {"mute": FakeListChatModel(responses=["x"]), "openai": lab.chat()}
    router = PolicyRouter(models=models, pep=point.pep)

    assert router.with_structured_output(Key).invoke("hi") == Key(key="abc")

    assert [one.resource.id for one in point.records[0].candidates] == ["openai"]
    with pytest.raises(ValueError, match="cannot be asked for the schema"):
        router.with_structured_output(Key).invoke("hi", model="mute")


def test_a_schema_and_tools_go_together_where_the_model_keeps_them_apart(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair()

    answer = one.router.with_structured_output(Key, tools=[look], strict=True).invoke("hi")

    assert answer == Key(key="abc")
    assert [tool["function"]["name"] for tool in body(lab)["tools"]] == ["look"]
    assert one.records[0].document["context"]["tools"] == ["look"]
    with pytest.raises(ValueError, match="it can have no other"):
        one.router.with_structured_output(Key, tools=[look], strict=True).invoke("hi", model="foreign")
    assert one.foreign.asked == []


def test_a_permitted_model_that_cannot_be_called_so_is_passed_over(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    point = lab.govern()
    models = {"foreign": Foreign(), "openai": lab.chat()}
    router = PolicyRouter(models=models, pep=point.pep)

    answer = router.with_structured_output(Key, tools=[look], strict=True).invoke("hi")

    assert answer == Key(key="abc")
    assert models["foreign"].asked == []
    assert [record.request.resource.id for record in point.records] == ["router", *["openai"] * 3]


def test_where_the_only_permitted_model_cannot_be_called_so_nothing_is_sent(lab, pair):
    one = pair({Stage.MODEL_SELECTION: only("foreign")})

    with pytest.raises(ValueError, match="it can have no other"):
        one.router.with_structured_output(Key, tools=[look], strict=True).invoke("hi")

    assert lab.upstream.requests == one.foreign.asked == []


class Deaf(Foreign):
    """Drops what it is told but tools."""

    def _get_request_payload(self, input_, *, stop=None, **options):
        return {"model": "foreign-1", "max_tokens": 64}


@pytest.mark.parametrize("at", [Stage.MODEL_SELECTION, Stage.PRE_PROMPT])
@pytest.mark.parametrize("bound", ["set_parameters", "limit_tokens"])
def test_what_cannot_be_done_with_the_chosen_model_is_not_done_with_another(lab, at, bound):
    properties = {"set_parameters": {"temperature": 0.5}, "limit_tokens": {"max_tokens": 5}}[bound]
    point, deaf = lab.govern({at: permit(obligation(bound, **properties))}), Deaf()
    router = PolicyRouter(models={"deaf": deaf, "openai": lab.chat()}, pep=point.pep)

    with pytest.raises(PolicyDenied) as denied:
        router.bind_tools([look]).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == deaf.asked == []


def test_a_schema_is_needed(pair):
    with pytest.raises(ValueError, match="needs a schema"):
        pair().router.with_structured_output()


def test_a_chain_for_a_schema_shows_neither_its_models_nor_its_options(lab, pair):
    structured = pair().router.with_structured_output(Key, user=lab.secret)

    assert lab.raw(repr(structured)) == 0
    assert "models=['openai', 'foreign']" in repr(structured)


def test_the_subject_of_a_call_for_a_schema_is_whoever_acts(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair()

    one.router.acting_as("alice").with_structured_output(Key).invoke("hi")

    assert {record.request.subject.id for record in one.records} == {"alice"}


# A guarded model


@pytest.fixture
def crossing(lab):
    """A guarded model of OpenAI's, and of another provider's, that policy routes to the other one."""

    def make(home="openai"):
        foreign = Foreign()
        models = {"openai": lab.chat(), "foreign": foreign}
        other = next(name for name in models if name != home)
        point = lab.govern({Stage.PRE_PROMPT: route_to(other)})
        return SimpleNamespace(
            model=guard(models[home], point.pep, models={other: models[other]}), foreign=foreign
        )

    return make


def test_a_guarded_model_binds_tools_anew_where_policy_routes_to_another_provider(lab, crossing):
    one, back = crossing("openai"), crossing("foreign")

    one.model.bind_tools([look], tool_choice="any", strict=True, parallel_tool_calls=False).invoke("hi")
    back.model.bind_tools([look], tool_choice="look").invoke("hi")

    (asked,) = one.foreign.asked
    assert {key: asked.tools[0][key] for key in ("name", "description")} == {
        "name": "look",
        "description": "Look somebody up.",
    }
    assert asked.tool_choice == {"type": "any"}
    assert body(lab)["tools"] == [IN_OPENAIS_WAY]
    assert body(lab)["tool_choice"] == {"type": "function", "function": {"name": "look"}}


def test_a_guarded_model_keeps_its_schema_where_policy_routes_to_another_provider(crossing):
    one = crossing("openai")

    assert one.model.with_structured_output(Key, method="function_calling").invoke("hi") == Key(key="abc")

    assert one.foreign.asked[0].tool_choice == {"type": "tool", "name": "Key"}


def test_a_guarded_model_offers_no_tools_to_a_model_that_cannot_have_them(lab):
    point = lab.govern({Stage.MODEL_SELECTION: route_to("mute")})
    guarded = guard(lab.chat(), point.pep, models={"mute": FakeListChatModel(responses=["x"])})

    assert guarded.invoke("hi").text == "x"
    with pytest.raises(PolicyDenied) as denied:
        guarded.bind_tools([look]).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == []


def test_asking_from_several_threads_of_an_event_loop_keeps_schemas_apart(lab, pair):
    one = pair({Stage.MODEL_SELECTION: only("foreign")})
    structured = {kind: one.router.with_structured_output(kind) for kind in (Key, TypedKey)}

    async def ask(kind):
        return type(await asyncio.to_thread(structured[kind].invoke, "hi"))

    async def all_of_them():
        return await asyncio.gather(*(ask(kind) for kind in [Key, TypedKey] * 8))

    assert asyncio.run(all_of_them()) == [Key, dict] * 8
