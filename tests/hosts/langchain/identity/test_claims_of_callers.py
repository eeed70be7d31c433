"""What a caller merely claims is no identity, and what is bound shows nothing of it."""

import copy
import pickle

import pytest
from callers import ALICE, METADATA, asserted, who
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.base import BaseTracer

from checkrein import acting_as
from checkrein_langchain import as_subject, guard


def test_metadata_is_no_identity_unless_settings_trust_it(lab):
    claim = {"metadata": {"user_id": "root", "tier": "pro"}}
    for settings in ({}, {"identity": {"langchain": {**METADATA["langchain"], "trusted": False}}}):
        point = lab.govern(**settings)
        guard(lab.chat(), point.pep).invoke("hi", claim)
        assert who(point) == ("anonymous", "none")


def test_trusted_metadata_is_marked_as_asserted_in_every_way(lab, way):
    point = lab.govern(identity=METADATA)

    def wrap(model):
        return guard(model.model_copy(update={"metadata": {"user_id": "model", "x": 1}}), point.pep)

    lab.call(way, wrap)
    assert who(point) == ("anonymous", "none")  # a model's own metadata names no caller


@pytest.mark.parametrize("metadata_way", ["invoke", "stream", "chain", "generate"])
def test_trusted_metadata_names_the_caller(lab, metadata_way):
    point = lab.govern(identity=METADATA)
    model = guard(lab.chat(), point.pep)
    claim = {"user_id": "bob", "tier": "free"}

    if metadata_way == "generate":
        model.generate([[HumanMessage("hi")]], metadata=claim)
    elif metadata_way == "chain":
        (RunnableLambda(lambda text: text) | model).invoke("hi", {"metadata": claim})
    else:
        list(getattr(model, metadata_way)("hi", {"metadata": claim}))

    assert who(point) == ("bob", "metadata")
    assert asserted(point)
    assert point.records[0].document["subject"]["properties"] == {"tier": "free"}


def test_the_context_outranks_trusted_metadata(lab):
    point = lab.govern(identity=METADATA)
    with acting_as("alice"):
        guard(lab.chat(), point.pep).invoke("hi", {"metadata": {"user_id": "root"}})

    assert who(point) == ("alice", "context")
    assert not asserted(point)


def test_no_plain_value_can_be_a_bound_subject(model, point):
    (key,) = as_subject("alice")["configurable"]
    for forged in ("root", {"type": "user", "id": "root"}, {"identity": {"subject": "root"}}, ALICE):
        model.invoke("hi", {"configurable": {key: forged}})

    assert who(point) == ("anonymous", "none")


def test_a_bound_subject_shows_nothing_and_stays_in_its_process():
    config = as_subject(ALICE)

    assert "secret" not in repr(config)
    assert "alice" not in repr(config)
    assert "alice" in repr(next(iter(copy.deepcopy(config)["configurable"].values())).identity)
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(config)


def test_a_bound_subject_is_in_no_trace(model):
    traced = []

    class Tracer(BaseTracer):
        def _persist_run(self, run):
            traced.append(run.model_dump_json() if hasattr(run, "model_dump_json") else repr(run))

    (RunnableLambda(lambda text: text) | model).invoke("hi", {**as_subject(ALICE), "callbacks": [Tracer()]})

    assert traced
    assert "very-secret" not in "".join(traced)
    assert "subject" not in "".join(traced)


@pytest.mark.parametrize("wrong", [None, 7, {"id": "alice"}])
def test_only_a_subject_is_bound(model, wrong):
    with pytest.raises(TypeError, match="no subject"):
        model.acting_as(wrong)
    with pytest.raises(TypeError, match="no subject"):
        as_subject(wrong)


def test_a_subject_is_merged_into_the_config_of_a_call():
    config = as_subject("alice", {"tags": ["t"], "configurable": {"thread_id": "7"}, "recursion_limit": 5})

    (subject,) = as_subject("bob")["configurable"]
    assert config["tags"] == ["t"]
    assert config["recursion_limit"] == 5
    assert config["configurable"]["thread_id"] == "7"
    assert config["configurable"][subject].identity.subject.id == "alice"
    assert as_subject("bob", config)["configurable"][subject].identity.subject.id == "bob"
