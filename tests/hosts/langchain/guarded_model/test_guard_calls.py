"""What a guarded model does with options, routes and bounds."""

import pytest
from foreign_model import look
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import AzureChatOpenAI

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

REDACT = permit(obligation("redact", types=["secret"]))


def hide(who: str) -> str:
    """Hide somebody."""
    return who


def route_to(name):
    def answer(question):
        there = question.document["resource"]["id"] == name
        return permit() if there else permit(obligation("route", model=name))

    return answer


def sent(lab):
    (request,) = lab.upstream.requests
    return request.body


# What policy sees


def test_policy_sees_the_call(lab):
    point = lab.govern()

    guard(lab.chat(max_tokens=64), point.pep).bind_tools([look]).invoke("two words")

    asked = [one.document for one in point.records]
    assert [one["stage"] for one in asked] == [str(one) for one in lab.stages]
    for one in asked:
        assert one["resource"] == {"type": "model", "id": "gpt-4o", "properties": {"provider": "openai"}}
        assert one["subject"] == {"type": "anonymous", "id": "anonymous", "properties": {}}
        assert one["context"]["operation"] == "chat"
        assert one["context"]["environment"]["host"] == "langchain"
    assert "text" not in asked[0]["context"]["prompt"]
    assert asked[1]["context"]["prompt"]["text"].endswith("two words")
    assert asked[1]["context"]["tools"] == ["look"]
    assert asked[1]["context"]["estimated"] == {"max_tokens": 64}
    assert asked[2]["context"]["completion"]["text"] == "hello there"
    assert asked[2]["context"]["finish_reason"] == "stop"
    assert asked[2]["context"]["tokens"]["completion_tokens"] == 2
    assert len({one.call_id for one in point.records}) == 1


def test_the_run_in_traces_is_the_call_in_the_log(lab, way):
    point = lab.govern()
    runs = []

    class Runs(BaseCallbackHandler):
        def on_chat_model_start(self, *args, run_id, **kwargs):
            runs.append(str(run_id))

    lab.call(way, lambda model: guard(model, point.pep), callbacks=[Runs()])

    # Events name their run themselves.
    assert (runs == [point.records[0].call_id]) is (way != "events")


def test_usage_is_settled_with_the_call(lab, monkeypatch):
    point, settled = lab.govern(), []
    monkeypatch.setattr(point.pep, "settle", lambda *told: settled.append(told))

    guard(lab.chat(), point.pep).invoke("hi")

    usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert settled == [(point.records[0].call_id, 1, usage)]


def test_an_answer_from_a_cache_is_judged_and_nothing_is_settled_for_it(lab, monkeypatch):
    point, settled = lab.govern(), []
    monkeypatch.setattr(point.pep, "settle", lambda *told: settled.append(told))
    guarded = guard(lab.chat(cache=InMemoryCache()), point.pep)
    bare = lab.chat(cache=InMemoryCache())

    for _ in range(2):
        guarded.invoke("hi")
        bare.invoke("hi", {"callbacks": [PolicyCallbackHandler(point.pep)]})

    assert len(point.records) == 12
    assert len(settled) == len(lab.upstream.requests) == 2


def test_pictures_are_told_of_and_policy_decides(lab):
    point = lab.govern(
        {Stage.PRE_PROMPT: lambda q: deny("image") if q.document["context"].get("uninspected") else permit()}
    )
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).invoke([HumanMessage([{"type": "text", "text": "what?"}, picture])])

    assert denied.value.code == "image"
    assert lab.upstream.requests == []
    assert point.records[-1].document["context"]["uninspected"] == [{"kind": "image", "segment": 0}]


def unreadable():
    message = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    del message.tool_calls[0]["name"]
    return [message, HumanMessage("hi")]


def test_what_cannot_be_read_is_a_recorded_denial(lab):
    point = lab.govern()

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).invoke(unreadable())

    assert denied.value.code == "request_unreadable"
    assert [one.permitted for one in point.records] == [True, False]
    assert lab.upstream.requests == []


