"""What policy bounds, sets, removes and replaces in a call reaches the wire."""

import pytest
from foreign_model import look
from langchain_core.language_models import FakeListChatModel
from routed_models import body as sent
from routed_models import route_to
from verdicts import REDACT

from checkrein.testing import obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def hide(who: str) -> str:
    """Hide somebody."""
    return who


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
