"""A router: which of its models policy lets be chosen, and what it makes of the chosen one."""

from dataclasses import replace

import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage
from routed_models import asked, called, of, only, route_to, routed

from checkrein.testing import FailingEngine, Failure, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Entity, Stage
from checkrein_langchain import PolicyDenied, PolicyRouter

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


# What is chosen


def test_the_first_model_that_may_be_chosen_is_called_and_decided_in_full(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: only("large", "local")})

    assert one.router.invoke("hi").text == "hello there"

    assert called(lab) == ["gpt-4o"]
    assert asked(one.records) == [
        (Stage.MODEL_SELECTION, "router"),
        (Stage.MODEL_SELECTION, "large"),
        (Stage.PRE_PROMPT, "large"),
        (Stage.POST_COMPLETION, "large"),
    ]
    assert len({record.call_id for record in one.records}) == 1


def test_one_record_tells_of_all_candidates_in_the_order_of_preference(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: only("small", "local")}, prefer=("local", "large"))

    one.router.invoke("hi")

    assert called(lab) == ["llama"]
    record = one.records[0]
    assert record.request.resource == Entity(type="router", id="router")
    assert record.permitted
    assert [(it.resource.id, it.permitted, [why.code for why in it.reasons]) for it in record.candidates] == [
        ("local", True, []),
        ("large", False, ["model.forbidden"]),
        ("small", True, []),
    ]
    assert all(not record.candidates for record in one.records[1:])
    assert record.candidates[0].resource.properties == {"provider": "openai"}


def test_where_none_may_be_chosen_the_call_is_denied_by_the_one_record(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: deny("model.forbidden")})

    with pytest.raises(PolicyDenied) as denied:
        one.router.invoke("hi")

    assert denied.value.code == "model.forbidden"
    assert [denied.value.decision] == one.records
    assert [it.permitted for it in one.records[0].candidates] == [False] * 3
    assert lab.upstream.requests == []


def test_each_candidate_is_judged_with_what_the_settings_know_of_it(lab):
    settings = {"small": {"output_price": 1_000_000}, "large": {"output_price": 10_000_000}}

    def judge(question):
        price = question.document["resource"]["properties"].get("output_price")
        tokens = question.document["context"]["estimated"]["max_tokens"]
        return permit() if price and price * tokens < 500_000_000 else deny("budget")

    one = routed(
        lab,
        {Stage.MODEL_SELECTION: judge},
        options={"max_tokens": 100},
        prefer=("local", "large", "small"),
        models=settings,
    )

    one.router.invoke("hi")

    assert called(lab) == ["gpt-4o-mini"]
    assert one.records[0].document["context"]["estimated"] == {"max_tokens": 100}


def test_the_largest_answer_is_that_of_the_largest_model_and_unknown_if_one_is(lab):
    point = lab.govern()
    models = {"a": lab.chat(max_tokens=10), "b": lab.chat(max_tokens=30), "c": lab.chat()}
    known = PolicyRouter(models={name: models[name] for name in "ab"}, pep=point.pep)
    unknown = PolicyRouter(models=models, pep=point.pep)

    known.invoke("hi")
    unknown.invoke("hi")
    unknown.invoke("hi", max_tokens=7)

    choices = [record for record in point.records if record.candidates]
    assert [record.document["context"].get("estimated") for record in choices] == [
        {"max_tokens": 30},
        None,
        {"max_tokens": 7},
    ]


def test_policy_sees_what_a_call_says_before_a_model_is_chosen_but_no_text(lab):
    one = routed(lab)

    one.router.invoke([HumanMessage(f"my key is {lab.secret}")])

    context = one.records[0].document["context"]
    assert "text" not in context["prompt"]
    assert [finding["type"] for finding in context["findings"]] == ["secret"]
    assert lab.raw(one.records[0].document) == 0


def test_a_prompt_with_a_finding_goes_to_the_model_that_may_see_it(lab):
    def private(question):
        return (
            permit()
            if of(question) == "local" or not question.document["context"]["findings"]
            else deny("pii")
        )

    one = routed(lab, {Stage.MODEL_SELECTION: private})

    one.router.invoke("hi")
    one.router.invoke(f"my key is {lab.secret}")

    assert called(lab) == ["gpt-4o-mini", "llama"]


# What is asked for by name


@pytest.mark.parametrize("ask", ["bind", "option"])
def test_a_model_that_is_asked_for_is_the_only_one_that_policy_is_asked_about(lab, ask):
    one = routed(lab)

    if ask == "bind":
        one.router.bind(model="local").invoke("hi")
    else:
        one.router.invoke("hi", model="local")

    assert called(lab) == ["llama"]
    assert asked(one.records) == [(stage, "local") for stage in lab.stages]


def test_a_model_that_is_asked_for_and_forbidden_is_denied_though_others_are_permitted(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: only("small")})

    with pytest.raises(PolicyDenied) as denied:
        one.router.invoke("hi", model="large")

    assert denied.value.code == "model.forbidden"
    assert lab.upstream.requests == []


@pytest.mark.parametrize("name", ["gpt-4o", "", "LARGE"])
def test_a_name_that_is_none_of_the_routers_reaches_nothing(lab, name):
    one = routed(lab)

    with pytest.raises(
        ValueError, match="is no model of this router; ask for one of `small`, `large`, `local`"
    ):
        one.router.invoke("hi", model=name)

    assert one.records == []
    assert lab.upstream.requests == []


def test_options_that_would_pass_by_the_policy_are_refused(lab):
    one = routed(lab)

    for option in ({"models": ["x"]}, {"extra_body": {"model": "x"}}, {"model": 7}):
        with pytest.raises(ValueError, match=r"policy|must be a name"):
            one.router.invoke("hi", **option)

    assert lab.upstream.requests == []