def test_what_cannot_be_read_passes_under_monitor_and_is_recorded(lab):
    point = lab.govern(enforcement={"default": "monitor"})
    answer = guard(FakeListChatModel(responses=["a"]), point.pep).invoke(unreadable())

    assert answer.content == "a"
    assert [one.permitted for one in point.records] == [True, False, True]


def test_more_pieces_than_policy_would_judge_are_a_denial_at_either_end(lab):
    lab.upstream.reply = {"name": "look", "arguments": {"who": ["x"] * 60}}
    point = lab.govern(limits={"segments": 50})
    model = guard(lab.chat(), point.pep)

    for given in ([HumanMessage("a")] * 60, [HumanMessage("a")]):
        with pytest.raises(PolicyDenied) as denied:
            model.invoke(given)
        assert denied.value.code == "limit.segments"
        assert len(point.records[-1].request.segments) == 51
    assert len(lab.upstream.requests) == 1


# Which model


def test_the_model_asked_for_by_the_call_is_judged_and_called(lab):
    point = lab.govern()
    model = guard(lab.chat(), point.pep)

    model.invoke("hi", model="gpt-4o-mini")
    model.bind(model="gpt-4.1").invoke("hi")

    assert [request.body["model"] for request in lab.upstream.requests] == ["gpt-4o-mini", "gpt-4.1"]
    assert [one.request.resource.id for one in point.records] == ["gpt-4o-mini"] * 3 + ["gpt-4.1"] * 3


def test_a_route_outranks_the_model_asked_for(lab, runnable_way):
    point = lab.govern({Stage.PRE_PROMPT: route_to("gpt-4o-mini")})

    done = lab.call(
        runnable_way,
        lambda model: guard(model, point.pep).bind(model="gpt-4.1"),
    )

    assert done.error is None
    assert sent(lab)["model"] == "gpt-4o-mini"


def test_a_named_alternative_is_called_with_the_same_options_and_its_own(lab, runnable_way):
    point = lab.govern({Stage.MODEL_SELECTION: route_to("small")})

    def wrap(model):
        small = lab.chat("gpt-4o-mini", temperature=0.25, http_async_client=model.http_async_client)
        return guard(model, point.pep, models={"small": small}).bind(seed=7, stop=["x"])

    done = lab.call(runnable_way, wrap)

    assert done.error is None
    assert sent(lab)["model"] == "gpt-4o-mini"
    assert sent(lab)["temperature"] == 0.25
    assert (sent(lab)["seed"], sent(lab)["stop"]) == (7, ["x"])
    assert {one.request.resource.id for one in point.records[1:]} == {"small"}
    # Traces name the real model.
    assert "'ls_model_name': 'gpt-4o-mini'" in "".join(done.seen)
    assert "'ls_model_name': 'gpt-4o'" not in "".join(done.seen)


def test_an_alternative_can_be_asked_for_by_its_name(lab):
    point = lab.govern()
    small = lab.chat("gpt-4o-mini")

    guard(lab.chat(), point.pep, models={"small": small}).invoke("hi", model="small")

    assert sent(lab)["model"] == "gpt-4o-mini"
    assert {one.request.resource.id for one in point.records} == {"small"}


def test_a_model_whose_options_replace_its_name_is_not_routed_by_name(lab):
    point = lab.govern({Stage.MODEL_SELECTION: route_to("gpt-4o-mini")})
    stubborn = lab.chat().model_copy(update={"model_kwargs": {"model": "gpt-4"}})

    with pytest.raises(PolicyDenied) as denied:
        guard(stubborn, point.pep).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert point.records[0].request.resource.id == "gpt-4"
    assert lab.upstream.requests == []


