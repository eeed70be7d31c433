"""A guarded model in LangChain's own wrappers, and what is seen of it from outside."""

import pytest
from foreign_model import look
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from verdicts import REDACT

from checkrein.errors import SettingsError
from checkrein.testing import FailingEngine, StaticEngine, deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import GuardedChatModel, PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


# LangChain's own wrappers


def test_retries_ask_again_and_never_pass(lab, runnable_way):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    # LangChain retries calls and batches, and never streams.
    tries = 1 if "stream" in runnable_way or "events" in runnable_way or runnable_way == "transform" else 3

    done = lab.call(
        runnable_way,
        lambda model: guard(model, point.pep).with_retry(stop_after_attempt=3, wait_exponential_jitter=False),
    )

    assert isinstance(done.error, PolicyDenied)
    assert lab.upstream.requests == []
    assert len([one for one in point.records if not one.permitted]) == tries


def test_fallbacks_ask_again_and_never_pass(lab, runnable_way):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})

    done = lab.call(
        runnable_way, lambda model: guard(model, point.pep).with_fallbacks([guard(model, point.pep)])
    )

    assert isinstance(done.error, PolicyDenied)
    assert lab.upstream.requests == []
    assert len([one for one in point.records if not one.permitted]) == 2


def test_bound_configured_and_listened_to_models_stay_guarded(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)
    wrapped = [
        model.bind(temperature=0),
        model.with_config(tags=["a"]),
        model.with_types(),
        model.with_listeners(on_start=lambda run: None),
        model.bind_tools([look]).with_config(run_name="x").bind(seed=1),
        model.configurable_alternatives(ConfigurableField(id="x"), default_key="d"),
        model.model_copy(update={"tags": ["x"]}),
        model | (lambda message: message),
    ]

    for one in wrapped:
        with pytest.raises(PolicyDenied):
            one.invoke("hi")
    assert lab.upstream.requests == []