# What policy makes of the chosen one


@pytest.mark.parametrize("at", [Stage.MODEL_SELECTION, Stage.PRE_PROMPT])
def test_policy_may_route_the_chosen_model_to_another_one(lab, at):
    one = routed(lab, {at: route_to("local")})

    one.router.invoke("hi")

    assert called(lab) == ["llama"]
    assert one.records[-1].request.resource.id == "local"


@pytest.mark.parametrize("at", [Stage.MODEL_SELECTION, Stage.PRE_PROMPT])
@pytest.mark.parametrize("target", ["gpt-4o", "nowhere"])
def test_policy_cannot_route_to_what_the_router_does_not_have(lab, at, target):
    one = routed(lab, {at: route_to(target)})

    with pytest.raises(PolicyDenied) as denied:
        one.router.invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == []


def test_a_model_that_is_asked_for_may_be_routed_to_another_one(lab):
    one = routed(lab, {Stage.PRE_PROMPT: route_to("small")})

    one.router.invoke("hi", model="large")

    assert called(lab) == ["gpt-4o-mini"]


def test_a_denied_prompt_is_not_offered_to_the_next_model(lab):
    one = routed(lab, {Stage.PRE_PROMPT: only("large", "local")})

    with pytest.raises(PolicyDenied):
        one.router.invoke("hi")

    assert asked(one.records)[-1] == (Stage.PRE_PROMPT, "small")
    assert len(one.records) == 3
    assert lab.upstream.requests == []


def test_a_choice_that_the_full_decision_denies_is_denied(lab):
    answers = iter([permit(), permit(), permit(), deny("changed.meanwhile")])
    one = routed(lab, {Stage.MODEL_SELECTION: lambda _: next(answers)})

    with pytest.raises(PolicyDenied) as denied:
        one.router.invoke("hi")

    assert denied.value.code == "changed.meanwhile"
    assert lab.upstream.requests == []


def test_a_withheld_answer_is_not_asked_of_the_next_model(lab):
    lab.upstream.reply = f"the key is {lab.secret}"
    one = routed(lab, {Stage.POST_COMPLETION: only("large", "local")})

    with pytest.raises(PolicyDenied) as denied:
        one.router.invoke("hi")

    assert called(lab) == ["gpt-4o-mini"]
    assert lab.raw(denied.value, repr(denied.value)) == 0


def test_a_failing_model_is_not_replaced(lab):
    lab.upstream.reply = Failure(503)
    one = routed(lab)

    with pytest.raises(openai.InternalServerError):
        one.router.invoke("hi")

    assert called(lab) == ["gpt-4o-mini"]


def test_obligations_of_the_choice_itself_are_those_of_the_full_decision(lab):
    def limit(question):
        return permit(obligation("limit_tokens", max_tokens={"small": 5, "large": 50}.get(of(question), 500)))

    one = routed(lab, {Stage.MODEL_SELECTION: limit})

    one.router.invoke("hi")
    one.router.invoke("hi", model="large")

    assert [request.body["max_completion_tokens"] for request in lab.upstream.requests] == [5, 50]


def test_no_store_of_any_candidate_holds(lab):
    cache = InMemoryCache()

    forbidden = replace(deny("no"), obligations=permit(obligation("no_store")).obligations)

    def judge(question):
        return forbidden if of(question) == "small" else permit()

    one = routed(lab, {Stage.MODEL_SELECTION: judge}, options={"cache": cache})

    one.router.invoke("hi")
    one.router.invoke("hi")

    assert called(lab) == ["gpt-4o", "gpt-4o"]


# Monitoring, failing


def test_under_monitor_a_forbidden_model_is_chosen_as_if_it_were_not(lab):
    one = routed(lab, {Stage.MODEL_SELECTION: deny("no")}, enforcement={"default": "monitor"})

    one.router.invoke("hi")

    assert called(lab) == ["gpt-4o-mini"]
    assert [it.permitted for it in one.records[0].candidates] == [False] * 3
    assert not one.records[0].enforced


FAULTS = {
    "failure": lambda: FailingEngine("engine_error"),
    "timeout": lambda: FailingEngine("timeout"),
    "bug": lambda: FailingEngine(error=ZeroDivisionError("oops")),
    "nonsense": lambda: FailingEngine(answer={"allow": True}),
    "not applicable": lambda: StaticEngine(not_applicable()),
    "unknown obligation": lambda: StaticEngine(permit(obligation("sing", song="la"))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_is_wrong_with_the_choice_denies(lab, way, fault):
    point = lab.govern(engine=FAULTS[fault]())

    done = lab.call(
        way, lambda model: PolicyRouter(models={"a": model, "b": model}, pep=point.pep), lab.secret
    )

    assert isinstance(done.error, PolicyDenied)
    assert [done.error.decision] == point.records
    assert lab.raw(done.error, repr(done.error), *map(repr, done.got), *done.seen) == 0
    assert lab.upstream.requests == []


def test_too_many_models_are_too_many_to_judge(lab):
    one = routed(lab, limits={"candidates": 2})

    with pytest.raises(PolicyDenied) as denied:
        one.router.invoke("hi")

    assert denied.value.code == "limit.candidates"


def test_a_text_that_cannot_be_read_is_denied(lab):
    one = routed(lab)
    message = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    del message.tool_calls[0]["name"]

    with pytest.raises(PolicyDenied) as denied:
        one.router.invoke([message, HumanMessage("hi")])

    assert denied.value.code == "request_unreadable"
    assert lab.upstream.requests == []
