"""After a denial no other model's answer passes as governed, and what policy itself replies does."""

from __future__ import annotations

from contextlib import suppress

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware

from checkrein import PolicyDenied
from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyMiddleware, guard

HI = {"messages": [("user", "hi")]}
ASKED = [Stage.PRE_PROMPT, Stage.POST_COMPLETION]


class Elsewhere(AgentMiddleware):
    """Asks another model where the first one gives no answer; stands, wrongly, after the policy."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def wrap_model_call(self, request, handler):
        with suppress(PolicyDenied):
            handler(request)
        return handler(request.override(model=self.model))


@pytest.mark.filterwarnings("ignore::checkrein_langchain.PolicyWarning")
@pytest.mark.parametrize("on_denied", ["raise", "reply"])
@pytest.mark.parametrize("stage", ASKED)
def test_an_answer_from_elsewhere_after_a_denial_is_refused(lab, stage, on_denied):
    point = lab.govern({stage: deny("no")}, denials={"on_denied": on_denied})
    agent = create_agent(lab.chat(), [], middleware=[PolicyMiddleware(point.pep), Elsewhere(lab.chat())])
    with pytest.raises(PolicyDenied) as raised:
        agent.invoke(HI)
    assert raised.value.code == "model_not_guarded"


@pytest.mark.parametrize("stage", ASKED)
@pytest.mark.parametrize("within", [True, False], ids=["within", "around"])
def test_what_another_policy_replies_is_an_answer(lab, stage, within):
    replying = {"on_denied": "reply"}
    own, other = lab.govern(denials=replying), lab.govern({stage: deny("no")}, denials=replying)
    model = guard(lab.chat(), other.pep) if within else guard(guard(lab.chat(), own.pep), other.pep)

    done = create_agent(model, [], middleware=[PolicyMiddleware(own.pep)]).invoke(HI)

    assert done["messages"][-1].text.startswith("denied by policy: no")
    assert not any(one.denied for one in own.records)
