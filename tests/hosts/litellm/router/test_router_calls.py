"""Every call that a router has: governed, or refused."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from governed_calls import CALLING, REDACTED, SSN, said
from litellm import Router
from routed_calls import deployment, redacts, routed

from checkrein.testing import capture_decisions, deny, permit
from checkrein_litellm import CallDenied
from checkrein_litellm.router.methods import COMPOSED, GOVERNED, HARMLESS, KEPT, REFUSED

pytestmark = CALLING


CALLS: dict[str, dict[str, Any]] = {
    "aanthropic_messages": {"messages": said(f"it is {SSN}"), "max_tokens": 9},
    "acompletion": {"messages": said(f"it is {SSN}")},
    "aembedding": {"input": [f"it is {SSN}"]},
    "aimage_generation": {"prompt": f"it is {SSN}"},
    "amoderation": {"input": f"it is {SSN}"},
    "anthropic_messages": {"messages": said(f"it is {SSN}"), "max_tokens": 9},
    "arerank": {"query": f"it is {SSN}", "documents": ["a b", "c d"]},
    "aresponses": {"input": f"it is {SSN}"},
    "aspeech": {"input": f"it is {SSN}", "voice": "alloy"},
    "atext_completion": {"prompt": f"it is {SSN}"},
    "atranscription": {"prompt": f"it is {SSN}"},
    "completion": {"messages": said(f"it is {SSN}")},
    "embedding": {"input": [f"it is {SSN}"]},
    "image_generation": {"prompt": f"it is {SSN}"},
    "responses": {"input": f"it is {SSN}"},
    "text_completion": {"prompt": f"it is {SSN}"},
}
# LiteLLM's router calls a text completion, if it is a synchronous one, by the name of the model group.
NAMES = {"text_completion": "openai/m"}
MODELS = {"arerank": "hosted_vllm/m", "atranscription": "openai/whisper-1"}


async def called(router: Any, name: str) -> Any:
    given = dict(CALLS[name])
    if name == "atranscription":
        given["file"] = ("a.wav", b"RIFF")
    return await finished(getattr(router, name), model=NAMES.get(name, "m"), **given)


async def finished(function: Any, **given: Any) -> Any:
    answer = function(**given)
    return await answer if inspect.isawaitable(answer) else answer


@pytest.mark.usefixtures("swept")
@pytest.mark.parametrize("name", CALLS)
async def test_every_call_is_redacted(name, eu):
    models = [deployment(NAMES.get(name, "m"), eu, "one", model=MODELS.get(name, "openai/m"))]
    eu.reply = "fine"
    router = routed(redacts, models)
    with capture_decisions(router.pep) as decisions:
        await called(router, name)
    assert decisions[1].document["context"]["prompt"]["length"] >= len(f"it is {SSN}")
    assert len(eu.requests) == 1
    raw = eu.requests[0].raw.decode(errors="replace")
    assert SSN not in raw
    assert f"it is {REDACTED}" in raw


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
async def test_every_call_is_denied(name, stage, eu):
    models = [deployment(NAMES.get(name, "m"), eu, "one", model=MODELS.get(name, "openai/m"))]
    with pytest.raises(CallDenied):
        await called(routed(lambda request: deny("no") if request.stage == stage else permit(), models), name)
    assert eu.requests == []


@pytest.mark.parametrize(
    "name",
    [
        "aanthropic_messages",
        "aimage_generation",
        "aresponses",
        "atext_completion",
        "atranscription",
        "completion",
    ],
)
@pytest.mark.usefixtures("swept")
async def test_every_answer_that_says_something_is_judged(name, eu):
    eu.reply = f"it was {SSN}"
    models = [deployment(NAMES.get(name, "m"), eu, "one", model=MODELS.get(name, "openai/m"))]
    with pytest.raises(CallDenied) as denied:
        await called(
            routed(lambda request: deny("no") if request.stage == "post_completion" else permit(), models),
            name,
        )
    assert f"it was {SSN}" in denied.value.decision.document["context"]["completion"]["text"]


async def test_a_batch_tells_of_each_denial_in_its_place(eu, us):
    def answer(request):
        return deny("no") if request.document["resource"]["id"] == "secret" else permit()

    router = routed(answer, [deployment("open", eu, "o"), deployment("secret", us, "s")])
    answers = await router.abatch_completion(models=["open", "secret"], messages=said("hello"))
    assert answers[0].choices[0].message.content == "from the eu"
    assert isinstance(answers[1], CallDenied)
    fastest = await router.abatch_completion_fastest_response(model="secret, open", messages=said("hello"))
    assert fastest.choices[0].message.content == "from the eu"
    assert us.requests == []


async def test_a_scheduled_call_is_judged_once(eu):
    router = routed(redacts, [deployment("gpt-4o", eu, "one")])
    with capture_decisions(router.pep) as decisions:
        await router.acompletion(model="gpt-4o", messages=said(f"it is {SSN}"), priority=0)
        await router.schedule_acompletion(model="gpt-4o", messages=said(f"it is {SSN}"), priority=0)
    assert len(decisions) == 8
    assert SSN not in eu.texts


def test_every_public_call_of_a_router_is_classified():
    """Fails when LiteLLM adds a method: decide whether it calls a provider, and govern or refuse it."""
    classes = [set(GOVERNED), set(COMPOSED), set(REFUSED), set(HARMLESS)]
    assert sum(map(len, classes)) == len(set().union(*classes))
    methods = {name for name in dir(Router) if not name.startswith("_") and callable(getattr(Router, name))}
    assert methods <= set().union(*classes)
    made = vars(Router(model_list=[]))
    here = {name for name in made if callable(made[name]) and inspect.isfunction(made[name])}
    assert {name for name in GOVERNED if name not in methods} <= here
    assert all(hasattr(Router, name) for name in KEPT)


async def test_whatever_else_a_router_sets_up_is_refused(eu):
    plain = vars(Router(model_list=[]))
    made = {name for name, one in plain.items() if inspect.isfunction(one)}
    router = routed(permit(), [deployment("m", eu, "one")])
    refused = 0
    for name in sorted((made | REFUSED) - set(GOVERNED)):
        with pytest.raises(CallDenied) as denied:
            await finished(getattr(router, name), model="m", custom_llm_provider="openai")
        assert denied.value.code == "unsupported_endpoint"
        refused += 1
    assert refused > 80
    assert eu.requests == []


async def test_a_deployment_chosen_for_nobodys_call_is_refused(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    with pytest.raises(CallDenied):
        router.get_available_deployment(model="m", messages=said("x"))
    with pytest.raises(CallDenied):
        await router.async_get_available_deployment(model="m", request_kwargs={}, messages=said("x"))
    with pytest.raises(CallDenied):
        await router._acompletion(model="m", messages=said("x"))
    with pytest.raises(CallDenied):
        router.get_available_deployment_for_pass_through(model="m")
    with pytest.raises(CallDenied):
        await router.async_function_with_fallbacks(
            original_function=router._acompletion, model="m", messages=said("x")
        )
    assert eu.requests == []


async def test_what_a_deployment_would_fetch_is_refused(eu):
    router = routed(permit(), [deployment("m", eu, "one", prompt_id="p")])
    with pytest.raises(CallDenied):
        await router.acompletion(model="m", messages=said("x"))
    assert eu.requests == []


async def test_who_moderates_with_a_model_that_is_not_the_routers_is_denied(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    with pytest.raises(CallDenied) as denied:
        await router.amoderation(model="openai/omni", input="x", api_base=eu.url, api_key="k")
    assert denied.value.code == "unsupported_request.model"
    assert eu.requests == []