def test_a_model_without_a_name_is_not_routed(lab):
    point = lab.govern({Stage.MODEL_SELECTION: route_to("other")})

    with pytest.raises(PolicyDenied) as denied:
        guard(FakeListChatModel(responses=["a"]), point.pep).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert [one.permitted for one in point.records] == [True, True, False]


def azure(lab):
    return AzureChatOpenAI(
        azure_endpoint="http://127.0.0.1:9",
        azure_deployment="large",
        api_version="2024-10-21",
        api_key="none",
        model="gpt-4o",
        max_retries=0,
    )


def test_a_model_whose_address_chooses_is_not_routed_by_name(lab):
    point = lab.govern({Stage.MODEL_SELECTION: route_to("small")})
    model = guard(azure(lab), point.pep)

    with pytest.raises(PolicyDenied) as denied:
        model.invoke("hi")
    with pytest.raises(ValueError, match="address"):
        model.invoke("hi", model="small")

    assert denied.value.code == "obligation_failed"


@pytest.mark.parametrize(
    "options",
    [
        {"extra_body": {"model": "gpt-4"}},
        {"extra_body": {"models": ["gpt-4"]}},
        {"extra_body": {"messages": []}},
        {"extra_body": {"max_tokens": 1}},
        {"fallbacks": ["gpt-4"]},
        {"deployment_name": "large"},
        {"model": None},
        {"model": ["gpt-4"]},
    ],
    ids=str,
)
def test_options_that_pass_by_the_policy_are_errors(lab, options):
    point = lab.govern()
    model = guard(lab.chat(), point.pep)

    with pytest.raises(ValueError, match="`"):
        model.invoke("hi", **options)
    with pytest.raises(ValueError, match="`"):
        list(model.bind(**options).stream("hi"))

    assert lab.upstream.requests == []


def test_a_model_that_replaces_its_own_name_is_refused(lab):
    point = lab.govern()

    with pytest.raises(ValueError, match=r"extra_body\.model`"):
        guard(lab.chat(extra_body={"model": "gpt-4"}), point.pep)
    other = lab.chat().model_copy(update={"model_kwargs": {"extra_body": {"models": []}}})
    with pytest.raises(ValueError, match=r"extra_body\.models`"):
        guard(lab.chat(), point.pep, models={"x": other})


# Bounds


@pytest.mark.parametrize("stage_of_bound", [Stage.MODEL_SELECTION, Stage.PRE_PROMPT])
@pytest.mark.parametrize(
    ("own", "asked", "wanted"),
    [
        ({}, {}, 10),
        ({"max_tokens": 99}, {}, 10),
        ({"max_tokens": 5}, {}, 5),
        ({}, {"max_completion_tokens": 99}, 10),
    ],
)
def test_a_limit_of_tokens_is_sent(lab, stage_of_bound, own, asked, wanted):
    point = lab.govern({stage_of_bound: permit(obligation("limit_tokens", max_tokens=10))})

    guard(lab.chat(**own), point.pep).invoke("hi", **asked)

    limits = {key: value for key, value in sent(lab).items() if "tokens" in key}
    assert limits == {"max_completion_tokens": wanted}


def test_a_limit_of_tokens_reaches_the_responses_api_too(lab):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("limit_tokens", max_tokens=10))})

    guard(lab.chat(use_responses_api=True, max_tokens=99), point.pep).invoke("hi")

    assert sent(lab)["max_output_tokens"] == 10


def test_bounds_of_one_stage_hold_for_the_model_of_the_next(lab):
    point = lab.govern(
        {
            Stage.MODEL_SELECTION: permit(
                obligation("limit_tokens", max_tokens=10), obligation("set_parameters", temperature=0.5)
            ),
            Stage.PRE_PROMPT: route_to("gpt-4o-mini"),
        }
    )

    guard(lab.chat(), point.pep).invoke("hi")

    assert sent(lab)["model"] == "gpt-4o-mini"
    assert sent(lab)["max_completion_tokens"] == 10
    assert sent(lab)["temperature"] == 0.5


