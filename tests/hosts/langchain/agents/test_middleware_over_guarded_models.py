"""An agent's model that an enforcement point guards already: the agent's own one is asked as well, once.

A middleware used to leave such a model to the policy that it came with. Whoever puts a stricter policy on an
agent expects that it holds for the agent, whatever model the agent is handed.
"""

from __future__ import annotations

import pytest
from langchain.agents.middleware import AgentMiddleware

from checkrein import PolicyDenied
from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyMiddleware, PolicyRouter, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

REDACT = permit(obligation("redact", types=["secret"]))


def stages(point):
    return [one.request.stage for one in point.records]


def handing(made):
    """A middleware that hands the agent what is made of its model, whose connections are the run's own."""

    class Handing(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            return handler(request.override(model=made(request.model)))

        async def awrap_model_call(self, request, handler):
            return await handler(request.override(model=made(request.model)))

    return Handing()


def guarded_by(*points):
    """A middleware that hands the agent its model as these guard it, the last of them outermost."""

    def made(model):
        for point in points:
            model = guard(model, point.pep)
        return model

    return handing(made)


def test_both_are_asked_each_once_and_both_are_told_of(lab, office, run_way):
    strict, mild = lab.govern(), lab.govern()

    done = office.run(run_way, strict, around=[guarded_by(mild)])

    assert done.error is None
    assert (stages(strict), stages(mild)) == (list(lab.stages), list(lab.stages))
    assert len(office.upstream.requests) == 1
    told = {one["decision_id"] for one in done.decisions}
    assert told == {one.decision_id for one in (*strict.records, *mild.records)}


@pytest.mark.parametrize("whose", ["strict", "mild"])
def test_the_denial_of_either_holds(lab, office, run_way, stage, whose):
    office.upstream.reply = f"the answer is {lab.secret}"
    points = {"strict": lab.govern(), "mild": lab.govern(), whose: lab.govern({stage: deny("no")})}

    done = office.run(run_way, points["strict"], around=[guarded_by(points["mild"])])

    assert run_way == "events v3" or isinstance(done.error, PolicyDenied)
    assert len(office.upstream.requests) == (stage is Stage.POST_COMPLETION)
    assert points[whose].records[-1].denied
    assert lab.raw(*done.seen, done.error, repr(done.error)) == 0


@pytest.mark.parametrize("whose", ["strict", "mild"])
def test_what_either_redacts_is_redacted(lab, office, run_way, whose):
    office.upstream.reply = f"the answer is {lab.secret}, keep it"
    redacting = lab.govern({Stage.PRE_PROMPT: REDACT, Stage.POST_COMPLETION: REDACT})
    points = {"strict": lab.govern(), "mild": lab.govern(), whose: redacting}

    done = office.run(run_way, points["strict"], lab.secret, around=[guarded_by(points["mild"])])

    assert done.error is None
    assert lab.raw(office.upstream.texts) == 0
    assert lab.raw(done.messages[-1].text) == 0


def test_who_is_asked_further_in_is_not_asked_again(lab, office, mode):
    strict, outer = lab.govern(), lab.govern()

    done = office.run(mode, strict, around=[guarded_by(strict, outer)])

    assert done.error is None
    assert (stages(strict), stages(outer)) == (list(lab.stages), list(lab.stages))


def test_a_router_one_of_whose_models_is_not_asked_about_is_asked_about_as_a_whole(lab, office, mode):
    strict = lab.govern({Stage.PRE_PROMPT: deny("no")})
    other = lab.govern()

    def router(model):
        return PolicyRouter(models={"first": model, "second": guard(model, strict.pep)}, pep=other.pep)

    done = office.run(mode, strict, around=[handing(router)])

    assert isinstance(done.error, PolicyDenied)
    assert office.upstream.requests == []


def test_a_router_of_the_same_policy_is_asked_about_once(lab, office, mode):
    point = lab.govern()

    def router(model):
        return PolicyRouter(models={"first": model, "second": model}, pep=point.pep)

    office.run(mode, point, around=[handing(router)])

    asked = stages(point)
    assert [asked.count(Stage.PRE_PROMPT), asked.count(Stage.POST_COMPLETION)] == [1, 1]


@pytest.mark.filterwarnings("ignore::checkrein_langchain.PolicyWarning")
def test_a_model_of_anothers_that_is_swapped_in_after_it_is_refused(lab, office, mode):
    strict, other = lab.govern(), lab.govern()
    # Both are listened to, as where an agent has had a model of the other's before.
    office.run("invoke", strict, around=[guarded_by(other)])
    strict.records.clear()

    done = office.run(mode, strict, after=[handing(lambda model: guard(model.inner, other.pep))])

    assert isinstance(done.error, PolicyDenied)
    assert done.error.code == "model_not_guarded"


def test_guarded_models_are_wrapped_once(lab):
    middleware, model = PolicyMiddleware(lab.govern().pep), guard(lab.chat(), lab.govern().pep)
    assert middleware._guard(model) is middleware._guard(model)
    own = guard(lab.chat(), middleware.pep)
    assert middleware._guard(own) is own
