"""A guarded model that policy routes to another provider's: its tools and its schema come along."""

from types import SimpleNamespace

import pytest
from foreign_model import IN_OPENAIS_WAY, Foreign, Key, look
from langchain_core.language_models import FakeListChatModel
from routed_models import body, route_to

from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


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