def test_bounds_of_both_stages_add_up(lab):
    point = lab.govern(
        {
            Stage.MODEL_SELECTION: permit(
                obligation("limit_tokens", max_tokens=10), obligation("remove_tools", names=["hide"])
            ),
            Stage.PRE_PROMPT: permit(
                obligation("limit_tokens", max_tokens=20), obligation("set_parameters", temperature=0.5)
            ),
        }
    )

    guard(lab.chat(), point.pep).bind_tools([look, hide]).invoke("hi")

    assert (sent(lab)["max_completion_tokens"], sent(lab)["temperature"]) == (10, 0.5)
    assert [tool["function"]["name"] for tool in sent(lab)["tools"]] == ["look"]


def test_parameters_are_set(lab):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("set_parameters", temperature=0, user="x"))})

    guard(lab.chat(temperature=1), point.pep).invoke("hi", user="y")

    assert (sent(lab)["temperature"], sent(lab)["user"]) == (0, "x")


def test_a_parameter_that_does_not_reach_the_request_is_a_denial(lab):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("set_parameters", temperature=0))})

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat("gpt-5", use_responses_api=True), point.pep).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == []
    assert not point.records[-1].permitted


def test_tools_are_removed(lab):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("remove_tools", names=["hide"]))})
    model = guard(lab.chat(), point.pep)

    model.bind_tools([look, hide], tool_choice="hide").invoke("hi")
    model.bind_tools([hide], parallel_tool_calls=False, tool_choice="any").invoke("hi")

    first, second = (request.body for request in lab.upstream.requests)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["look"]
    assert "tool_choice" not in first
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & second.keys()


def test_tools_that_the_model_brings_itself_cannot_be_removed(lab):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("remove_tools", names=["hide"]))})
    tools = [{"type": "function", "function": {"name": "hide"}}]

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(model_kwargs={"tools": tools}), point.pep).invoke("hi")

    assert denied.value.code == "obligation_failed"


@pytest.mark.parametrize(
    "bound",
    [
        obligation("limit_tokens", max_tokens=1),
        obligation("set_parameters", temperature=0),
        obligation("remove_tools", names=["x"]),
    ],
    ids=lambda bound: bound.type,
)
def test_a_model_that_does_not_tell_its_request_is_not_bound(lab, bound):
    point = lab.govern({Stage.PRE_PROMPT: permit(bound)})

    with pytest.raises(PolicyDenied) as denied:
        guard(FakeListChatModel(responses=["a"]), point.pep).invoke("hi")

    assert denied.value.code == "unsupported_obligation"


def test_what_must_not_be_stored_is_not_kept_by_the_provider(lab):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("no_store"))})

    guard(lab.chat(store=True), point.pep).invoke("hi")
    guard(lab.chat(), point.pep).invoke("hi")
    guard(lab.chat(use_responses_api=True), point.pep).invoke("hi")

    kept = [request.body.get("store") for request in lab.upstream.requests]
    assert kept == [False, None, False]


def test_a_prompt_is_replaced(lab):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("replace", text="something else"))})

    guard(lab.chat(), point.pep).invoke([("system", "be brief"), ("human", "hi"), ("human", "you")])

    contents = [message["content"] for message in sent(lab)["messages"]]
    assert contents == ["be brief", "something else", ""]


def test_options_are_redacted_like_messages(lab):
    point = lab.govern({Stage.PRE_PROMPT: REDACT})
    model = guard(lab.chat(), point.pep)

    def leak(who: str) -> str:
        return who

    leak.__doc__ = f"Finds {lab.secret}."
    model.bind_tools([leak]).invoke("hi", stop=[f"at {lab.secret}"], user=f"u {lab.secret}")

    assert lab.raw(lab.upstream.texts) == 0
    assert sent(lab)["user"] == "u [REDACTED:secret]"
    assert sent(lab)["tools"][0]["function"]["name"] == "leak"
