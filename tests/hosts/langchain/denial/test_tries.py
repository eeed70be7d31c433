"""Ways of LangChain's that ask again: every try is judged, and told from the others."""

import pytest
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.runnables import RunnableLambda, RunnableParallel
from tried import AT_ONCE, HELLO, QUICK, agent_of, asked, graph_of, run

from checkrein.testing import Failure, deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, guard
from checkrein_langchain.calls import attempts

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def tries(point, stage):
    return [(one.request.call_id, one.request.attempt) for one in asked(point, stage)]


def is_counted(found, number):
    """One call, and its tries in order."""
    return len({call_id for call_id, _ in found}) == 1 and [n for _, n in found] == [*range(1, number + 1)]


def test_with_retry_is_one_call_and_every_try_is_its_own_record(lab, denied_at, runnable_way):
    point = lab.govern({denied_at: deny("no")})

    def wrap(model):
        return guard(model, point.pep).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)

    done = lab.call(runnable_way, wrap)

    assert isinstance(done.error, PolicyDenied)
    assert lab.raw(done.got) == 0
    found = tries(point, denied_at)
    if "chain" in runnable_way or "stream" in runnable_way or runnable_way in ("events", "transform"):
        # LangChain retries no streams.
        assert {number for _, number in found} <= {1, 2, 3}
    else:
        assert is_counted(found, 3)


def test_with_fallbacks_judges_the_fallback_as_another_try_of_the_call(lab, denied_at):
    point = lab.govern({denied_at: deny("no")})
    first, second = guard(lab.chat(), point.pep), guard(lab.chat("gpt-4o-mini"), point.pep)

    with pytest.raises(PolicyDenied):
        first.with_fallbacks([second]).invoke("hello")

    assert is_counted(tries(point, denied_at), 2)
    assert [one.request.resource.id for one in asked(point, denied_at)] == ["gpt-4o", "gpt-4o-mini"]


FALLBACKS = {
    "bare": lambda model: model,
    "bound": lambda model: model.bind(stop=["x"]),
    "in a chain": lambda model: RunnableLambda(lambda text: text) | model,
    "beside others": lambda model: RunnableParallel(a=RunnableLambda(str), b=model),
    "behind another": lambda model: RunnableLambda(str).with_fallbacks([model]),
}


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_a_fallback_that_nothing_governs_is_refused_when_it_is_given(lab, fallback):
    pep = lab.govern().pep
    model, other = guard(lab.chat(), pep), lab.chat("gpt-4o-mini")

    with pytest.raises(TypeError, match="`ChatOpenAI` that no policy governs"):
        model.with_fallbacks([RunnableLambda(str), FALLBACKS[fallback](other)])
    model.with_fallbacks([FALLBACKS[fallback](guard(other, pep))])


def test_the_options_of_fallbacks_are_langchains(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    with pytest.raises(PolicyDenied):
        model.with_fallbacks([RunnableLambda(str)], exceptions_to_handle=(ValueError,)).invoke("hi")
    assert model.with_fallbacks([RunnableLambda(str)]).invoke("hi") == "hi"


def test_a_try_after_an_error_of_the_provider_is_counted_and_used_apart(lab):
    point = lab.govern()
    settled = []
    point.pep.settle = lambda call_id, attempt, usage: settled.append((call_id, attempt))
    lab.upstream.reply = [Failure(500), Failure(500), "hello there"]
    model = guard(lab.chat(), point.pep).with_retry(stop_after_attempt=3, wait_exponential_jitter=False)

    assert model.invoke("hello").text == "hello there"

    found = tries(point, Stage.PRE_PROMPT)
    assert is_counted(found, 3)
    assert settled == [found[-1]]


def test_the_retries_of_an_agent_are_tries_of_one_call(lab):
    point = lab.govern()
    lab.upstream.reply = [Failure(500), "hello there"]
    retry = ModelRetryMiddleware(**QUICK, retry_on=(Exception,))

    done = run(agent_of(point, retry), "invoke", HELLO, lab.chat)

    assert done.error is None
    assert is_counted(tries(point, Stage.PRE_PROMPT), 2)


def test_the_retries_of_a_node_are_tries_of_one_call_even_below_a_chain(lab):
    point = lab.govern()
    lab.upstream.reply = [Failure(500), Failure(500), "hello there"]
    chain = RunnableLambda(lambda text: text) | guard(lab.chat(), point.pep)
    graph = graph_of(
        lambda state: {"said": chain.invoke("hello").text}, retry=AT_ONCE._replace(retry_on=Exception)
    )

    assert graph.invoke({}) == {"said": "hello there"}
    assert is_counted(tries(point, Stage.PRE_PROMPT), 3)


def test_calls_that_succeeded_are_no_tries_of_each_other(lab):
    point = lab.govern()
    model = guard(lab.chat(), point.pep)

    RunnableLambda(lambda text: [model.invoke(text) for _ in range(3)]).invoke("hello")

    found = tries(point, Stage.PRE_PROMPT)
    assert {number for _, number in found} == {1}
    assert len({call_id for call_id, _ in found}) == 3


def test_calls_that_say_something_else_or_act_for_somebody_else_are_no_tries_of_each_other(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    def ask(_):
        for who, text in (("alice", "hello"), ("alice", "bye"), ("bob", "hello")):
            with pytest.raises(PolicyDenied):
                model.acting_as(who).invoke(text)

    RunnableLambda(ask).invoke("")

    assert [number for _, number in tries(point, Stage.PRE_PROMPT)] == [1, 1, 1]


def test_calls_in_no_run_are_no_tries_of_each_other(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    for _ in range(2):
        with pytest.raises(PolicyDenied):
            model.invoke("hello")

    assert [number for _, number in tries(point, Stage.PRE_PROMPT)] == [1, 1]


def test_a_handler_counts_the_tries_too(lab, denied_at):
    point = lab.govern({denied_at: deny("no")})
    config = {"callbacks": [PolicyCallbackHandler(point.pep)]}
    model = lab.chat().with_retry(stop_after_attempt=3, wait_exponential_jitter=False)

    with pytest.raises(PolicyDenied):
        model.invoke("hello", config)

    assert is_counted(tries(point, Stage.PRE_PROMPT), 3)


def test_what_is_remembered_of_failures_is_bounded_and_holds_no_text(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    model = guard(lab.chat(), point.pep)

    def ask(_):
        for number in range(20):
            with pytest.raises(PolicyDenied):
                model.invoke(f"{lab.secret} {number}")

    RunnableLambda(ask).invoke("")

    kept = attempts._failed[point.pep]
    assert len(kept) == 20
    assert lab.raw(repr(kept._things)) == 0
    for number in range(2 * attempts._MOST):
        kept.keep(number, attempts.first_attempt())
    assert len(kept) == attempts._MOST
