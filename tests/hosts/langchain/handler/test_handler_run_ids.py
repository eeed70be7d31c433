"""A caller may choose the ids of runs: two runs of one id are never taken for each other."""

import threading
import uuid

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from checkrein.testing import deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, as_subject, guard


class Nested(BaseChatModel):
    """A model during whose call something else happens."""

    meanwhile: object
    answer: str

    @property
    def _llm_type(self):
        return "nested"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        thread = threading.Thread(target=self.meanwhile)
        thread.start()
        thread.join()
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.answer))])


def _nothing():
    pass


@pytest.fixture
def denying_found(lab):
    """Denies answers that hold the secret."""
    return lab.govern({Stage.POST_COMPLETION: lambda asked: deny("no") if asked.findings else permit()})


def test_a_guarded_call_of_the_same_id_does_not_unguard_another_one(lab, denying_found):
    pep, run_id = denying_found.pep, uuid.uuid4()
    config, errors = {"callbacks": [PolicyCallbackHandler(pep)], "run_id": run_id}, []

    def call_guarded():
        try:
            guard(Nested(meanwhile=_nothing, answer="fine"), pep).invoke("hi", config)
        except PolicyDenied as denied:
            errors.append(denied)

    with pytest.raises(PolicyDenied) as caught:
        Nested(meanwhile=call_guarded, answer=lab.secret).invoke("hi", config)

    assert [one.code for one in caught.value.decision.reasons] == ["no"]
    assert [one.code for error in errors for one in error.decision.reasons] == ["run_id_in_use"]


def test_a_call_of_an_id_that_is_in_use_is_denied_before_it_is_sent(lab, denying_found):
    handler, run_id, errors = PolicyCallbackHandler(denying_found.pep), uuid.uuid4(), []

    def call_again():
        try:
            lab.chat().invoke("hi of bob", as_subject("bob", {"callbacks": [handler], "run_id": run_id}))
        except PolicyDenied as denied:
            errors.append(denied)

    Nested(meanwhile=call_again, answer="fine").invoke(
        "hi of alice", as_subject("alice", {"callbacks": [handler], "run_id": run_id})
    )

    assert [one.code for error in errors for one in error.decision.reasons] == ["run_id_in_use"]
    assert lab.upstream.requests == []
    subjects = [
        one.request.subject.id for one in denying_found.records if one.request.stage is Stage.POST_COMPLETION
    ]
    assert subjects == ["alice"]


def test_a_tool_of_an_id_that_is_in_use_is_denied_before_it_runs(lab, denying_found):
    config = {"callbacks": [PolicyCallbackHandler(denying_found.pep)], "run_id": uuid.uuid4()}
    ran, errors = [], []

    @tool
    def look(q: str) -> str:
        """Look it up."""
        ran.append(q)
        return q

    def use():
        try:
            look.invoke({"q": "x"}, config)
        except PolicyDenied as denied:
            errors.append(denied)

    Nested(meanwhile=use, answer="fine").invoke("hi", config)

    assert [one.code for error in errors for one in error.decision.reasons] == ["run_id_in_use"]
    assert ran == []


def test_an_id_is_free_again_when_its_run_has_ended(lab, denying_found):
    config = {"callbacks": [PolicyCallbackHandler(denying_found.pep)], "run_id": uuid.uuid4()}

    for _ in range(2):
        assert lab.chat().invoke("hi", config).text == "hello there"


def test_under_monitor_it_is_recorded_and_the_ungoverned_run_stays_known(lab):
    point = lab.govern(enforcement={"default": "monitor"})
    config = {"callbacks": [PolicyCallbackHandler(point.pep)], "run_id": uuid.uuid4()}
    inner = guard(Nested(meanwhile=_nothing, answer="fine"), point.pep)

    Nested(meanwhile=lambda: inner.invoke("hi", config), answer="fine").invoke("hi", config)

    codes = [one.code for record in point.records for one in record.reasons]
    assert "run_id_in_use" in codes
