"""Which model a guarded model calls: the one asked for, routed to, or neither."""

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_openai import AzureChatOpenAI
from routed_models import body as sent
from routed_models import route_to

from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


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