def test_the_models_own_callbacks_hear_what_was_judged(lab):
    heard = []

    class Hearing(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            heard.append(messages[0][0].content)

        def on_llm_end(self, response, **kwargs):
            heard.append(response.generations[0][0].text)

    lab.upstream.reply = f"it is {lab.secret}"
    point = lab.govern({Stage.PRE_PROMPT: REDACT, Stage.POST_COMPLETION: REDACT})
    guard(lab.chat(callbacks=[Hearing()]), point.pep).invoke(f"mine is {lab.secret}")

    assert heard == ["mine is [REDACTED:secret]", "it is [REDACTED:secret]"]


def test_a_prompt_that_a_callback_changes_on_its_way_is_judged_again(lab, way):
    class Changing(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, serialized, messages, **kwargs):
            messages[0][-1].content += f" and {lab.secret}"

    point = lab.govern({Stage.PRE_PROMPT: REDACT})
    done = lab.call(way, lambda model: guard(model, point.pep), callbacks=[Changing()])

    assert done.error is None
    assert lab.raw(lab.upstream.texts) == 0
    assert "hello and [REDACTED:secret]" in lab.upstream.texts
    assert [one.request.stage for one in point.records] == [*lab.stages[:2], *lab.stages]


def test_calls_below_the_public_ones_are_governed_too(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    with pytest.raises(PolicyDenied):
        model._generate([HumanMessage("hi")])
    with pytest.raises(PolicyDenied):
        list(model._stream([HumanMessage("hi")]))
    with pytest.raises(PolicyDenied):
        model._generate_with_cache([HumanMessage("hi")])
    assert lab.upstream.requests == []


def test_a_guard_around_a_guard_asks_both(lab):
    outer, inner = lab.govern(), lab.govern({Stage.POST_COMPLETION: REDACT})
    lab.upstream.reply = f"it is {lab.secret}"

    answer = guard(guard(lab.chat(), inner.pep), outer.pep).invoke("hi")

    assert answer.content == "it is [REDACTED:secret]"
    assert [one.request.stage for one in outer.records] == list(lab.stages)
    assert [one.request.stage for one in inner.records] == list(lab.stages)


def test_a_model_that_does_not_stream_is_governed_in_a_stream(lab):
    class Whole(FakeListChatModel):
        def _should_stream(self, **kwargs):
            return False

    point = lab.govern({Stage.POST_COMPLETION: REDACT})
    model = guard(Whole(responses=[f"it is {lab.secret}"]), point.pep)

    assert [one.content for one in model.stream("hi")] == ["it is [REDACTED:secret]"]
    assert [one.text for one in model._stream([HumanMessage("hi")])] == ["it is [REDACTED:secret]"]


def test_the_rate_limiter_of_the_model_is_heeded_once(lab):
    asked = []

    class Counting(InMemoryRateLimiter):
        def acquire(self, *, blocking=True):
            asked.append(blocking)
            return True

    point = lab.govern()
    model = guard(lab.chat(rate_limiter=Counting()), point.pep)

    model.invoke("hi")
    list(model.stream("hi"))

    assert asked == [True, True]


# What it is


def test_it_tells_of_the_model_what_the_model_tells(lab):
    chat = lab.chat(temperature=0.5, name="mine", tags=["t"], metadata={"m": 1})
    model = guard(chat, lab.govern().pep)

    assert (model.model_name, model.model) == ("gpt-4o", "gpt-4o")
    assert model._llm_type == chat._llm_type
    assert model._identifying_params == chat._identifying_params
    assert model._get_ls_params() == chat._get_ls_params()
    assert model.profile == chat.profile
    assert (model.name, model.tags, model.metadata["m"]) == ("mine", ["t"], 1)
    assert not hasattr(guard(FakeListChatModel(responses=["a"]), lab.govern().pep), "model_name")


def test_it_counts_tokens_as_the_model_does(lab):
    chat = lab.chat(custom_get_token_ids=lambda text: list(range(len(text))))
    model = guard(chat, lab.govern().pep)

    assert model.get_num_tokens("four") == 4
    assert model.get_token_ids("ab") == [0, 1]


def test_no_way_around_is_reached_by_an_unknown_attribute(lab):
    model = guard(lab.chat(), lab.govern().pep)

    for name in ("client", "async_client", "root_client", "root_async_client"):
        with pytest.raises(AttributeError):
            getattr(model, name)


def test_nothing_secret_is_shown(lab):
    headers = {"Authorization": "Bearer hidden"}
    model = guard(lab.chat(default_headers=headers, openai_api_key="hidden"), lab.govern().pep)

    assert repr(model) == "GuardedChatModel(inner='ChatOpenAI')"
    assert "hidden" not in f"{model} {model._serialized} {(model | str).to_json()}"


def test_only_a_chat_model_is_guarded(lab):
    pep = lab.govern().pep

    with pytest.raises(TypeError, match="guard the model first"):
        guard(lab.chat().bind(temperature=0), pep)
    with pytest.raises(TypeError, match="`small`"):
        guard(lab.chat(), pep, models={"small": "gpt-4o-mini"})


def test_every_stage_is_covered_or_listed(lab):
    point = lab.govern(engine=StaticEngine({Stage.PRE_PROMPT: permit()}))
    with pytest.raises(SettingsError, match="model_selection"):
        guard(lab.chat(), point.pep)

    listed = lab.govern(
        engine=StaticEngine({Stage.PRE_PROMPT: permit()}), unchecked=["model_selection", "post_completion"]
    )
    assert isinstance(guard(lab.chat(), listed.pep), GuardedChatModel)


def test_an_outage_that_settings_open_passes_and_only_that(lab, way):
    answers = dict.fromkeys(Stage, permit())
    failing = FailingEngine("unreachable", remote=True)
    engine = StaticEngine(answers | {Stage.PRE_PROMPT: failing._answer}, remote=True)
    point = lab.govern(engine=engine, failure={"open_on": {"pre_prompt": ["unreachable"]}})

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert done.error is None
    assert "hello there" in done.text
    assert [one.failed_open for one in point.records] == [False, True, False]
