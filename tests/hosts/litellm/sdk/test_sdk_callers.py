"""For whom LiteLLM's functions call: bound, in a context, or told in metadata that is trusted."""

from __future__ import annotations

import threading

import pytest
from governed_calls import CALLING, WAYS, said
from sdk_calls import chat, governed

from checkrein import Entity, acting_as
from checkrein.testing import StaticEngine, permit

pytestmark = CALLING


@WAYS
async def test_the_caller_is_bound_or_acts_or_is_anonymous(way, upstream):
    engine = StaticEngine(permit())
    client = governed(engine)
    await chat(client, way, upstream)
    with acting_as("alice"):
        await chat(client, way, upstream)
        await chat(client.acting_as(Entity(type="service", id="mailer")), way, upstream)
    subjects = [one["subject"]["id"] for one in engine.asked[::3]]
    assert subjects == ["anonymous", "alice", "mailer"]
    assert [one["context"]["identity"]["source"] for one in engine.asked[::3]] == ["none", "context", "bound"]


@WAYS
@pytest.mark.parametrize("trusted", [True, False])
async def test_metadata_counts_only_where_it_is_trusted_and_is_marked(way, trusted, upstream):
    engine = StaticEngine(permit())
    fields = {"id": ["employee", "user"], "properties": {"tier": "tier"}}
    settings = {"identity": {"litellm": {"metadata": fields, "trusted": trusted}}}
    await chat(governed(engine, settings), way, upstream, metadata={"employee": "eve", "tier": "pro"})
    asked = engine.asked[0]
    assert asked["subject"]["id"] == ("eve" if trusted else "anonymous")
    assert asked["context"]["identity"] == {
        "source": "metadata" if trusted else "none",
        "asserted": trusted,
    }


def test_a_bound_caller_is_kept_in_other_threads(upstream):
    engine = StaticEngine(permit())
    client = governed(engine).acting_as("alice")
    given = {"model": "openai/gpt-4o", "messages": said("hi"), "api_base": upstream.url, "api_key": "k"}
    thread = threading.Thread(target=client.completion, kwargs=given)
    thread.start()
    thread.join(30)
    assert [one["subject"]["id"] for one in engine.asked] == ["alice"] * 3


@pytest.mark.parametrize("user", [None, 7, {"id": "alice"}])
def test_only_a_subject_can_act(user):
    with pytest.raises(TypeError, match="is no subject"):
        governed(StaticEngine(permit())).acting_as(user)
