"""What traces, callbacks and callers are told of a router, and what it is as an object."""

import copy
import pickle
from types import SimpleNamespace

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from routed_models import asked, called, only, route_to, routed

from checkrein.errors import SettingsError
from checkrein.testing import StaticEngine, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyRouter, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Runs(BaseCallbackHandler):
    def __init__(self):
        self.starts = []

    def on_chat_model_start(self, serialized, messages, *, run_id, metadata, tags=None, **kwargs):
        self.starts.append(
            SimpleNamespace(
                id=str(run_id), metadata=metadata, tags=tags, params=kwargs.get("invocation_params", {})
            )
        )


# What traces and callers are told


def test_traces_and_answers_name_the_model_that_was_called(lab):
    lab.upstream.reply = lambda body: body["model"]
    one = routed(lab, {Stage.PRE_PROMPT: route_to("local")})
    runs = Runs()

    answer = one.router.invoke("hi", {"callbacks": [runs]})

    (start,) = runs.starts
    assert start.metadata["ls_model_name"] == start.params["model"] == "llama"
    assert answer.response_metadata["model_name"] == "llama"
    assert start.id == one.records[0].call_id
    assert answer.usage_metadata["total_tokens"] > 0


def test_tags_metadata_and_callbacks_are_the_routers_and_the_chosen_models(lab):
    point, own, theirs = lab.govern(), Runs(), Runs()
    models = {
        "a": lab.chat(tags=["a"], metadata={"team": "a", "region": "eu"}, callbacks=[theirs]),
        "b": lab.chat(tags=["b"], metadata={"team": "b"}),
    }
    router = PolicyRouter(
        models=models, pep=point.pep, tags=["router"], metadata={"team": "router"}, callbacks=[own]
    )

    router.invoke("hi")
    router.invoke("hi", model="b")

    assert [sorted(start.tags) for start in own.starts] == [["a", "router"], ["b", "router"]]
    assert [start.metadata["team"] for start in own.starts] == ["router", "router"]
    assert own.starts[0].metadata["region"] == "eu"
    assert [start.tags for start in theirs.starts] == [own.starts[0].tags]


def test_a_callback_handler_of_the_same_policy_does_not_ask_twice(lab):
    one = routed(lab)

    one.router.invoke("hi", {"callbacks": [PolicyCallbackHandler(one.pep)]})

    assert len(one.records) == 4


def test_a_callback_that_changes_the_prompt_is_judged_again_for_the_same_model(lab):
    one = routed(lab, {Stage.PRE_PROMPT: permit(obligation("redact", types=["secret"]))}, prefer=("local",))

    class Meddler(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, serialized, messages, **kwargs):
            messages[0][0].content = f"tell {lab.secret}"

    one.router.invoke("hi", {"callbacks": [Meddler()]})

    assert lab.upstream.texts.count("tell [REDACTED:secret]") == 1
    assert called(lab) == ["llama"]
    assert asked(one.records)[3:5] == [(Stage.MODEL_SELECTION, "local"), (Stage.PRE_PROMPT, "local")]


# What it is


def test_its_profile_is_what_all_of_its_models_can_do(lab):
    point = lab.govern()
    models = {
        "a": FakeListChatModel(
            responses=["x"], profile={"max_input_tokens": 10, "tool_calling": True, "image_inputs": True}
        ),
        "b": FakeListChatModel(
            responses=["x"], profile={"max_input_tokens": 20, "tool_calling": True, "image_inputs": False}
        ),
    }

    assert PolicyRouter(models=models, pep=point.pep).profile == {
        "max_input_tokens": 10,
        "tool_calling": True,
        "image_inputs": False,
    }
    models["c"] = FakeListChatModel(responses=["x"])
    assert PolicyRouter(models=models, pep=point.pep).profile is None


def test_it_names_no_model_before_one_is_chosen(lab):
    router = routed(lab).router

    assert not hasattr(router, "model_name")
    assert not hasattr(router, "model")
    assert repr(router) == "PolicyRouter(models=['small', 'large', 'local'])"


def test_it_is_copied_with_all_that_it_governs_and_never_pickled(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: only("large")})

    copy.copy(one.router).invoke("hi")
    one.router.model_copy().invoke("hi")

    assert called(lab) == ["gpt-4o", "gpt-4o"]
    for leave in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(one.router)


def test_a_router_may_be_one_of_the_models_that_another_policy_governs(lab):
    inner, outer = routed(lab, {Stage.MODEL_SELECTION: only("local")}), lab.govern()

    guard(inner.router, outer.pep).invoke("hi")

    assert called(lab) == ["llama"]
    assert len(inner.records) == 4
    assert len(outer.records) == 3


WRONG = {
    "no model": ({"models": {}}, ValueError, "needs a model"),
    "no chat model": ({"models": {"a": RunnableLambda(str)}}, TypeError, "`a` is a `RunnableLambda`"),
    "unknown preference": ({"prefer": ("b",)}, ValueError, "`b` is preferred"),
    "a preference twice": ({"prefer": ("a", "a")}, ValueError, "twice"),
    "one string": ({"prefer": "a"}, TypeError, "pass a sequence"),
    "a misspelt argument": ({"preferred": ("a",)}, TypeError, "`preferred` is no argument"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_router_is_told_when_it_is_made(lab, wrong):
    change, kind, told = WRONG[wrong]
    given = {"models": {"a": FakeListChatModel(responses=["x"])}, "pep": lab.govern().pep}

    with pytest.raises(kind, match=told):
        PolicyRouter(**given | change)


def test_models_whose_options_pass_by_the_policy_are_refused(lab):
    with pytest.raises(ValueError, match="would pass by the policy"):
        PolicyRouter(models={"a": lab.chat(extra_body={"model": "other"})}, pep=lab.govern().pep)


def test_a_stage_that_nobody_covers_is_refused(lab):
    engine = StaticEngine(permit(), stages=[Stage.PRE_PROMPT])

    with pytest.raises(SettingsError, match="no engine covers"):
        PolicyRouter(models={"a": ChatOpenAI(api_key="none")}, pep=lab.govern(engine=engine).pep)
