"""The tripwire and calls that are guarded already: asked once, and never by a mere word."""

import pytest

from checkrein.testing import StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def test_a_guarded_call_is_not_judged_twice(lab, trip, way):
    point = trip()

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert done.error is None
    assert "hello there" in done.text
    assert [one.request.stage for one in point.records] == list(lab.stages)
    assert len(point.handler._runs) == 0


def test_a_guarded_call_may_do_what_a_callback_cannot(lab, trip, way):
    point = trip({Stage.PRE_PROMPT: permit(obligation("redact", types=["secret"]))})

    done = lab.call(way, lambda model: guard(model, point.pep), lab.secret)

    assert done.error is None
    assert lab.raw(lab.upstream.texts) == 0


def test_a_reply_passes(lab, trip, way):
    point = trip({Stage.PRE_PROMPT: deny("no")}, denials={"on_denied": "reply"})

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert done.error is None
    assert "denied by policy: no" in done.text
    assert len(point.records) == 2


def test_a_model_that_another_policy_guards_is_judged(lab, denying):
    theirs = lab.govern()

    with pytest.raises(PolicyDenied):
        guard(lab.chat(), theirs.pep).invoke("hi")

    assert lab.upstream.requests == []


def test_no_word_of_a_caller_makes_a_call_look_guarded(lab, denying):
    shown = guard(lab.chat(), denying.pep)
    config = {
        "metadata": {"guarded": True, "ls_model_type": "guarded", "checkrein": "guarded"},
        "tags": ["guarded"],
        "run_name": "GuardedChatModel",
        "configurable": {"guarded": True, "__checkrein_guarded": True},
    }
    model = lab.chat()
    model.__dict__["_serialized"] = dict(shown._serialized)

    with pytest.raises(PolicyDenied):
        model.invoke("hi", config)

    assert lab.upstream.requests == []


def test_the_same_handler_passed_as_well_asks_once(lab, trip):
    engine = StaticEngine({Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit()})
    point = trip(engine=engine, unchecked=["post_completion"])

    lab.chat().invoke("hi", {"callbacks": [point.handler]})

    assert [one.request.stage for one in point.records] == list(lab.stages)
